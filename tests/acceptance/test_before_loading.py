"""The commands for before: check files as the pipeline would, check the configuration, propose a new file type."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance import samples
from tests.acceptance.commands import cli
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Product, merged
from tests.acceptance.test_docs import shell

SMALL_CHUNKS = {"reader": {"chunk_rows": 7}}


def reasons_of(check: dict[str, Any]) -> dict[tuple[str, str, str], int]:
    return {(row["stage"], row["rule"], row["column"]): row["rows"] for row in check["reasons"]}


# ---------------------------------------------------------------- check


@pytest.fixture(scope="module")
def simulated(make_product: MakeProduct) -> Product:
    """Master and a day's batch, loaded; the hours of the stream wait outside the input folder."""
    product = make_product(**SMALL_CHUNKS)
    shell(product, "python -m scripts.simulate_day --date 2026-02-20 --hours 9-9 --rows 120 --seed 5 --bad 0.3")
    (product.home / "data/input/stream").rename(product.home / "outside")
    (product.home / "data/input/batch/2026-02-21").rename(product.home / "later")
    product.once(expect=0)
    return product


def test_check_says_what_the_pipeline_says_then(simulated: Product) -> None:
    """Of dirty files, in chunks of seven rows: verdicts, reasons, row numbers, keys already there."""
    folder = simulated.home / "outside/2026-02-20/09"
    pairs = [(folder / name, f"input/stream/2026-02-20/09/{name}") for name in ("orders.json", "tickets.csv")]
    pairs += [(path, f"input/batch/2026-02-21/{path.name}") for path in (simulated.home / "later").glob("*.csv")]
    refused: Counter[str] = Counter()
    for path, target in pairs:
        (check,) = cli(simulated, "check", path, "--database", "--rows", 9999, "--json", expect=None).json
        assert check["error"] is None
        simulated.put(target, path.read_bytes())
        simulated.once(expect=0)
        (file,) = simulated.rows("SELECT * FROM pipeline_file_log ORDER BY file_id DESC LIMIT 1")
        assert file["file_name"] == path.name
        rows = simulated.rows("SELECT * FROM quarantine WHERE file_id = %s", file["file_id"])
        assert check["total"] == file["total_records"]
        assert check["refused"] == file["quarantined"] + file["resolved_orphans"]
        assert check["already_present"] == file["already_present"] + file["updated_records"]
        assert check["refused_by_stage"] == Counter(row["rejection_stage"] for row in rows)
        told = Counter((r["stage"], r["rule"], r["column"] or "") for row in rows for r in row["reasons"])
        assert reasons_of(check) == told
        numbers = {example["row_number"] for reason in check["reasons"] for example in reason["examples"]}
        assert numbers == {row["row_number"] for row in rows}
        refused.update(check["refused_by_stage"])
    assert all(refused[stage] for stage in ("schema", "records", "orphan"))


def test_check_writes_nothing(simulated: Product) -> None:
    state = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    path = simulated.home / "outside/2026-02-20/09/ticket_events.json"
    before = simulated.value(state), sorted(simulated.home.rglob("*"))
    cli(simulated, "check", path, "--database", expect=1)
    assert (simulated.value(state), sorted(simulated.home.rglob("*"))) == before


def test_check_needs_no_database_and_finds_duplicates_across_chunks(make_product: MakeProduct) -> None:
    product = make_product(**SMALL_CHUNKS)
    product.env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    rows = [samples.order(n, customer_id=4711) for n in range(20)]
    rows[17] = samples.order(2)
    path = samples.write(product.home / "orders.json", rows)
    (check,) = cli(product, "check", path, "--json", expect=1).json
    assert reasons_of(check) == {("records", "duplicate", "order_id"): 1}
    assert check["reasons"][0]["examples"] == [{"row_number": 18, "value": samples.uid("order", 2)}]
    assert (check["total"], check["good"], check["already_present"]) == (20, 19, None)
    assert "parents" in check["notes"][0]


