"""An error comes back from another process as what it was there, and without what others wrote into it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import (
    Collision,
    ConfigError,
    FileUnreadable,
    NumberTaken,
    PipelineError,
    WarehouseUnavailable,
    in_our_words,
)
from ingestion.engines.crossing import pack, unpack
from tests.unit.test_decisions import all_kinds

KINDS = sorted(all_kinds(), key=lambda kind: kind.__name__)


class AtRecord(FileUnreadable):
    """An error with arguments of its own, as a module may have one."""

    def __init__(self, record: int, byte: int) -> None:
        super().__init__(f"record {record} at byte {byte}")
        self.record, self.byte = record, byte

    def __reduce__(self) -> tuple[type[AtRecord], tuple[int, int]]:
        return AtRecord, (self.record, self.byte)


class Decorated(Collision):
    """One that can't be made again by its message, nor pickled by its arguments."""

    def __init__(self, table: str, key: int) -> None:
        super().__init__(f"{table} is locked")
        self.key = key


class Holder(NumberTaken):
    """One that has something in hand that stays where it is."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.file = open(__file__)  # noqa: SIM115
        self.file.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_what_it_is(kind: type[PipelineError]) -> None:
    error = kind.__new__(kind)
    error.args = ("what is wrong",)
    back = unpack(pack(error))
    assert type(back) in kind.__mro__
    assert isinstance(back, PipelineError)
    assert str(back) == "what is wrong"
    if kind.__module__ == "config.errors":
        assert type(back) is kind


def test_arguments_of_its_own_come_with_it() -> None:
    back = unpack(pack(AtRecord(7, 93)))
    assert isinstance(back, AtRecord)
    assert (str(back), back.record, back.byte) == ("record 7 at byte 93", 7, 93)


def test_one_that_can_not_travel_comes_as_the_nearest_of_its_bases() -> None:
    assert type(unpack(pack(Decorated("fact_order", 1)))) is Collision
    assert str(unpack(pack(Decorated("fact_order", 1)))) == "fact_order is locked"
    assert type(unpack(pack(Holder("a number is taken")))) is NumberTaken

    class Local(ConfigError):
        """No other process knows it."""

    assert type(unpack(pack(Local("a key is missing")))) is ConfigError


def test_a_class_that_is_not_there_is_the_nearest_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_there.py").write_text(
        "from config.errors import Collision\n\n\nclass Special(Collision):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    special: type[PipelineError] = importlib.import_module("only_there").Special
    packed = pack(special("in each other's way"))
    assert type(unpack(packed)) is special
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "only_there")
    assert type(unpack(packed)) is Collision
    assert str(unpack(packed)) == "in each other's way"


def test_causes_come_along_each_as_what_it_is() -> None:
    error = WarehouseUnavailable("away")
    error.__cause__ = AtRecord(1, 2)
    back = unpack(pack(error))
    assert type(back) is WarehouseUnavailable
    assert isinstance(back.__cause__, AtRecord)
    assert back.__cause__.__cause__ is None


def test_a_circle_of_causes_ends() -> None:
    error = PipelineError("one")
    error.__cause__ = error
    assert str(unpack(pack(error))) == "one"


CANARY = "a value of the data"
FOREIGN = [
    ValueError(CANARY),
    KeyError(CANARY),
    UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
    OSError(5, CANARY),
    ExceptionGroup(CANARY, [ValueError(CANARY)]),
    AssertionError({"value": CANARY}),
    StopIteration(CANARY),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_an_error_of_others_comes_as_its_class_and_place_without_its_text(error: Exception) -> None:
    with pytest.raises(type(error)):
        raise error
    wrapped = PipelineError("the reader stopped")
    wrapped.__cause__ = error
    packed, packed_wrapped = pack(error), pack(wrapped)
    assert CANARY.encode() not in b"".join(sum(packed + packed_wrapped, ()))
    back = unpack(packed)
    assert type(back) in type(error).__mro__
    assert type(back) is not BaseException
    place = f"{type(error).__name__} at {Path(__file__).name}:"
    assert in_our_words(back).startswith(place)
    with pytest.raises(type(back)):
        raise back
    assert in_our_words(back).startswith(place), "not the place where it was raised again"


def test_most_errors_of_others_keep_their_class() -> None:
    kept = [type(unpack(pack(error))) is type(error) for error in (ValueError(1), KeyError(1), OSError(5, "x"))]
    assert kept == [True, True, True]


def test_all_this_holds_where_a_cluster_has_changed_how_exceptions_are_pickled() -> None:
    """Its library does so at import, for all of the process."""
    pytest.importorskip("distributed")
    code = (
        "import sys, pytest, tblib.pickling_support as support; support.install();"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'not cluster', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, __file__]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_another_process_reads_it(tmp_path: Path) -> None:
    (tmp_path / "error").write_text(repr(pack(NumberTaken("PostgreSQL: 23505"))))
    code = (
        "import ast, sys; from ingestion.engines.crossing import unpack;"
        "error = unpack(ast.literal_eval(open(sys.argv[1]).read())); print(type(error).__name__, error)"
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", code, str(tmp_path / "error")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1) == ["NumberTaken", "PostgreSQL: 23505\n"]
