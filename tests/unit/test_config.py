"""A bad configuration is refused at the start: every problem in one message, each with its key's path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import config_loader
from config.config_loader import DEFAULT_CONFIG, get_config, without_pii_key
from config.errors import ConfigError
from config.file_names import logical_stem, spec_for
from config.model import Feed
from config.settings import PipelineConfig
from config.sql_types import SqlType
from ingestion.formats import registry
from ingestion.formats.csv_options import CsvOptions
from utils import routing
from utils.channels import registry as channels
from validation import defaults, rules

SMALL: dict[str, Any] = {
    "watcher": {
        "batch": {
            "expected_files": {
                "people.csv": {"table": "Dim_Person"},
                "pets.csv": {"table": "dim_pet", "foreign_keys": {"person_id": "people"}},
            }
        },
        "stream": {},
    },
    "schemas": {
        "people": {
            "primary_key": "person_id",
            "columns": [
                {"name": "person_id", "dtype": "int", "nullable": False},
                {"name": "name", "dtype": "str", "sql_type": "varchar(20)"},
            ],
        },
        "pets": {
            "primary_key": "pet_id",
            "columns": [
                {"name": "pet_id", "dtype": "int", "nullable": False},
                {"name": "person_id", "dtype": "int"},
                {"name": "born", "dtype": "datetime"},
            ],
        },
    },
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "PII_HASH_KEY", "FASTFEAST_CONFIG", "PGPASSWORD", "ALERTING_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setattr(config_loader, "PROJECT_ROOT", tmp_path / "project")
    return tmp_path


def changed(path: str, value: Any) -> dict[str, Any]:
    """SMALL with another value at `path`; None takes the key away."""
    config: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SMALL))
    *keys, last = path.split("/")
    node: Any = config
    for key in keys:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return config


def load(home: Path, config: Any) -> PipelineConfig:
    file = home / "config.yaml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return get_config(
        file, checks=[rules.problems, defaults.problems, registry.problems, channels.problems, routing.problems]
    )


def problems(home: Path, config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(home, config)
    return str(caught.value)


def test_the_shipped_configuration_is_sound_and_parents_come_first() -> None:
    config = get_config(DEFAULT_CONFIG, checks=[rules.problems, defaults.problems, registry.problems])
    names = [spec.name for spec in config.files]
    assert len(names) == 16
    for spec in config.files:
        for key in spec.foreign_keys:
            assert names.index(key.parent) < names.index(spec.name)


def test_a_small_configuration_needs_nothing_else(home: Path) -> None:
    config = load(home, SMALL)
    assert [(spec.name, spec.table, spec.level) for spec in config.files] == [
        ("people", "dim_person", 0),
        ("pets", "dim_pet", 1),
    ]
    assert config.path("data/x") == home / "data/x"


PETS = "watcher/batch/expected_files/pets.csv"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("databse", {}, "databse: unknown key"),
        ("web", {"host": "0.0.0.0"}, "web.host: 0.0.0.0 can be reached .* web.token is not set; set WEB_TOKEN"),  # noqa: S104
        ("web", {"token": "too-short"}, "web.token: 9 characters, needs 16"),
        ("watcher/batch/trigger_hour", 24, "watcher.batch.trigger_hour: .*less than or equal to 23.*24"),
        ("watcher/batch/expected_files/x.csv", {"table": "t"}, "x.csv: no schema 'x' under schemas"),
        (
            f"{PETS[:-4]}.pdf",
            SMALL["watcher"]["batch"]["expected_files"]["pets.csv"],
            r"files.pets.pdf: no format reads \.pdf; ",
        ),
        (f"{PETS}/table", "quarantine", "quarantine is a table of the pipeline itself"),
        (f"{PETS}/table", "a b", "'a b' is not a table name"),
        (f"{PETS}/table", "dim_person", "dim_person is already the table of 'people'"),
        (f"{PETS}/foreign_keys", {"person_id": "nobody"}, "refers to 'nobody', which is not the type"),
        (f"{PETS}/foreign_keys", {"x": "people"}, "'x' is not a column of schemas.pets"),
        (f"{PETS}/foreign_keys", {"born": "people"}, "born is datetime, but people.person_id is int"),
        (
            "watcher/batch/expected_files/people.csv/foreign_keys",
            {"person_id": "pets"},
            "foreign keys run in a circle: people → pets → people",
        ),
        (f"{PETS}/contract", {"expected_by": "25:00"}, r"pets.csv.contract.expected_by: .* written HH:MM"),
        (f"{PETS}/contract", {"expected_by": 630}, r"contract.expected_by: .* written HH:MM, as in 06:30"),
        (
            f"{PETS}/contract",
            {"expected_every": "soon"},
            "contract.expected_every: .* written as in 90m, 1h or 2d",
        ),
        (f"{PETS}/contract", {"min_rows": 3, "max_rows": 2}, "contract.min_rows: 3 is more than max_rows 2"),
        (f"{PETS}/contract", {"min_rows": -1}, "contract.min_rows: .*greater than or equal to 0"),
        (f"{PETS}/contract", {"rows_band_pct": 0}, "contract.rows_band_pct: .*greater than 0"),
        (f"{PETS}/contract", {"max_reject_pct": 101}, "contract.max_reject_pct: .*less than or equal to 100"),
        (f"{PETS}/contract", {"abort": True}, "contract.abort: needs max_reject_pct"),
        (f"{PETS}/contract", {"expect_by": "06:00"}, "contract.expect_by: unknown key"),
        (f"{PETS}/table", "contract_breach", "contract_breach is a table of the pipeline itself"),
        (f"{PETS}/derive", {"d": {"date_key": "nope"}}, "derive.d: 'nope' is not a column"),
        (f"{PETS}/derive", {"d": {"date_key": "born", "time_key": "born"}}, "derive.d: give exactly one of"),
        (f"{PETS}/derive", {"born": {"date_key": "born"}}, "derive.born: the table already has a column"),
        (f"{PETS}/indexes", ["nope"], "pets.csv.indexes: 'nope' is not a column of schemas.pets"),
        (
            f"{PETS}/on_conflict",
            "update_if_newer",
            r"newer_by: update_if_newer needs the name of a datetime column",
        ),
        ("schemas/pets/primary_key", "nope", "schemas.pets.primary_key: 'nope' is not one of its columns"),
        ("schemas/pets/columns/0/nullable", True, "'pet_id' must be int, str, date, datetime or uuid"),
        ("schemas/pets/columns/1/name", "pet_id", "column 'pet_id' is given twice"),
        ("schemas/pets/columns/1/dtype", "integer", "schemas.pets.columns.1.dtype: Input should be 'str'"),
        ("schemas/people/columns/1/sql_type", "varchar", "columns.name: sql_type 'varchar' needs one length"),
        ("schemas/people/columns/1/sql_type", "integer", "sql_type integer does not hold dtype str"),
        ("schemas/people/columns/1/sql_type", "text); DROP TABLE x", "columns.name: sql_type .* is not one of"),
        ("schemas/people/columns/1/stored_as", "_file_id", "a name that the pipeline uses itself"),
        (
            "schemas/people/columns/1/rules",
            {"nope": 1},
            r"columns.name.rules.nope: no such rule; there are ascii",
        ),
        ("schemas/people/columns/1/rules", {"at_least": 1}, "at_least: does not judge dtype str"),
        ("schemas/people/columns/1/rules", {"exact_length": "x"}, r"rules.length: .* \(given: 'x'\)"),
        ("schemas/people/columns/1/rules", {"matches": "("}, "matches: not a regular expression"),
        ("schemas/people/columns/1/rules", {"required_when": {"z": ["a"]}}, "'z' is not a str column"),
        ("schemas/unused", SMALL["schemas"]["people"], "schemas.unused: no expected file uses it"),
        ("database/pool", {"min": 5, "max": 2}, "database.pool: min 5 is more than max 2"),
        ("pii/hash_key", "short", "pii.hash_key: 5 characters, needs 16"),
        ("alerting/enabled", True, "alerting.smtp.host: needed while alerting.enabled"),
        ("watcher/stream/dir", "data/input/batch/x", "lies within watcher.batch.dir"),
        ("validation/dates", ["2030-01-01", "2020-01-01"], "the first is after the last"),
    ],
)
def test_every_mistake_is_named_by_its_path(home: Path, path: str, value: Any, message: str) -> None:
    import re

    assert re.search(message, problems(home, changed(path, value)))


def test_a_contract_that_can_not_be_kept_is_refused(home: Path) -> None:
    contract = {"contract": {"expected_by": "05:59"}}
    config = changed("watcher/batch/trigger_hour", 6)
    config["watcher"]["batch"]["expected_files"]["pets.csv"] |= contract
    assert "expected_by: nothing is read before watcher.batch.trigger_hour, 6:00" in problems(home, config)
    config = changed("watcher/stream/expected_files", {"pets.csv": {"table": "dim_pet", **contract}})
    del config["watcher"]["batch"]["expected_files"]["pets.csv"]
    assert "contract.expected_by: goes with batch files" in problems(home, config)
    config = changed("reader", {"file_type_map": {"more_pets.csv": "pets"}})
    files = config["watcher"]["batch"]["expected_files"]
    files["more_pets.csv"] = dict(files["pets.csv"])
    files["pets.csv"] |= contract
    assert "more_pets.csv is of type 'pets' too; only one may be" in problems(home, config)


@pytest.mark.parametrize("written", ["06:30", "18:30", "6:30", "'18:30'"])
def test_a_time_of_day_needs_no_quotes(home: Path, written: str) -> None:
    text = yaml.safe_dump(SMALL).replace(
        "table: dim_pet", f"table: dim_pet\n        contract: {{expected_by: {written}}}"
    )
    config = load(home, text)
    contract = config.by_logical_name["pets"].contract
    assert contract is not None
    assert f"{contract.expected_by:%H:%M}" == written.strip("'").zfill(5)


def test_all_problems_come_in_one_message(home: Path) -> None:
    config = changed("watcher/batch/trigger_hour", 99)
    config["nonsense"] = 1
    text = problems(home, config)
    assert "2 problems" in text
    assert "trigger_hour" in text
    assert "nonsense" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line 1"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("- 1", "should be a valid dictionary"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_what_is_not_a_configuration_is_said_so(home: Path, text: str, message: str) -> None:
    assert message in problems(home, text)


def test_a_missing_file_names_the_way_out(home: Path) -> None:
    with pytest.raises(ConfigError, match="FASTFEAST_CONFIG"):
        get_config(home / "nowhere.yaml")


def test_variables_come_from_the_environment_then_env_then_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".env").write_text("FROM_FILE=file\nBOTH=file\n")
    monkeypatch.setenv("BOTH", "process")
    config = changed("database", {"user": "${BOTH}-${FROM_FILE}-${NOWHERE:-default}"})
    assert load(home, config).database.user == "process-file-default"


def test_the_projects_env_is_used_where_the_home_has_none(home: Path) -> None:
    (home / "project").mkdir()
    (home / "project" / ".env").write_text(f"PII_HASH_KEY={'k' * 16}\n")
    assert load(home, SMALL).pii.hash_key == "k" * 16
    (home / ".env").write_text("")
    assert load(home, SMALL).pii.hash_key is None


def test_personal_columns_without_a_key_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_pii_key(load(home, SMALL)) is None
    shipped = get_config(DEFAULT_CONFIG)
    assert "agents, customers, drivers" in (without_pii_key(shipped) or "")
    monkeypatch.setenv("PII_HASH_KEY", "k" * 16)
    assert without_pii_key(get_config(DEFAULT_CONFIG)) is None


def test_decimals_are_rounded_only_where_there_is_a_scale(home: Path) -> None:
    text = problems(home, changed("schemas/people/columns/0/round", True))
    assert "schemas.people.columns.person_id: round goes with sql_type numeric(p,s)" in text


def test_a_word_for_null_that_yaml_reads_as_something_else_is_told(home: Path) -> None:
    assert "reader.null_values.1: Value error, write it in quotes" in problems(
        home, changed("reader", {"null_values": ["", None]})
    )


def test_a_variable_is_needed_only_by_what_is_switched_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    password = {"password": "${PGPASSWORD}"}
    assert load(home, changed("database", password)).database.embedded
    text = problems(home, changed("database", {**password, "embedded": False}))
    assert "database.password: the environment variable PGPASSWORD is not set" in text
    monkeypatch.setenv("DATABASE_URL", "postgresql://x@y/z")
    assert load(home, changed("database", {**password, "embedded": False})).database.url == "postgresql://x@y/z"


def test_a_secret_is_never_shown(home: Path) -> None:
    assert "hunter2" not in problems(home, changed("database", {"password": ["hunter2"]}))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("int", "integer"),
        ("VARCHAR(36)", "varchar(36)"),
        ("numeric( 10 , 2 )", "numeric(10,2)"),
        ("timestamp", "timestamp without time zone"),
        ("float8", "double precision"),
    ],
)
def test_sql_types_have_one_name(text: str, name: str) -> None:
    assert str(SqlType.parse(text)) == name


def test_file_names_are_told_apart() -> None:
    config = get_config(DEFAULT_CONFIG)
    assert logical_stem("orders.json.gz") == ("orders", ".json")
    assert logical_stem("orders.XLSX") == ("orders", ".xlsx")
    assert logical_stem("orders") == ("orders", "")
    assert logical_stem(".csv") == (".csv", "")
    found = spec_for(config.files, Feed.STREAM, "orders.json.gz")
    assert found is not None
    assert found.table == "fact_order"
    assert spec_for(config.files, Feed.BATCH, "orders.json") is None


@pytest.mark.parametrize(("given", "found"), [(";", ";"), ("tab", "\t"), ("\t", "\t"), (" ", " ")])
def test_a_delimiter_is_one_character_or_tab_for_one_file_or_for_all(home: Path, given: str, found: str) -> None:
    of_one = load(home, changed("watcher/batch/expected_files/people.csv/read", {"delimiter": given}))
    assert delimiters(of_one) == {"people": found, "pets": ","}
    of_all = changed("watcher/batch/expected_files/people.csv/read", {"delimiter": "|"})
    loaded = load(home, {**of_all, "reader": {"delimiter": given}})
    assert delimiters(loaded) == {"people": "|", "pets": found}


def delimiters(config: PipelineConfig) -> dict[str, str]:
    found = {}
    for spec in config.files:
        _, options = registry.FORMATS.get(spec.read, spec.pattern)
        assert isinstance(options, CsvOptions)
        found[spec.name] = options.delimiter
    return found


@pytest.mark.parametrize("given", ["", ";;", "comma", '"', "\n", "§"])
def test_any_other_delimiter_is_refused_by_its_key(home: Path, given: str) -> None:
    text = problems(home, changed("watcher/batch/expected_files/people.csv/read", {"delimiter": given}))
    assert "expected_files.people.csv.read.delimiter" in text
    assert "a delimiter is one ASCII character" in text


BY_BORN = {"newer_by": "born"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"keep": "first"}, "first"),
        ({"keep": "latest", **BY_BORN}, "latest"),
        ({"keep": "latest"}, "latest"),
        ({"on_conflict": "update_if_newer", **BY_BORN}, "latest"),
        ({"keep": "latest", "on_conflict": "update_if_newer", **BY_BORN}, "latest"),
        ({}, "first"),
    ],
)
def test_what_becomes_of_a_known_key_is_said_in_either_way(home: Path, said: dict[str, Any], meant: str) -> None:
    config = changed(PETS, {**SMALL["watcher"]["batch"]["expected_files"]["pets.csv"], **said})
    assert load(home, config).by_logical_name["pets"].keep == meant


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"keep": "latest", "newer_by": "name"}, "'name' is not a datetime or date column of schemas.pets"),
        ({"keep": "latest", "track": ["name"]}, "track: goes with keep: history"),
        ({"keep": "history", "track": ["named"]}, "track: 'named' is not a column of schemas.pets"),
        (
            {"keep": "latest", "on_conflict": "nothing", **BY_BORN},
            "keep: latest says another thing than on_conflict",
        ),
        ({"keep": "first", "on_conflict": "update_if_newer", **BY_BORN}, "keep: first says another thing"),
        ({"keep": "newest"}, "keep: .*'first', 'latest' or 'history'"),
    ],
)
def test_two_keys_that_say_different_things_are_refused(home: Path, said: dict[str, Any], message: str) -> None:
    config = changed(PETS, {**SMALL["watcher"]["batch"]["expected_files"]["pets.csv"], **said})
    assert re.search(message, problems(home, config))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *(
            ("schemas/pets/columns/2/name", name, f"'{name}' is {whose}.*; give it another name.*stored_as")
            for whose, names in {
                "PostgreSQL's own": ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"),
                "a name that the pipeline uses": ("_file_id", "_loaded_at"),
            }.items()
            for name in names
        ),
        ("schemas/pets/columns/2/name", "é" * 40, "its name has 80 bytes, .* 63 at most; .*stored_as"),
        ("schemas/pets/columns/2/stored_as", "Pet_ID", "'pet_id' is given twice; capitals make no difference"),
        (f"{PETS}/table", "pg_class", "pg_class: names that begin with pg_ are PostgreSQL"),
        (f"{PETS}/derive", {"xmin": {"date_key": "born"}}, "derive.xmin: 'xmin' is PostgreSQL's own"),
        (f"{PETS}/derive", {"d" * 64: {"date_key": "born"}}, "derive.d+: its name has 64 bytes"),
    ],
)
def test_a_name_that_no_table_can_have_is_refused_with_the_way_out(
    home: Path, path: str, value: Any, message: str
) -> None:
    assert re.search(message, problems(home, changed(path, value)))


def test_a_header_may_be_longer_than_the_name_of_a_column(home: Path) -> None:
    long = {"name": "How satisfied are you, on a scale of 1 to 5? " * 3, "dtype": "int", "stored_as": "satisfied"}
    columns = [*SMALL["schemas"]["pets"]["columns"][:2], long]
    config = load(home, changed("schemas/pets/columns", columns))
    assert config.by_logical_name["pets"].schema.columns[2].target == "satisfied"
