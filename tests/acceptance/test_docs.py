"""The documentation holds: its session says what is printed there, its queries run, its tables match the code.

A comment before a code block says how it is run: `<!-- test: skip, WHY -->`, `embedded` (beside the service of the
first session), `embedded, stopped` (after it), `daemon` and `daemon stopped` (the service's own console).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.config_loader import get_config
from config.model import Dtype
from config.settings import ConfigFile
from ingestion.formats import registry
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, SHIPPED_CONFIG, Daemon, Product, merged
from utils.channels.registry import CHANNELS
from validation import rules
from workbench.session import CHECKS

README, WAREHOUSE = "README.md", "README_datawarehouse.md"
CONFIGURATION, OPERATIONS, REPAIRS = "docs/configuration.md", "docs/operations.md", "docs/putting-things-right.md"
PROSE = ("CHANGELOG.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/reliability.md", "docs/scaling.md")
DOCUMENTS = (README, CONFIGURATION, OPERATIONS, REPAIRS, WAREHOUSE, "docs/bi.md", "docs/infer.md", *PROSE)
DEMO = "/tmp/fastfeast-demo"
HASH_KEY = "what make run wrote into .env"
LINEAGE = {"_file_id", "_loaded_at"}
Check = Callable[[str, str, Callable[[], str]], None]  # command, what the document shows, what it gives


class Block(NamedTuple):
    document: str
    line: int
    section: str
    language: str
    mark: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


PARTS = r"""(?mx)
    ^\#\#\ (?P<section>.+)$
    | ^\ *<!--\ test:\ (?P<mark>.+)\ -->$
    | ^(?P<pad>\ *)```(?P<lang>\w+)\n(?P<body>(?:.*\n)*?)\ *```$
"""


def blocks_of(document: str) -> Iterator[Block]:
    """The fenced blocks, without their indentation."""
    section, mark, text = "", "", read(document)
    for match in re.finditer(PARTS, text):
        if match["lang"]:
            body = re.sub(rf"(?m)^{match['pad']}", "", match["body"])
            line = text.count("\n", 0, match.start()) + 1
            yield Block(document, line, section, match["lang"], mark, body)
        section, mark = match["section"] or section, match["mark"] or ""


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def chosen(language: str, mark: str = "") -> list[Any]:
    found = [block for block in BLOCKS if block.language == language and block.mark == mark]
    return [pytest.param(block, id=block.name) for block in found]


def table_rows(document: str, header: str) -> Iterator[tuple[str, list[str]]]:
    """(the heading above it, cells) of every row of the tables with this header; cells without back quotes."""
    heading, inside = "", False
    for line in read(document).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line == header:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            yield heading, [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]


# ---------------------------------------------------------------- the first session


class Session:
    """Two terminals: the service in one, commands in the other."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.daemon: Daemon | None = None
        self.banner_end = 0

    def run(self, command: str, shown: str, check: Check) -> None:
        command = command.replace(DEMO, str(self.product.home))
        check(command, shown, lambda: shell(self.product, command))

    def start(self, command: str, shown: str, check: Check) -> None:
        self.daemon = self.product.start().wait_for_banner()
        check(command, shown, self.daemon.output)
        self.banner_end = len(self.daemon.output())

    def stop(self, shown: str, check: Check) -> None:
        assert self.daemon is not None
        assert self.daemon.stop(signal.SIGINT) == 0, self.daemon.output()
        check("Ctrl-C", shown, lambda: self.daemon.output()[self.banner_end :] if self.daemon else "")

    def play(self, check: Check) -> None:
        """All of it, and within it the blocks that need the embedded server."""
        for block in [block for block in BLOCKS if block.section == "A first session"]:
            if block.mark == "daemon stopped":
                self.alongside("embedded")
                self.stop(block.text, check)
                self.alongside("embedded, stopped")
                continue
            for step in re.split(r"(?m)^\$ ", block.text)[1:]:
                command, _, shown = step.partition("\n")
                (self.start if block.mark == "daemon" else self.run)(command, shown, check)

    def alongside(self, mark: str) -> None:
        script = "\n".join(block.text for block in BLOCKS if block.language == "bash" and block.mark == mark)
        assert script
        shell(self.product, script)


