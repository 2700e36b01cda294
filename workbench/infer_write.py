"""`infer --write`: each type in a file of its own beside the YAML, which includes it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from config.config_loader import get_config
from config.errors import ConfigError
from config.includes import INCLUDE, patterns_of
from config.settings import PipelineConfig
from workbench.proposal import Proposal, as_yaml
from workbench.session import CHECKS

FOLDER, GLOB = "types", "types/*.yaml"
_LINE = f"{INCLUDE}: [{GLOB}] # each type in a file of its own"


def write_types(config: PipelineConfig, found: Sequence[Proposal]) -> list[str]:
    """Write each proposal to `types/NAME.yaml`, and make the YAML include it; what was done, to be told.

    Nothing that is there is written over, and nothing is left where the whole would not hold. Raises ConfigError.
    """
    main = config.source
    files = {main.parent / FOLDER / f"{one.name}.yaml": one for one in found}
    if there := [file for file in files if file.exists()]:
        raise ConfigError(f"{there[0]}: is there already, and is not written over; move it away, or edit it")
    before = _read(main)
    includes = _includes(config, files)
    made: list[Path] = []
    try:
        for file, one in files.items():
            file.parent.mkdir(exist_ok=True)
            _write(file, as_yaml([one]) + "\n")
            made.append(file)
        if not includes:
            _write(main, _with_line(before))
        get_config(main, checks=CHECKS)
    except (ConfigError, OSError) as problem:
        for file in made:
            file.unlink(missing_ok=True)
        if _read(main) != before:
            _write(main, before)
        raise ConfigError(f"nothing was written, for it would not hold: {_told(problem)}") from None
    told = [f"wrote {file}" for file in files]
    if not includes:
        told.append(f"{main} says now: {_LINE}")
    folders = {one.feed.value: getattr(config.watcher, one.feed.value).dir for one in found}
    told += [
        f"Put {one.pattern} into a folder YYYY-MM-DD of {folders[one.feed.value]}, and run: python main.py once"
        for one in found
    ]
    return told


def _includes(config: PipelineConfig, files: dict[Path, Proposal]) -> bool:
    """Does the YAML include such files already? Raises ConfigError where it includes others alone."""
    patterns = patterns_of(list(config.include))
    if not patterns:
        return False
    for file in files:
        names = {str(file), f"{FOLDER}/{file.name}", f"./{FOLDER}/{file.name}"}
        if not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
            raise ConfigError(f"{config.source}: include has not {GLOB}; add it to that list, and try again")
    return True


def _with_line(text: str) -> str:
    """The YAML with the line at its end; what says nothing yet is no YAML that a line can follow."""
    if re.fullmatch(r"\s*(\{\s*\}|null|~)\s*", re.sub(r"(?m)^\s*#.*$", "", text)):
        text = re.sub(r"(?m)^\s*(\{\s*\}|null|~)\s*$", "", text)
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}{_LINE}\n"


def _read(file: Path) -> str:
    with file.open(encoding="utf-8", newline="") as stream:
        return stream.read()


def _write(file: Path, text: str) -> None:
    """Write the whole file or nothing: whoever reads it meanwhile has the former one."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            beside.chmod(file.stat().st_mode & 0o7777)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _told(problem: ConfigError | OSError) -> str:
    return f"{problem.filename}: {problem.strerror}" if isinstance(problem, OSError) else str(problem)
