"""An alert goes where the first route that fits says, and to all where none does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.settings import AlertingConfig
from utils.channels import registry
from utils.routing import names_of, owners_of, problems

NAMES = ("ops", "night", "billing")
ROUTES = [
    {"kinds": ["Database unavailable", "Pipeline exception"], "to": ["ops", "night"]},
    {"kinds": "Columns differ", "types": ["orders", "payments"], "to": []},
    {"types": "orders", "owners": "shop", "to": "ops"},
    {"owners": ["billing", "audit"], "to": "billing"},
]


@pytest.mark.parametrize(
    ("kind", "file_type", "owner", "names"),
    [
        ("Database unavailable", "", "", ["ops", "night"]),
        ("Database available again", "", "", ["ops", "night"]),
        ("Pipeline exception", "payments", "billing", ["ops", "night"]),
        ("Columns differ", "payments", "billing", []),
        ("Columns differ", "invoices", "billing", ["billing"]),
        ("File failed", "orders", "shop", ["ops"]),
        ("File failed", "orders", "audit", ["billing"]),
        ("File failed", "orders", "", ["ops", "night", "billing"]),
        ("Loading held up", "", "", ["ops", "night", "billing"]),
        ("Late file has come", "payments", "billing", ["billing"]),
    ],
)
def test_the_first_route_that_fits_decides(kind: str, file_type: str, owner: str, names: list[str]) -> None:
    config = AlertingConfig.model_validate({"routes": ROUTES})
    assert names_of(config, NAMES, kind, file_type, owner) == names


def keyed_by(name: str) -> dict[str, Any]:
    return {"primary_key": name, "columns": [{"name": name, "dtype": "int", "nullable": False}]}


def expected(**of_items: Any) -> dict[str, Any]:
    return {
        "watcher": {"stream": {"expected_files": {"items.csv": {"table": "dim_item", **of_items}}}},
        "schemas": {"items": keyed_by("id")},
    }


CHANNELS = {"channels": {"slack-shop": {"apprise": {"urls": ["json://x"]}}}}


@pytest.mark.parametrize(
    ("alerting", "told"),
    [
        ({"routes": [{"kinds": ["File faild"], "to": "slack-shop"}]},
         "alerting.routes.0.kinds: 'File faild' is none of the kinds of alerts; did you mean File failed?"),
        ({"routes": [{"kinds": ["Database available again"], "to": "slack-shop"}]},
         "alerting.routes.0.kinds: 'Database available again' goes where 'Database unavailable' goes; name that"),
        ({"routes": [{"types": ["item"], "to": "slack-shop"}]},
         "alerting.routes.0.types: 'item' is none of the types of files; did you mean items?"),
        ({"routes": [{"owners": ["shpo"], "to": "slack-shop"}]},
         "alerting.routes.0.owners: 'shpo' is none of the owners of expected files; did you mean shop?"),
        ({"routes": [{"to": ["slack"]}]},
         "alerting.routes.0.to: 'slack' is none of the channels; did you mean slack-shop?"),
        ({"routes": [{"kinds": "File failed"}]}, "alerting.routes.0.to: missing"),
        ({"channels": {"smtp": {"smtp": {}}}},
         "alerting.channels.smtp: smtp is what alerting.smtp is called; choose another name"),
        ({"channels": {"a": {}}}, "alerting.channels.a: give one section, of smtp or apprise"),
        ({"channels": {"a": {"aprise": {"urls": []}}}},
         "alerting.channels.a.aprise: no kind of channel; did you mean apprise?"),
        ({"channels": {"a": {"apprise": {"url": "s3cret"}}}},
         "alerting.channels.a.apprise.url: unknown key; check its spelling and its place"),
        ({"enabled": True, "channels": {"a": {"apprise": {}}}},
         "alerting.channels.a.apprise.urls: needed while alerting.enabled is true"),
        ({"enabled": True, "apprise": {"urls": ["json://x", "slakc://s3cret"]}},
         "alerting.apprise.urls.1: apprise has no slakc://; did you mean slack?"),
        ({"enabled": True, "apprise": {"urls": ["slack://s3cret"]}},
         "alerting.apprise.urls.0: apprise can't read what comes after slack://, or lacks a package for it; see "
         "https://appriseit.com/services/slack/"),
        ({"enabled": True, "apprise": {"urls": ["s3cret"]}},
         "alerting.apprise.urls.0: no URL of apprise's; it begins as in slack://, see "
         "https://appriseit.com/services"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_there_is_refused_with_what_was_meant(
    tmp_path: Path, alerting: dict[str, Any], told: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({**expected(owner="shop"), "alerting": {**CHANNELS, **alerting}}))
    with pytest.raises(ConfigError) as caught:
        get_config(path, checks=[registry.problems, problems])
    assert f"  - {told}" in str(caught.value).splitlines()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("report_to", "alerting", "told"),
    [
        ("a@b", CHANNELS, "report_to: it goes by mail, and there is no alerting.smtp; add that"),
        (["a@b", "x"], {}, "report_to: Value error, write addresses of mail, as in sender@example.org"),
        ("a@b,c@d", {}, "report_to: Value error, write addresses of mail, as in sender@example.org"),
        ("a@b\nBcc: c@d", {}, "report_to: Value error, write addresses of mail, as in sender@example.org"),
    ],
)
def test_a_report_needs_an_address_and_a_mail_server(
    tmp_path: Path, report_to: Any, alerting: dict[str, Any], told: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({**expected(report_to=report_to), "alerting": alerting}))
    with pytest.raises(ConfigError) as caught:
        get_config(path, checks=[problems])
    assert f"watcher.stream.expected_files.items.csv.{told}" in str(caught.value)


def test_a_type_has_one_owner_and_rows_within_records_that_of_their_parents(tmp_path: Path) -> None:
    config = expected(owner="shop")
    files = config["watcher"]["stream"]["expected_files"]
    files["parts"] = {"table": "dim_part", "from_child": {"of": "items", "path": "parts"}}
    files["items.json"] = files.pop("items.csv")
    config["schemas"]["parts"] = keyed_by("no")
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(config))
    assert owners_of(get_config(path)) == {"items": "shop", "parts": "shop"}
    config["watcher"]["batch"] = {"expected_files": {"items.json": {"table": "dim_item", "owner": "else"}}}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"owner: items is owned by else; a type has one"):
        get_config(path)