def shell(product: Product, script: str, *options: str) -> str:
    """What the script says, on both streams; it has to end with 0.

    Its variables are those of the product. Where it has nothing but commands of the product, no shell is needed.
    """
    commands = [arguments_of(line) for line in script.strip().splitlines()]
    if all(commands):
        return "".join(said_by(product, arguments) for arguments in commands)
    env = product.environment()
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    options = options or ("-eu", "-o", "pipefail")
    done = subprocess.run(
        ["bash", *options, "-c", script],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}"
    return done.stdout


def arguments_of(line: str) -> list[str]:
    """Those of a command of the product; none where the line is another, or needs a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer) if line.startswith("python main.py ") and not set("$`\\") & set(line) else []
    return [] if any(not set(word) - set("();<>|&") for word in words) else words[2:]


def said_by(product: Product, arguments: list[str]) -> str:
    command = product.start(*product.command(*arguments))
    try:
        code = command.process.wait(120)
    finally:
        command.kill()
    assert code == 0, f"{arguments}\n{command.output()[-3000:]}"
    return command.output()


def plain(text: str, home: Path) -> str:
    """Without what differs from run to run: folder, milliseconds, port, today, spaces at line ends."""
    text = re.sub(r"[\d,]+ ms\b", "# ms", text.replace(str(home), DEMO))
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"/batch/\d{4}-\d\d-\d\d/", "/batch/DAY/", text)
    text = re.sub(r"(?m)^✓ \d{4}-\d\d-\d\d/(?!\d\d/)", "✓ DAY/", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def fits(shown: str, given: str) -> bool:
    """Is `given` as `shown`, where a line of three dots stands for any lines?"""
    pattern = "".join(r"(?:.*\n)*" if line == "..." else re.escape(line) + r"\n" for line in shown.splitlines())
    return re.fullmatch(pattern, f"{given}\n" if given else "") is not None


@pytest.fixture
def session(embedded_server: dict[str, Any]) -> Iterator[Session]:
    # By now root has an account to run PostgreSQL as: making one is a line on the console.
    folder = Path(tempfile.mkdtemp(prefix="ff-docs-", dir="/tmp"))  # short, for the server's socket
    folder.chmod(0o711)  # the server's own account must pass through, when the tests run as root
    session = Session(Product(folder / "home", web={"enabled": True}))
    session.product.env["PII_HASH_KEY"] = HASH_KEY
    yield session
    if session.daemon is not None:
        session.daemon.kill()
    shutil.rmtree(folder)


def test_the_first_session_goes_as_printed(session: Session) -> None:
    home = session.product.home

    def check(command: str, shown: str, give: Callable[[], str]) -> None:
        deadline = time.monotonic() + (40 if command.startswith("python main.py psql") else 0)
        given = plain(give(), home)
        while not fits(plain(shown, home), given) and time.monotonic() < deadline:
            time.sleep(0.2)
            given = plain(give(), home)
        assert fits(plain(shown, home), given), f"{command}\nshown:\n{shown}\ngiven:\n{given}"

    session.play(check)


def test_putting_things_right_goes_as_printed(make_product: MakeProduct) -> None:
    product = make_product()
    product.env["PII_HASH_KEY"] = HASH_KEY
    home = product.home
    for block in [block for block in BLOCKS if block.language == "console" and block.document == REPAIRS]:
        for step in re.split(r"(?m)^\$ ", block.text)[1:]:
            command, _, shown = step.partition("\n")
            if not command.startswith("export "):
                given = plain(shell(product, command.replace(DEMO, str(home))), home)
                assert fits(plain(shown, home), given), f"{command}\nshown:\n{shown}\ngiven:\n{given}"


# ---------------------------------------------------------------- commands and queries


@pytest.fixture(scope="module")
def loaded(make_product: MakeProduct) -> Product:
    """A simulated day in a database of its own."""
    product = make_product()
    shell(product, "python -m scripts.simulate_day --date 2026-02-20 --hours 9-10 --rows 100 --seed 7")
    product.once(expect=0)
    return product


@pytest.mark.parametrize("block", chosen("sql"))
def test_queries_run(block: Block, loaded: Product) -> None:
    connection = loaded.connect()
    with connection.cursor() as cursor:
        for statement in filter(str.strip, block.text.split(";\n")):
            cursor.execute(statement)
            assert cursor.description is None or cursor.fetchall() is not None
    connection.rollback()
    connection.close()


@pytest.mark.parametrize("block", chosen("bash"))
def test_commands_run(block: Block, loaded: Product) -> None:
    if block.text.startswith("grep"):  # which says 1 when it finds nothing
        shell(loaded, block.text, "-u")
    else:
        assert shell(loaded, block.text)


def test_every_block_is_run_or_says_why_not() -> None:
    marks = {"", "embedded", "embedded, stopped", "daemon", "daemon stopped"}
    languages = {"sql", "bash", "console", "yaml", "json", "ini", "text", "mermaid"}
    assert [b.name for b in BLOCKS if b.mark not in marks and not b.mark.startswith("skip, ")] == []
    consoles = [b for b in BLOCKS if b.language == "console" and b.document != REPAIRS]
    assert [b.name for b in consoles if b.section != "A first session"] == []
    assert {b.language for b in BLOCKS} <= languages


@pytest.mark.parametrize("block", chosen("yaml"))
def test_yaml_fits_into_the_shipped_configuration(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(SMTP_\w+|PG\w+)", SHIPPED_CONFIG.read_text(encoding="utf-8")):
        monkeypatch.setenv(name, "5432")
    shipped = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(merged(shipped, yaml.safe_load(block.text))), encoding="utf-8")
    assert get_config(path, checks=CHECKS)


# ---------------------------------------------------------------- configuration


def config_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(path, default as the documentation writes it); `x.*` are the entries of a mapping, `x[]` of a list."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        kind, inner = _shape(field)
        if inner is None:
            yield path, _shown_default(field)
        elif kind is None:
            yield from config_keys(inner, f"{path}.")
        else:
            yield path, _shown_default(field)
            inside = {"dict": f"{name}.*.", "tuple": f"{name}[].", "optional": f"{path}."}[kind]
            yield from config_keys(inner, inside)


def _shape(field: FieldInfo) -> tuple[str | None, type[BaseModel] | None]:
    """How `field` holds a model, and which; (None, model) for a plain section."""
    annotation: Any = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return None, annotation
    kinds = {dict: "dict", tuple: "tuple", UnionType: "optional", Union: "optional"}
    kind = kinds.get(get_origin(annotation))
    models = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    return (kind, models[0]) if kind and models else (None, None)


def _shown_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def test_every_key_of_the_configuration_is_documented_with_its_default() -> None:
    documented = [tuple(cells[:2]) for _, cells in table_rows(CONFIGURATION, "| key | default | meaning |")]
    assert sorted(documented) == sorted({*config_keys(ConfigFile), *keys_of_formats(), *keys_of_channels()})


def keys_of_formats() -> Iterator[tuple[str, str]]:
    for one in registry.FORMATS:
        yield from config_keys(one.Options, "expected_files.*.read.")


def keys_of_channels() -> Iterator[tuple[str, str]]:
    for one in CHANNELS:
        yield from config_keys(one.Settings, f"alerting.{one.section}.")


def test_every_variable_is_documented() -> None:
    documented = {cells[0] for _, cells in table_rows(CONFIGURATION, "| variable | meaning |")}
    named = set(re.findall(r"\$\{(\w+)", re.sub(r"#.*", "", SHIPPED_CONFIG.read_text(encoding="utf-8"))))
    template = set(re.findall(r"(?m)^(?:# )?([A-Z_]+)=", read(".env.example")))
    without_yaml = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', read("config/config_loader.py")))
    assert documented == named | template | without_yaml


def test_every_record_rule_is_documented() -> None:
    header = "| rule | dtypes | a row breaks it when |"
    documented = {cells[0]: cells[1] for _, cells in table_rows(CONFIGURATION, header)}
    dtypes = {
        name: "any" if rule.dtypes == frozenset(Dtype) else ", ".join(sorted(rule.dtypes))
        for name, rule in rules.RULES.items()
    }
    assert documented == dtypes


def test_the_reasons_are_those_of_the_code() -> None:
    code = "".join(p.read_text() for folder in ("validation", "ingestion") for p in (ROOT / folder).rglob("*.py"))
    for _, (stage, names, _meaning) in table_rows(CONFIGURATION, "| stage | rule | meaning |"):
        if stage != "load":
            assert [name for name in re.findall(r"\w+", names) if f'"{name}"' not in code] == []


# ---------------------------------------------------------------- the warehouse's tables

COLUMNS = """
SELECT c.relname AS "table", a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END AS nullable
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
FOREIGN_KEYS = """
SELECT p.relname AS parent, c.relname AS child, a.attname AS "column", a.attnotnull AS needed
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f'
"""
INDEXES = """
SELECT c.relname AS "table", m.amname AS kind, i.indpred IS NOT NULL AS partial,
       string_agg(a.attname, ', ' ORDER BY array_position(i.indkey::int2[], a.attnum)) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisunique
GROUP BY i.indexrelid, c.relname, m.amname, i.indpred
"""
SHORT_TYPES = {
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}


