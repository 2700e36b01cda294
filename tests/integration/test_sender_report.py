"""Whoever sends a file is told what is wrong in it, by mail, and gets to see nobody's data but masked."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from config.settings import DatabaseConfig
from tests.integration.documents import documented
from tests.integration.home import Home
from tests.integration.test_alerter import Mailbox, serving

SENDER = documented("To whoever sends the files")["watcher"]["stream"]["expected_files"]["orders.json"][
    "report_to"
]
CANARY = "mona.canary@example.com"
SCHEMAS = {
    "people": {
        "primary_key": "person_id",
        "columns": [
            {"name": "person_id", "dtype": "int", "nullable": False},
            {"name": "email", "dtype": "str", "pii": "email", "rules": {"email": {"domains": ["org"]}}},
            {"name": "size", "dtype": "int", "rules": {"at_least": {"value": 0, "says": "sizes are in cm"}}},
            {"name": "boss_id", "dtype": "int"},
        ],
    }
}


@pytest.fixture
def home(tmp_path: Path, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("PII_HASH_KEY", "0123456789abcdef")
    return Home(tmp_path, database, monkeypatch)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with serving(Mailbox()) as mailbox:
        yield mailbox


def configure(home: Home, mailbox: Mailbox, **smtp: Any) -> None:
    entry = {
        "table": "dim_person",
        "kind": "dimension",
        "foreign_keys": {"boss_id": "people"},
        "report_to": SENDER,
    }
    server = {"host": "127.0.0.1", "port": mailbox.port, "security": "none", "sender": "pipeline@b.example"}
    home.configure(
        {"people*.csv": entry},
        SCHEMAS,
        reader={"file_type_map": {"people*.csv": "people"}},
        alerting={"enabled": True, "smtp": {**server, "receivers": ["team@b.example"], **smtp}},
    )


def pages(mail: EmailMessage) -> list[str]:
    return [str(part.get_content()) for part in mail.iter_attachments()]


def test_the_sender_gets_the_rows_and_reasons_of_all_bad_files_in_one_mail(home: Home, mailbox: Mailbox) -> None:
    configure(home, mailbox)
    home.put("people_1.csv", f"person_id,email,size,boss_id\n1,{CANARY},5,\n2,a@b.org,-7,\n3,a@b.org,1,\n")
    home.put("people_2.csv", "person_id,email\n4,a@b.org\n")
    home.put("people_3.csv", "person_id,email,size,boss_id\n5,a@b.org,1,\n")
    home.put("people_4.csv", "person_id,email,size,boss_id\n6,a@b.org,1,99\n")  # its parent may come
    home.turn()
    (mail,) = (one for one in mailbox.mails if one["To"] == SENDER)
    assert mail["Subject"] == "Files with problems: people (2 files)"
    body = mail.get_body(("plain",))
    assert body is not None
    text = str(body.get_content())
    assert "people_1.csv: 2 of 3 rows are refused" in text
    assert "people_2.csv: the columns are not those" in text
    assert "people_3.csv" not in text
    assert "people_4.csv" not in text
    first, second = pages(mail)
    for part in ("2 of 3 rows are refused", "sizes are in cm", '<td class="value">-7</td>', "email"):
        assert part in first
    assert "The file is refused as a whole" in second
    everything = "".join([*pages(mail), text, *(one.as_string() for one in mailbox.mails)])
    assert CANARY not in everything

    home.turn()
    assert sum(one["To"] == SENDER for one in mailbox.mails) == 1, "a restart reports nothing twice"
