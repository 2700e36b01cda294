"""Which channels an alert goes to: by its kind, its type of file and who owns that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from config.mistakes import meant
from config.settings import AlertingConfig, PipelineConfig, Route
from utils.alerts import BEGINS, AlertKind
from utils.channels.registry import names_in
from utils.channels.smtp import Smtp


def names_of(config: AlertingConfig, names: Collection[str], kind: str, file_type: str, owner: str) -> list[str]:
    """Of the channels' `names` those that an alert goes to: as the first route says that fits, else all.

    The end of trouble goes where its begin went.
    """
    begin = BEGINS.get(kind, kind)
    for route in config.routes:
        if _fits(route, begin, file_type, owner):
            return [name for name in names if name in route.to]
    return list(names)


def _fits(route: Route, kind: str, file_type: str, owner: str) -> bool:
    asked = ((route.kinds, kind), (route.types, file_type), (route.owners, owner))
    return all(not wanted or value in wanted for wanted, value in asked)


def owners_of(config: PipelineConfig) -> Mapping[str, str]:
    """Who owns a type, by its logical name."""
    return {name: spec.owner for name, spec in config.by_logical_name.items() if spec.owner}


def _report_problems(config: PipelineConfig) -> Iterator[str]:
    if Smtp.section in names_in(config.alerting):
        return
    for spec in config.files:
        if spec.report_to and spec.schema.within is None:
            where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}.report_to"
            yield f"{where}: it goes by mail, and there is no alerting.smtp; add that"


def problems(config: PipelineConfig) -> Iterator[str]:
    """What routes name that is not there."""
    yield from _report_problems(config)
    alerting = config.alerting
    known: dict[str, Collection[str]] = {
        "kinds": [*map(str, AlertKind)],
        "types": list(config.by_logical_name),
        "owners": sorted(set(owners_of(config).values())),
        "to": names_in(alerting),
    }
    for n, route in enumerate(alerting.routes):
        for key, words in known.items():
            for word in getattr(route, key):
                where = f"alerting.routes.{n}.{key}: {word!r}"
                if word not in words:
                    yield f"{where} is none of {_LISTS[key]}{meant(word, words) if words else _NONE[key]}"
                elif key == "kinds" and word in BEGINS:
                    yield f"{where} goes where {str(BEGINS[word])!r} goes; name that"


_LISTS = {
    "kinds": "the kinds of alerts",
    "types": "the types of files",
    "owners": "the owners of expected files",
    "to": "the channels",
}
_NONE = {"owners": "; give expected files an owner", "types": ""}