def test_every_column_is_documented_with_its_type(loaded: Product) -> None:
    documented = [
        (table, *cells[:3]) for table, cells in table_rows(WAREHOUSE, "| column | type | null | meaning |")
    ]
    real = []
    there = {(row["table"], row["column"], row["type"]) for row in loaded.rows(COLUMNS)}
    for table, column, type_name, nullable in (tuple(row.values()) for row in loaded.rows(COLUMNS)):
        beside = re.fullmatch(r"(dim_\w+|fact_\w+)(_history|_seen)", table)
        if beside and (beside[1], column, type_name) in there:
            continue  # as in its table
        for long, short in SHORT_TYPES.items():
            type_name = type_name.replace(long, short)  # noqa: PLW2901
        of_all = column in LINEAGE
        heading = f"…{beside[2]}" if beside else "What holds for every table" if of_all else table
        real.append((heading, column, type_name, nullable))
    assert sorted(documented) == sorted(set(real))


def test_the_diagram_and_the_arrows_are_the_declared_foreign_keys(loaded: Product) -> None:
    keys = loaded.rows(FOREIGN_KEYS)
    (diagram,) = (block.text for block in BLOCKS if block.language == "mermaid")
    drawn = re.findall(r"^    (\w+) (\|o|\|\|)--o\{ (\w+) : (\w+)$", diagram, re.MULTILINE)
    assert len(drawn) == len(diagram.splitlines()) - 1
    assert set(drawn) == {(k["parent"], "||" if k["needed"] else "|o", k["child"], k["column"]) for k in keys}
    arrows = {
        (re.findall(r"→ (\w+)", cells[3])[0], table, cells[0])
        for table, cells in table_rows(WAREHOUSE, "| column | type | null | meaning |")
        if "→" in cells[3]
    }
    assert arrows == {(k["parent"], k["child"], k["column"]) for k in keys}


def test_every_index_is_documented(loaded: Product) -> None:
    documented = {
        (cells[0], cells[1].partition("`")[0], "only of" in cells[1], cells[2])
        for _, cells in table_rows(WAREHOUSE, "| table | index on | kind |")
    }
    real = {(row["table"], row["columns"], row["partial"], row["kind"]) for row in loaded.rows(INDEXES)}
    assert documented == {index for index in real if index[1] != "_file_id"}


# ---------------------------------------------------------------- links and names


def anchors(document: str) -> set[str]:
    """The headings' anchors, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^ *```.*?^ *```$", "", read(document)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", read(document)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else ROOT / document
        assert file.exists(), target
        assert not anchor or anchor in anchors(os.path.relpath(file, ROOT)), target


def test_the_tests_named_in_the_documents_exist() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = {name for document in DOCUMENTS for name in re.findall(r"`(test_\w+)`", read(document))}
    assert [name for name in sorted(named) if f"def {name}(" not in code] == []
