"""The formats that there are: which one reads a file, and what of `read:` is meant for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from config.errors import ConfigError, FileRejected
from config.file_names import logical_stem
from config.file_spec import FileSpec
from config.mistakes import described, meant, unknown_key
from config.model import Model
from config.read_options import ReadOptions
from config.settings import PipelineConfig, ReaderConfig
from ingestion.formats.csv_format import CsvFormat
from ingestion.formats.excel_format import ExcelFormat
from ingestion.formats.format import Format
from ingestion.formats.json_format import JsonFormat, NdjsonFormat
from ingestion.formats.parquet_format import ParquetFormat


class Registry:
    """Formats by name and by extension."""

    def __init__(self, formats: Iterable[Format]) -> None:
        self._by_name: dict[str, Format] = {}
        self._by_extension: dict[str, Format] = {}
        for one in formats:
            self.add(one)

    def __iter__(self) -> Iterator[Format]:
        return iter(self._by_name.values())

    def add(self, one: Format) -> None:
        """Take up a format. Raises ValueError when its name or one of its extensions is another's."""
        if one.name in self._by_name or any(extension in self._by_extension for extension in one.extensions):
            raise ValueError(f"format {one.name}: another one has its name, or one of its extensions")
        self._by_name[one.name] = one
        self._by_extension |= dict.fromkeys(one.extensions, one)

    def remove(self, one: Format) -> None:
        """Forget a format that was added."""
        del self._by_name[one.name]
        for extension in one.extensions:
            del self._by_extension[extension]

    def find(self, read: ReadOptions, file_name: str) -> Format | None:
        """The format that `read` names, else the one of the file's extension; None when there is no such one."""
        if read.format is not None:
            return self._by_name.get(read.format)
        return self._by_extension.get(logical_stem(file_name)[1])

    def takes(self, spec: FileSpec, file_name: str) -> bool:
        """Can a file called so be one of `spec`? It has the pattern's extension, or one of its format's own."""
        if spec.schema.within is not None:
            return False
        found, (_, extension) = self.find(spec.read, file_name), logical_stem(file_name)
        return found is not None and extension in {*found.extensions, logical_stem(spec.pattern)[1]}

    def get(self, read: ReadOptions, file_name: str) -> tuple[Format, Model]:
        """The format of a file, and its options. Raises FileRejected when no format reads such files."""
        found = self.find(read, file_name)
        if found is None:
            raise FileRejected(self.unreadable(read, file_name))
        return found, options_of(found, read, file_name)

    def unreadable(self, read: ReadOptions, file_name: str) -> str:
        """What to say of a file for which there is no format."""
        names = ", ".join(self._by_name)
        if read.format is not None:
            return f"no format is called {read.format!r}{meant(read.format, self._by_name)}; there are {names}"
        known = ", ".join(self._by_extension)
        return (
            f"no format reads {logical_stem(file_name)[1] or 'a name without extension'}; the names that tell end "
            f"with {known}; for others say which it is: read: {{format: …}}, one of {names}"
        )

    def owners(self, key: str) -> list[str]:
        """The names of the formats that have this key of `read:`."""
        return [one.name for one in self if key in one.Options.model_fields]


FORMATS = Registry((CsvFormat(), JsonFormat(), NdjsonFormat(), ExcelFormat(), ParquetFormat()))


def options_of(one: Format, read: ReadOptions, file_name: str) -> Model:
    """The keys of `read` that are this format's own. Raises ConfigError where `problems` would say why."""
    try:
        return _own(one, read, file_name)
    except ValidationError as error:
        told = "; ".join(f"read.{key}: {problem}" for key, problem in _told(error))
        raise ConfigError(f"{file_name}: {told}") from None


def _own(one: Format, read: ReadOptions, file_name: str) -> Model:
    given = {**{key: getattr(read, key) for key in ReadOptions.model_fields}, **read.of_format}
    own = {key: value for key, value in given.items() if key in one.Options.model_fields}
    return one.Options.model_validate({**one.defaults(logical_stem(file_name)[1]), **own})


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with `read` of the expected files and with its defaults, each with its key's path."""
    known = {*ReaderConfig.model_fields, *(key for one in FORMATS for key in one.Options.model_fields)}
    for key in config.reader.of_format:
        if key not in known:
            yield f"reader.{key}: {unknown_key(key, known)}"
    told = set()
    for feed, section in (("batch", config.watcher.batch), ("stream", config.watcher.stream)):
        for pattern, entry in section.expected_files.items():
            where = f"watcher.{feed}.expected_files.{pattern}"
            if entry.from_child is not None:
                yield from _without_arrays(config, entry.from_child.of, where)
                continue
            for key, problem in _problems(entry.read, config.reader, pattern):
                section_of_key = f"{where}.read." if key in entry.read.model_fields_set else "reader."
                line = f"{section_of_key if key else where}{key}: {problem}"
                if line not in told:
                    told.add(line)
                    yield line


def _without_arrays(config: PipelineConfig, parent: str, where: str) -> Iterator[str]:
    """Why the records of type `parent` have no arrays."""
    spec = config.by_logical_name[parent]
    found = FORMATS.find(spec.read, spec.pattern)
    if found is not None and not found.has_arrays:
        names = " and ".join(one.name for one in FORMATS if one.has_arrays)
        yield f"{where}.from_child.of: the files of {parent} are {found.name}; arrays of records are in {names}"


def _problems(given: ReadOptions, defaults: ReadOptions, pattern: str) -> Iterator[tuple[str, str]]:
    """The key in question, or '', and what is wrong with it."""
    read = given.over(defaults)
    found = FORMATS.find(read, pattern)
    if found is None:
        yield "format" if read.format else "", FORMATS.unreadable(read, pattern)
        return
    for key in given.of_format:
        if key in found.Options.model_fields:
            continue
        if owners := FORMATS.owners(key):
            yield key, f"belongs to {' and '.join(owners)}, not to {found.name}"
        else:
            yield key, unknown_key(key, (*ReadOptions.model_fields, *found.Options.model_fields))
    try:
        _own(found, read, pattern)
    except ValidationError as error:
        yield from _told(error)


def _told(error: ValidationError) -> Iterator[tuple[str, str]]:
    for key, problem in map(described, error.errors()):
        yield key or "read", problem
