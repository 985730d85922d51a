"""Pages from templates: all text is escaped, scripts and styles come only from the console's own files."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotswap import __version__
from hotswap.console.charts import format_value
from hotswap.gateway import bodies
from hotswap.gateway.problems import Problem
from hotswap.printable import line_by_line

_FIELDS: Final = 2_000
_COOKIE: Final = "hotswap-console"
_FIELD: Final = "token"
_TABS: Final = (("bring", "Bring a model in"), ("dead-letters", "Dead letters"), ("models", "Models"))
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """Renders templates, and guards forms."""

    def __init__(self, deployments: Mapping[str, Any], *, is_changing: bool) -> None:
        """Render these deployments; `is_changing`: accept forms."""
        self.is_changing = is_changing
        self._templates = Environment(
            loader=PackageLoader("hotswap.console"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_legible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"moment": _moment, "formatted": format_value, "as_is": as_is, "brief": _brief}
        known = {"deployments": list(deployments), "is_changing": is_changing, "tabs": _TABS, "version": __version__}
        self._templates.globals |= known

    def part(self, template: str, **facts: Any) -> Markup:
        """Return a part of a page."""
        return Markup(self._templates.get_template(f"parts/{template}.html").render(facts))  # noqa: S704 - it is escaped

    def page(self, request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **facts: Any) -> HTMLResponse:
        """Return a page, with a token for its forms."""
        known = request.cookies.get(_COOKIE, "")
        token = known or secrets.token_urlsafe(24)
        root = request.scope.get("root_path", "")
        text = self._templates.get_template(f"{template}.html").render({"root": root, "token": token, **facts})
        response = HTMLResponse(text, status, {"Cache-Control": "no-store"})
        if not known:
            response.set_cookie(
                _COOKIE, token, path=root or "/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
            )
        return response

    @asynccontextmanager
    async def form(self, request: Request, most: int) -> AsyncIterator[bodies.Form]:
        """Yield the submitted form, of at most `most` bytes.

        Raises:
            Problem: 403, the console is read-only, or the form has no valid token.

        """
        if not self.is_changing:
            detail = "this console only shows: start it with --allow-changes to change anything"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        async with bodies.form(request, most, fields=_FIELDS) as form:
            known, token = request.cookies.get(_COOKIE, ""), form.text(_FIELD) or ""
            if not known or not secrets.compare_digest(known.encode(), token.encode()):
                detail = "the form is not of a page of this console, or too old: load the page again"
                raise Problem(HTTPStatus.FORBIDDEN, detail)
            yield form


def _legible(value: Any) -> Any:
    """Return what a template shows, with what is not printable escaped: a name may turn the text around it."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return line_by_line(value.replace("\r\n", "\n").expandtabs(4))
    return value


def as_is(value: str) -> Markup:
    """Return a text that is escaped, and otherwise unchanged, as a form has to send it back."""
    return Markup.escape(value)


def _brief(value: str) -> str:
    """Return a number with six digits at most, and another text as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:.6g}" if len(value) > len("0.123456") else value


def _moment(at_ms: float) -> Markup:
    """Return a time, in UTC; the browser shows it in its own zone."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a publisher may have set one that no calendar has
        return Markup.escape(f"{at_ms} ms")
    return Markup('<time datetime="{}">{} UTC</time>').format(
        at.isoformat(timespec="milliseconds"), at.strftime("%Y-%m-%d %H:%M:%S")
    )


def as_event(parts: Mapping[str, str]) -> bytes:
    """Return parts of a page, by the id of their place, as a server-sent event."""
    return f"data: {json.dumps(parts)}\n\n".encode()


class Guarded:
    """Middleware that adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-cache")  # else a browser may keep the style of another version
            await send(message)

        await self._app(scope, receive, guarded)
