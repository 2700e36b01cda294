"""The daemon's web server as its users have it: beside others, without a database, and as deploy/ says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.acceptance import samples
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Daemon, Product, wait_until

RULES = ROOT / "deploy" / "prometheus-rules.yml"
GRAFANA = ROOT / "deploy" / "grafana-dashboard.json"
OF_PROMETHEUS = {"instance", "job", "le", "severity"}  # labels that a scrape or a rule adds


def address_of(daemon: Daemon) -> str:
    found: list[str] = wait_until(
        lambda: re.findall(r"Dashboard: (http://\S+)/", daemon.output()), lambda: f"the address: {daemon.output()}"
    )
    return found[0]


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def scraped(make_product: MakeProduct) -> Iterator[str]:
    """/metrics of a daemon that has loaded files, one with a bad row, one with an orphan, one that failed."""
    product = make_product(web={"enabled": True, "port": 0})
    samples.write_master(product.home)
    with product.running() as daemon:
        product.stream("09", "orders.json", [samples.order(1), samples.order(2, payment_method="crad")])
        product.stream("10", "orders.json", [samples.order(3, customer_id=999_999)])
        product.stream("11", "orders.json", "[1")
        product.wait_for_files(len(samples.master_rows()) + 3)
        url = f"{address_of(daemon)}/metrics"
        wait_until(lambda: "fastfeast_open_orphans{" in get(url)[1], "the orphan is counted", seconds=40)
        yield get(url)[1]


# ---------------------------------------------------------------- what deploy/ says


def series_of(text: str) -> dict[str, set[str]]:
    """The names of /metrics, each with its labels."""
    series: dict[str, set[str]] = {}
    for name, labels in re.findall(r"(?m)^(\w+)(?:\{(.*)\})? \S+$", text):
        series.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return series


def expressions() -> list[Any]:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(GRAFANA.read_text())["panels"]
    found = [(f"rule {rule['alert']}", rule["expr"]) for rule in rules]
    found += [(f"panel {panel['title']}", target["expr"]) for panel in panels for target in panel["targets"]]
    return [pytest.param(expression, id=name.replace(" ", "-")) for name, expression in found]


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_and_label_of_the_rules_and_panels_is_there(expression: str, scraped: str) -> None:
    series = series_of(scraped)
    named = set(re.findall(r"\b((?:fastfeast|process)_\w+)", expression))
    assert named or "up{" in expression
    assert sorted(named - set(series)) == []
    known = OF_PROMETHEUS.union(*(series[name] for name in named))
    used = re.findall(r"(\w+) *(?:=~|!=|=)\s*\"", expression)
    for inside in re.findall(r"\bby \(([^)]*)\)", expression):
        used += re.split(r",\s*", inside)
    assert sorted(set(used) - known) == []


def test_legends_and_messages_name_labels_that_are_there(scraped: str) -> None:
    panels = json.loads(GRAFANA.read_text())["panels"]
    labels = set().union(*series_of(scraped).values()) | OF_PROMETHEUS
    used = {label for p in panels for t in p["targets"] for label in re.findall(r"{{(\w+)}}", t["legendFormat"])}
    used |= set(re.findall(r"\$labels\.(\w+)", RULES.read_text()))
    assert sorted(used - labels) == []


def test_the_rules_and_the_board_have_the_form_that_is_read() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == set(rule["annotations"])
        assert rule["expr"].count("(") == rule["expr"].count(")")
    names = [rule["alert"] for group in groups for rule in group["rules"]]
    assert len(names) == len(set(names)) == 7
    panels = json.loads(GRAFANA.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_promtool_finds_no_fault(scraped: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine (Debian package prometheus)")
    checks = [([promtool, "check", "rules", str(RULES)], ""), ([promtool, "check", "metrics"], scraped)]
    for command, given in checks:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_has_every_metric_with_its_labels(scraped: str) -> None:
    rows = re.findall(r"(?m)^\| `(fastfeast_\w+)` \| ?([\w, ]*?) ?\| ", (ROOT / "docs/operations.md").read_text())
    documented = {name: set(filter(None, labels.split(", "))) for name, labels in rows}
    real = {}
    for name, labels in series_of(scraped).items():
        if name.startswith("fastfeast_"):
            real[re.sub(r"_(bucket|sum|count)$", "", name)] = labels - {"le"}
    assert documented == real


def test_no_value_of_the_data_is_in_the_metrics(scraped: str) -> None:
    values = set(re.findall(r'="([^"]*)"', scraped))
    assert values.isdisjoint({"crad", "999999", samples.uid("order", 1), "orders.json"})


# ---------------------------------------------------------------- beside others


def test_a_second_daemon_on_the_same_port_goes_on_without_pages(make_product: MakeProduct) -> None:
    first = make_product(web={"enabled": True, "port": 0})
    with first.running() as daemon:
        port = int(address_of(daemon).rpartition(":")[2])
        second = make_product(web={"enabled": True, "port": port})
        with second.running() as other:
            assert other.output().count("no metrics and no dashboard") == 1
            assert "WEB_PORT" in other.output()
            second.stream("09", "orders.json", [samples.order(1)])
            second.wait_for_files(1)
        assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200


def test_it_can_be_reached_before_the_database_can(make_product: MakeProduct) -> None:
    product = make_product(web={"enabled": True, "port": 0})
    product.env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/nowhere"
    daemon = product.start()
    try:
        address = address_of(daemon)
        assert get(f"{address}/healthz")[0] == 200
        assert get(f"{address}/readyz")[0] == 503
        status, page = get(f"{address}/")
        assert (status, "The database does not answer" in page) == (503, True)
        assert "Traceback" not in daemon.output() + page
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def test_once_and_a_switched_off_server_open_no_port(product: Product) -> None:
    assert "Dashboard:" not in product.once(expect=0).stdout
    with product.running() as daemon:
        assert "Dashboard:" not in daemon.output()
