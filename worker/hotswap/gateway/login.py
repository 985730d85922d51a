"""The login page: it stores a token in a cookie of the browser, and nowhere else."""

import re
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hotswap.gateway import bodies
from hotswap.gateway.callers import Caller, Callers
from hotswap.gateway.problems import Problem

COOKIE = "hotswap"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750; a cookie can hold all of it
_MOST_BYTES = 4_096
_ENTERING = 64
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hotswap: log in</title>
<main>
<h1>Hotswap</h1>
{greeting}
<form method="post" action="/login">
<input type="hidden" name="to" value="{to}">
<label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Log in</button>
</form>
</main>
</html>
"""
_OUT = '<form method="post" action="/logout"><button>Log out</button></form>'


class Login:
    """The endpoints /login and /logout. The cookie is the token itself: any gateway with the same file accepts it."""

    def __init__(self, callers: Callers, *, is_secure: bool) -> None:
        self._callers = callers
        self._is_secure = is_secure
        self._entering = 0

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.enter, methods=["POST"]),
            Route("/logout", self.leave, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Reply with the form and, if logged in, the caller's name."""
        caller: Caller = request.scope["caller"]
        greeting = ""
        if caller.name:
            roles = ", ".join(sorted(caller.roles)) or "no role"
            greeting = f"<p>You are {escape(caller.name)} ({roles}).</p>\n{_OUT}"
        return _page(greeting, request.query_params.get("to", ""))

    async def enter(self, request: Request) -> Response:
        """Store the token in a cookie, and redirect to the page `to`."""
        if self._entering >= _ENTERING:
            detail = f"{_ENTERING} callers are logging in: try again soon"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=2)
        self._entering += 1  # these callers are not authenticated, and each may send its body slowly
        try:
            fields = parse_qs((await bodies.body(request, _MOST_BYTES)).decode("latin-1"))
        finally:
            self._entering -= 1
        token, to = (fields.get(name, [""])[0] for name in ("token", "to"))
        token = token.strip()
        caller = self._callers.by_token(token.encode()) if _TOKEN.fullmatch(token) else None
        if not caller:
            response = _page('<p role="alert">Unknown token.</p>', to, HTTPStatus.UNAUTHORIZED)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        request.scope["caller"] = caller
        response = _to(to if _is_here(to) else "/login")
        response.set_cookie(COOKIE, token, secure=self._is_secure, httponly=True, samesite="strict")
        return response

    async def leave(self, _: Request) -> Response:
        """Delete the cookie."""
        response = _to("/login")
        response.delete_cookie(COOKIE, secure=self._is_secure, httponly=True, samesite="strict")
        return response


def _page(content: str, to: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return HTMLResponse(_PAGE.format(greeting=content, to=escape(to)), status, _HEADERS)


def _to(place: str) -> Response:
    return RedirectResponse(place, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})


def _is_here(to: str) -> bool:
    """Return whether this is a path of this gateway: browsers read // as a host, with backslashes, too."""
    return to.startswith("/") and to[1:2] not in {"/", "\\"} and to.isascii() and to.isprintable()
