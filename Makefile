# Two commands: `make run` and `make test`. The rest are their parts.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DELETE_ON_ERROR:
.PHONY: run once test lint types pytest browser soak bench bench-quick clean

run: $(VENV)/.installed .env
	$(BIN)/python -m scripts.sample_data
	exec $(BIN)/python main.py

once: $(VENV)/.installed .env
	$(BIN)/python main.py once

test: lint types pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile --no-loadscope-reorder

# For the tests of the dashboard in a browser, which skip without it; Debian, as root
browser:
	apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver

soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.acceptance.faults.soak --minutes $(or $(MINUTES),10)

bench: $(VENV)/.installed
	$(BIN)/python -m scripts.benchmark

bench-quick: $(VENV)/.installed
	$(BIN)/python -m scripts.benchmark --scale $(or $(SCALE),0.05) --runs $(or $(RUNS),2)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-cluster.txt requirements-object-storage.txt requirements-sftp.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.installed

.env: | $(VENV)/bin/python
	$(BIN)/python -m scripts.make_env

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
