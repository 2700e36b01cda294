"""The command line as operators use it, run in this process: quick, and the same code as `python main.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

import main
from tests.acceptance.daemon import Product
from tests.conftest import SETTINGS_FROM_OUTSIDE


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def cli(product: Product, *arguments: object, expect: int | None = 0) -> Answer:
    """Run a command on `product`; `expect` is the exit code to insist on."""
    outside: dict[str, str | None] = dict.fromkeys(SETTINGS_FROM_OUTSIDE)
    done = CliRunner().invoke(main.app, [str(a) for a in arguments], env={**outside, **product.environment()})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    answer = Answer(done.exit_code, done.stdout, done.stderr)
    assert expect is None or answer.code == expect, f"exit {answer.code}, not {expect}: {answer.out}\n{answer.err}"
    return answer
