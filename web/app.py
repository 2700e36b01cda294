"""The pages: overview, files, one file, quarantine, log-in. All read-only; what they show is escaped by Jinja."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from config.errors import PipelineError, WarehouseUnavailable
from config.jobs import Status
from config.model import Feed, Stage
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.profiles import beside
from utils.logger import get_logger
from web import charts, figures
from web.column_figures import FILES, column_figures
from web.guard import Guard, Login
from web.overview import Overview
from web.probes import Probes, version
from web.reading import Reader, TooSlow

logger = get_logger(__name__)

HERE = Path(__file__).parent
PAGE_ROWS = 50  # of a table
FILE_ROWS = 20  # quarantined rows on a file's own page
MAX_TEXT = 200  # characters of a filter
MAX_ID = 2**63 - 1
DEFAULT_PERIOD = "24h"


def build_app(config: PipelineConfig, reader: Reader, probes: Probes) -> ASGIApp:
    """The application, within its guard."""
    pages = Pages(config, reader, probes)
    routes = [
        Route("/", pages.overview, methods=["GET"]),
        Route("/files", pages.files, methods=["GET"]),
        Route("/files/{file_id:int}", pages.file, methods=["GET"]),
        Route("/quarantine", pages.quarantine, methods=["GET"]),
        Route("/healthz", probes.healthz, methods=["GET"]),
        Route("/readyz", probes.readyz, methods=["GET"]),
        Route("/metrics", probes.metrics, methods=["GET"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    if config.web.token:
        routes += [
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/logout", Login.log_out, methods=["POST"]),
        ]
    handlers = {PipelineError: pages.unavailable, HTTPException: pages.refused}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), config.web)


class Pages:
    """One method a page. They run in threads, since the database's driver waits."""

    def __init__(self, config: PipelineConfig, reader: Reader, probes: Probes) -> None:
        self._config = config
        self._reader = reader
        self._probes = probes
        self._login = Login(config.web.token) if config.web.token else None
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= figures.FILTERS
        self._templates.filters["shown"] = config.shown
        self._templates.globals |= {"version": version(), "has_login": self._login is not None}

    def overview(self, request: Request) -> Response:
        """Figures and charts of a period."""
        period, now = _period(request), dt.datetime.now(dt.UTC)
        overview = Overview(self._reader, self._config, period, now)
        parts, panels = overview.parts(), overview.panels()
        periods = charts.PERIODS.values()
        return self._page(request, "overview.html", parts=parts, panels=panels, period=period, periods=periods)

    def files(self, request: Request) -> Response:
        """The file log: searched, filtered, page by page."""
        period = _period(request)
        chosen = {name: _text(request, name) for name in ("text", "status", "logical_name", "file_type")}
        with self._reader.transaction() as tx:
            rows = reports.files(
                tx, **chosen, since=_since(period), before_id=_id(request), limit=PAGE_ROWS + 1
            )  # fmt: skip
        lists = {
            "status": [Status.SUCCESS.value, Status.FAILED.value, Status.UNDONE.value],
            "logical_name": sorted(self._config.by_logical_name),
            "file_type": [feed.value for feed in Feed],
        }
        return self._table(request, "files.html", period, chosen, lists, rows, "file_id")

    def file(self, request: Request) -> Response:
        """Everything about one file."""
        file_id = request.path_params["file_id"]
        with self._reader.transaction() as tx:
            row = reports.file(tx, file_id) if file_id <= MAX_ID else None
            if row is None:
                raise HTTPException(404)
            reasons = reports.reasons(tx, file_id=file_id, limit=PAGE_ROWS)
            rows = reports.quarantined(tx, file_id=file_id, limit=FILE_ROWS)
            warnings = reports.read(tx, "warnings", file_id=file_id, limit=PAGE_ROWS)
            profiles = beside(tx, file_id, FILES)
        spec = self._config.by_logical_name.get(row["logical_name"])
        columns = column_figures(profiles, [*spec.schema.by_name] if spec else [])
        return self._page(
            request, "file.html", file=row, reasons=reasons, rows=rows, warnings=warnings, columns=columns
        )

    def quarantine(self, request: Request) -> Response:
        """Quarantined rows with their reasons: searched, filtered, page by page."""
        period = _period(request)
        chosen = {name: _text(request, name) for name in ("text", "table", "stage", "rule")}
        of_file, open_only = _id(request, "file_id"), request.query_params.get("open") == "1"
        with self._reader.transaction() as tx:
            rows = reports.quarantined(
                tx, **chosen, file_id=of_file, open_only=open_only, before_id=_id(request), limit=PAGE_ROWS + 1,
                since=None if of_file else _since(period),
            )  # fmt: skip
        lists = {
            "table": sorted({spec.table for spec in self._config.files}),
            "stage": [stage.value for stage in Stage],
        }
        also = {"file_id": of_file, "open": "1" if open_only else None}
        return self._table(request, "quarantine.html", period, {**chosen, **also}, lists, rows, "quarantine_id")

    async def login(self, request: Request) -> Response:
        """The form, and what it sends."""
        wrong = False
        if request.method == "POST" and self._login is not None:
            answer = await self._login.log_in(request)
            if answer is not None:
                return answer
            wrong = True
        return self._page(request, "login.html", wrong=wrong, status=403 if wrong else 200)

    # ------------------------------------------------------------ errors

    async def unavailable(self, request: Request, error: Exception) -> Response:
        """The database is away, or would not answer this: says which, and that nothing is lost."""
        refusal = "" if isinstance(error, WarehouseUnavailable) else str(error)
        if refusal and not isinstance(error, TooSlow):
            logger.warning(f"[web] {request.url.path}: {refusal}")
        return self._page(request, "unavailable.html", refusal=refusal, status=503)

    async def refused(self, request: Request, error: Exception) -> Response:
        """404, 405 and the like."""
        code = error.status_code if isinstance(error, HTTPException) else 500
        response = self._page(request, "refused.html", code=code, status=code)
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update(error.headers)
        return response

    # ------------------------------------------------------------ inside

    def _table(
        self, request: Request, template: str, period: charts.Period, chosen: dict[str, Any],
        lists: dict[str, list[str]], rows: list[reports.Row], key: str,
    ) -> Response:  # fmt: skip
        """A page of a table; one row more than is shown tells that there is a next page."""
        more = len(rows) > PAGE_ROWS
        rows = rows[:PAGE_ROWS]
        query = {name: value for name, value in {"period": period.name, **chosen}.items() if value}
        older = "?" + urlencode({**query, "before_id": rows[-1][key]}) if more else None
        newest = "?" + urlencode(query) if _id(request) else None
        return self._page(
            request, template, period=period, periods=charts.PERIODS.values(), chosen=chosen, lists=lists,
            rows=rows, older=older, newest=newest,
        )  # fmt: skip

    def _page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        files, waiting = self._probes.backlog()
        theme = request.cookies.get("theme", "")
        html = self._templates.get_template(template).render(
            path=request.url.path,
            theme=theme if theme in {"dark", "light"} else "system",
            now=dt.datetime.now(dt.UTC),
            database_is_up=self._probes.database_answers(),
            files_waiting=files,
            seconds_waiting=waiting,
            open_orphans=sum(rows for _, rows, _ in self._probes.database.orphans),
            **values,
        )
        return HTMLResponse(html, status)


def _period(request: Request) -> charts.Period:
    return charts.PERIODS.get(request.query_params.get("period", ""), charts.PERIODS[DEFAULT_PERIOD])


def _since(period: charts.Period) -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=period.seconds)


def _text(request: Request, name: str) -> str | None:
    """A filter's text; PostgreSQL takes no NUL."""
    return request.query_params.get(name, "").replace("\0", "").strip()[:MAX_TEXT] or None


def _id(request: Request, name: str = "before_id") -> int | None:
    """A row's number; None when it is none."""
    text = request.query_params.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
    return number if 0 < number <= MAX_ID else None