def test_check_tells_good_files_bad_rows_bad_files_and_what_it_can_not_do(product: Product) -> None:
    good = samples.write(product.home / "orders.json", [samples.order(1)])
    cut = samples.write(product.home / "tickets.csv", "ticket_id,colour\n1,red\n")
    assert "✓" in cli(product, "check", good).out
    shown = cli(product, "check", good, cut, expect=1).out
    assert "✓" in shown
    assert "the file is refused: the columns are not those" in shown
    assert "no such file" in cli(product, "check", product.home / "none.csv", expect=2).err
    strange = samples.write(product.home / "export-7.json", [samples.order(1)])
    assert "--name" in cli(product, "check", strange, expect=2).err
    assert "no such file type" in cli(product, "check", strange, "--name", "order", expect=2).err
    cli(product, "check", strange, "--name", "orders")
    cli(product, "check", samples.write(product.home / "customers.json", [samples.customer(1)]))  # as in master


def test_check_says_that_a_content_is_known(product: Product) -> None:
    samples.write_master(product.home)
    product.once(expect=0)
    teams = product.home / "data/master/teams.csv"
    (check,) = cli(product, "check", teams, "--database", "--json").json
    assert check["already_present"] == 1
    assert "not loaded again" in check["notes"][0]


class Page(HTMLParser):
    """Tags in order and the text, as a browser would show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def report(product: Product) -> str:
    attack = "<script>alert(1)</script>"
    rows = [
        samples.customer(1, gender=attack, email="jane.doe@mail.example.com"),
        samples.customer(2, phone="0101234"),
        samples.customer(3, full_name=None, region_id="call 01012345678"),
    ]
    path = samples.write(product.home / "customers.csv", rows)
    good = samples.write(product.home / "regions.csv", samples.master_rows()["regions.csv"])
    html = product.home / "report.html"
    cli(product, "check", path, good, "--html", html, expect=1)
    return html.read_text(encoding="utf-8")


def test_the_report_shows_values_as_text_and_personal_data_not_at_all(report: str) -> None:
    page = Page(report)
    assert "<script>alert(1)</script>" in page.text
    assert "script" not in {tag for tag, _ in page.tags}
    for personal in ("jane.doe", "0101234", "01012345678"):
        assert personal not in report


def test_the_report_stands_alone_and_can_be_read_aloud(report: str) -> None:
    page = Page(report)
    assert page.open == []
    assert page.tags[0] == ("html", {"lang": "en"})
    tags = Counter(tag for tag, _ in page.tags)
    assert (tags["title"], tags["main"], tags["h1"]) == (1, 1, 1)
    assert tags["caption"] == tags["table"]
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    links = {name for _, attributes in page.tags for name in attributes} & {"src", "href", "onclick", "action"}
    assert not links
    assert "url(" not in report
    assert "1 of 2 files" in page.text


def test_check_as_a_process(product: Product) -> None:
    path = samples.write(product.home / "teams.csv", "team_id,team_name\n1,One\nx,Two\n")
    done = product.run("check", str(path))
    assert done.returncode == 1, done.stderr
    assert "2 rows, 1 good, 1 refused (schema 1)" in done.stdout


# ---------------------------------------------------------------- config check


def test_config_check_says_what_the_next_start_would_do(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    new = cli(product, "config", "check", "--json").json["database"]
    assert {"dim_customer", "fact_order", "pipeline_file_log"} < set(new["tables"])
    product.once(expect=0)
    assert "as configured" in cli(product, "config", "check").out

    shipped = yaml.safe_load((ROOT / "config/pipeline_config.yaml").read_text(encoding="utf-8"))
    teams = shipped["schemas"]["teams"]["columns"]
    coupons = {"primary_key": "coupon_id", "columns": [{"name": "coupon_id", "dtype": "int", "nullable": False}]}
    expected = {"watcher": {"batch": {"expected_files": {"coupons.csv": {"table": "Dim_Coupon"}}}}}
    grown = {"teams": {"columns": [*teams, {"name": "floor", "dtype": "int"}]}, "coupons": coupons}
    product.configure(**expected, schemas=grown)
    found = cli(product, "config", "check", "--json").json
    changes = {
        "tables": ["dim_coupon"],
        "columns": ["dim_team.floor"],
        "checks": [],
        "differences": [],
        "others": [],
    }
    assert found["database"] == changes
    order = [file["name"] for file in found["load_order"]]
    assert order.index("cities") < order.index("regions") < order.index("customers") < order.index("orders")
    product.once(expect=0)
    assert cli(product, "config", "check", "--json").json["database"]["tables"] == []

    wide = [{**column, "sql_type": "varchar(9)"} if column["name"] == "team_name" else column for column in teams]
    product.configure(**expected, schemas={"teams": {"columns": wide}, "coupons": coupons})
    shown = cli(product, "config", "check", expect=1).out
    assert "dim_team.team_name: the table has character varying(100)" in shown
    assert "left alone: dim_team.floor" in shown  # only the table has it, and it may be null


def test_config_check_lists_every_problem_of_the_yaml(product: Product) -> None:
    product.configure(
        sla={"refresh_minuts": 1},
        watcher={"batch": {"expected_files": {"agents.csv": {"foreign_keys": {"team_id": "crews"}}}}},
    )
    assert "sla.refresh_minuts: unknown key" in cli(product, "config", "check", expect=1).out
    product.configure(
        watcher={"batch": {"expected_files": {"agents.csv": {"foreign_keys": {"team_id": "crews"}}}}}
    )
    (_, problem) = cli(product, "config", "check", "--json", expect=1).json["problems"]
    assert "'crews', which is not the type of any expected file" in problem


def test_config_check_without_a_database_checks_the_yaml_alone(product: Product) -> None:
    product.env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    assert "can't be reached" in cli(product, "config", "check", expect=2).err
    assert "was not asked" in cli(product, "config", "check", "--no-database").out


# ---------------------------------------------------------------- infer

COUPONS = "coupon_code,customer_id,recipient,mobile,percent,uses,kind,valid_until,is_open,note\n" + "".join(
    f"C{n:04d},{1 + n % 20},person{n}@gift.com,010{n:08d},{n % 50}.5,{'' if n == 3 else n},"
    f"{('gift', 'refund')[n % 2]},2026-03-{1 + n % 28:02d},{n % 2 == 0},\n"
    for n in range(40)
)


def columns_of(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in config["schemas"]["coupons"]["columns"]}


def test_a_proposal_can_be_pasted_and_the_file_loads(make_product: MakeProduct, tmp_path: Path) -> None:
    product = make_product()
    samples.write_master(product.home)
    product.once(expect=0)
    path = samples.write(tmp_path / "coupons.csv", COUPONS)
    text = cli(product, "infer", path, "--name", "coupons").out
    assert "first 40 rows" in text
    config = yaml.safe_load(product.config.read_text(encoding="utf-8"))
    product.config.write_text(yaml.safe_dump(merged(config, yaml.safe_load(text))), encoding="utf-8")
    assert "dim_coupon → customers" in cli(product, "config", "check", "--no-database").out
    product.batch("coupons.csv", COUPONS)
    product.once(expect=0)
    (file,) = product.rows("SELECT * FROM pipeline_file_log WHERE logical_name = 'coupons'")
    assert (file["inserted_records"], file["quarantined"]) == (40, 0)
    assert "@" not in product.value("SELECT recipient FROM dim_coupon LIMIT 1")
    assert cli(product, "verify", "--json").json["differences"] == []


def test_a_proposal_has_types_key_parents_sets_and_personal_data(product: Product) -> None:
    samples.write_master(product.home)
    product.once(expect=0)
    path = samples.write(product.home / "coupons.csv", COUPONS)
    answer = cli(product, "infer", path, "--name", "coupons", "--json")
    found = answer.json
    assert "? recipient: taken for personal data" in answer.err
    config, columns = found["config"], columns_of(found["config"])
    entry = config["watcher"]["batch"]["expected_files"]["coupons.csv"]
    assert entry == {"table": "dim_coupon", "foreign_keys": {"customer_id": "customers"}}
    assert config["schemas"]["coupons"]["primary_key"] == "coupon_code"
    assert columns["coupon_code"]["nullable"] is False
    assert (columns["recipient"]["pii"], columns["mobile"]["pii"]) == ("email", "phone")
    assert columns["percent"] == {"name": "percent", "dtype": "float", "sql_type": "numeric"}
    assert columns["uses"] == {"name": "uses", "dtype": "int"}  # it has a gap
    assert columns["kind"] == {"name": "kind", "dtype": "str"}  # the next file may hold a third
    assert [columns[name]["dtype"] for name in ("valid_until", "is_open", "note")] == ["date", "bool", "str"]
    assert "note: no value" in " ".join(found["notes"])


def test_a_proposal_of_the_stream_reads_json_and_no_more_rows_than_told(product: Product) -> None:
    rows = [
        {"parcel_id": samples.uid("parcel", n), "weight": 0.125 * n, "order_id": samples.uid("order", n)}
        for n in range(9)
    ]
    rows[6]["weight"] = "heavy"
    path = samples.write(product.home / "export.ndjson", rows)
    arguments = ("infer", path, "--name", "parcels", "--feed", "stream", "--rows", 5, "--json")
    found = cli(product, *arguments).json
    assert found["rows_read"] == 5
    expected = {"parcels.ndjson": {"table": "fact_parcel"}}
    assert found["config"]["watcher"]["stream"]["expected_files"] == expected
    assert "order_id: its name says orders" in " ".join(found["notes"])  # and no order is there to compare with
    schema = found["config"]["schemas"]["parcels"]
    assert (schema["primary_key"], schema["columns"][1]["sql_type"]) == ("parcel_id", "numeric")


def test_a_parent_is_one_whose_keys_are_there(product: Product) -> None:
    samples.write_master(product.home)
    product.once(expect=0)
    rows = "".join(f"{n},{1 + n % 20},{9000 + n}\n" for n in range(30))
    path = samples.write(product.home / "gifts.csv", f"gift_id,customer_id,restaurant_id\n{rows}")
    found = cli(product, "infer", path, "--name", "gifts", "--json").json
    entry = found["config"]["watcher"]["batch"]["expected_files"]["gifts.csv"]
    assert entry["foreign_keys"] == {"customer_id": "customers"}
    assert "restaurant_id: its name says restaurants" in " ".join(found["notes"])


def test_infer_says_what_it_can_not_judge(product: Product) -> None:
    twice = samples.write(product.home / "twice.csv", "a,b\n1,2\n1,2\n")
    assert "key: row" in cli(product, "infer", twice, "--name", "twice").err
    cli(product, "infer", twice, "--name", "twice", "--key", "a")
    assert "not a column" in cli(product, "infer", twice, "--name", "twice", "--key", "c", expect=2).err
    assert "already" in cli(product, "infer", twice, "--name", "orders", expect=2).err
    headless = samples.write(product.home / "headless.csv", "17,jane@doe.com\n18,john@doe.com\n")
    answer = cli(product, "infer", headless, "--name", "headless", expect=2)
    assert "header line" in answer.err
    assert "jane" not in answer.err
    german = samples.write(product.home / "german.csv", "a;b\n1;2,5\n2;3,5\n")
    proposed = yaml.safe_load(cli(product, "infer", german, "--name", "german").out)
    (entry,) = proposed["watcher"]["batch"]["expected_files"].values()
    assert entry["read"] == {"delimiter": ";", "decimal": ","}
    text = cli(product, "infer", samples.write(product.home / "no.csv", "id,v\n1,2\n"), "--name", "no").out
    assert "no" in yaml.safe_load(text)["schemas"]
    empty = samples.write(product.home / "empty.csv", "a,b\n")
    assert "no rows" in cli(product, "infer", empty, "--name", "empty", expect=2).err
    binary = samples.write(product.home / "binary.csv", b"PK\x03\x04\x00a")
    assert "zip archive" in cli(product, "infer", binary, "--name", "binary", expect=2).err
    assert "no such file" in cli(product, "infer", product.home / "none.csv", "--name", "none", expect=2).err
    assert "no format" in cli(product, "infer", product.config, "--name", "none", expect=2).err
