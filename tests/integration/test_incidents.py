"""Files with one fault are one message that opens and one that closes, in one thread, over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import DatabaseConfig
from tests.integration.home import Home
from tests.integration.test_after_load import SCHEMAS
from tests.integration.test_alerter import Mailbox, serving
from tests.integration.webhook import Webhook

FILES = 12


@pytest.fixture
def home(tmp_path: Path, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, database, monkeypatch)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with serving(Mailbox()) as mailbox:
        yield mailbox


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook().serving() as webhook:
        yield webhook


def configure(home: Home, mailbox: Mailbox, webhook: Webhook, **entry: Any) -> None:
    smtp = {
        "host": "127.0.0.1",
        "port": mailbox.port,
        "security": "none",
        "sender": "a@b.example",
        "receivers": ["c@d"],
    }
    entry = {"table": "dim_thing", "kind": "dimension", "owner": "stock", **entry}
    home.configure(
        {"things*.csv": entry},
        SCHEMAS,
        reader={"file_type_map": {"things*.csv": "things"}},
        alerting={"enabled": True, "smtp": smtp, "apprise": {"urls": [webhook.url()]}},
        quarantine={"alert_above": 1},
    )


def test_files_with_one_fault_are_one_message_that_opens_and_one_that_closes(
    home: Home, mailbox: Mailbox, webhook: Webhook
) -> None:
    configure(home, mailbox, webhook)
    for n in range(FILES // 2):
        home.put(f"things_{n}.csv", f"thing_id,size,colour\n{n},1,red\n")
    home.turn()
    for n in range(FILES // 2, FILES):
        home.put(f"things_{n}.csv", f"thing_id,size,colour\n{n},1,red\n")
    home.turn()
    (opening,) = mailbox.mails
    assert opening["Subject"] == "Alert: File failed: things"
    for part in ("Owner: stock", "colour", "files --type things --status failed"):
        assert part in opening.get_content()

    configure(home, mailbox, webhook, new_columns="ignore")
    home.turn()
    assert home.rows("SELECT count(*) FROM dim_thing") == [(FILES,)]
    _, closing = (mail for mail in mailbox.mails if "File failed" in mail["Subject"])
    assert closing["Subject"] == "Re: Alert: File failed: things"
    assert closing["References"] == closing["In-Reply-To"] == opening["Message-ID"]
    assert closing["Message-ID"] != opening["Message-ID"]
    for part in ("is over", "Over: Failed files mended", f"In all: {FILES} times", "Owner: stock", "colour"):
        assert part in closing.get_content()
    first, last = (post for _, post in webhook.posts if "File failed" in post["title"])
    assert first["title"] == last["title"]  # with the incident's key, by which a pager resolves it
    assert (first["type"], last["type"]) == ("warning", "success")


def test_refused_rows_open_and_the_next_good_file_closes(home: Home, mailbox: Mailbox, webhook: Webhook) -> None:
    configure(home, mailbox, webhook)
    home.put("things_1.csv", "thing_id,size\n1,x\n2,x\n")
    home.put("things_2.csv", "thing_id,size\n3,x\n4,x\n5,5\n")
    home.turn()
    assert sorted(webhook.titles()) == ["High quarantine volume: things", "Nothing loaded: things"]
    home.put("things_1.csv", "thing_id,size\n1,1\n2,2\n", hour=9)
    home.turn()
    over = [post["message"].partition("\n")[0] for _, post in webhook.posts[2:]]
    assert sorted(over) == [
        "Over: High quarantine volume: the last file has less",
        "Over: Nothing loaded: mended",
    ]
    home.turn()
    assert len(webhook.posts) == len(mailbox.mails) == 4
