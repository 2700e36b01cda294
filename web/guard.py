"""Who may see the pages, and what a browser may do with them: token, host names, security headers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.settings import WebConfig

COOKIE = "fastfeast_session"
SESSION_SECONDS = 12 * 3600
WRONG_TOKEN_SECONDS = 0.5  # one wrong login at a time, so long each
MAX_FORM_BYTES = 4096
OPEN_PATHS = ("/healthz", "/readyz", "/login")  # and static files: none of them shows data

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Around the application. With a token, all but OPEN_PATHS asks for it; without one, the host name in the
    request must be this machine's, so that no page of another site can have its own name lead here."""

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self._app = app
        self._token = config.token
        self._hosts = {"localhost", "127.0.0.1", "::1", config.host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        if self._token is None:
            if _host_name(headers.get("host", "")) in self._hosts:
                return None
            return PlainTextResponse("This name does not belong here; use 127.0.0.1 or localhost.\n", 421)
        if path in OPEN_PATHS or path.startswith("/static/") or self._knows_token(headers):
            return None
        if "text/html" in headers.get("accept", "") and "authorization" not in headers:
            return RedirectResponse("/login", 303)
        return PlainTextResponse("A token is needed.\n", 401, {"WWW-Authenticate": "Bearer"})

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return same(given.strip(), self._token or "")
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and is_session(morsel.value, self._token or "")


class Login:
    """The form's two ends. The cookie holds no token, only proof that its bearer once had it."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._wrong = asyncio.Lock()  # wrong tokens wait for one another

    async def log_in(self, request: Request) -> Response | None:
        """The redirect with the cookie, or None when the token is wrong."""
        given = _token_of(await _form(request))
        if not same(given.strip(), self._token):
            async with self._wrong:
                await asyncio.sleep(WRONG_TOKEN_SECONDS)
            return None
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            new_session(self._token),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure="https"
            in {request.url.scheme, request.headers.get("x-forwarded-proto")},  # TLS ends at a proxy
        )
        return response

    @staticmethod
    async def log_out(_request: Request) -> Response:
        """Forget the cookie."""
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response


def _token_of(form: str) -> str:
    try:
        return parse_qs(form, max_num_fields=4).get("token", [""])[0]
    except ValueError:  # more fields than ours has
        return ""


async def _form(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return ""
    return body.decode("utf-8", "replace")


def same(given: str, expected: str) -> bool:
    """Are they equal? Takes the same time wherever they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def new_session(token: str, now: float | None = None) -> str:
    """`<end>.<proof>`: when it ends, in seconds since 1970, and an HMAC-SHA-256 of that under the token."""
    end = int((time.time() if now is None else now) + SESSION_SECONDS)
    return f"{end}.{_proof(token, end)}"


def is_session(value: str, token: str) -> bool:
    """Was `value` made by new_session() with this token, and does it still hold?"""
    end, _, proof = value.partition(".")
    if not (end.isascii() and end.isdigit() and len(end) < 12):
        return False
    return same(proof, _proof(token, int(end))) and int(end) > time.time()


def _proof(token: str, end: int) -> str:
    return hmac.new(token.encode(), f"fastfeast session {end}".encode(), hashlib.sha256).hexdigest()


def _host_name(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
