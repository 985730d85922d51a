"""Who may call what: the role of each route, how a caller is known, and what a browser may be made to send."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hotswap.gateway.callers import Caller, CallerRole, Callers
from hotswap.gateway.login import COOKIE, Login
from hotswap.gateway.problems import Problem

ROLES: dict[str, CallerRole | None] = {
    "GET /": CallerRole.READ,
    "GET /livez": None,
    "GET /readyz": None,
    "GET /metrics": None,  # as a worker's, so that one job scrapes both: counts and times of a closed set of names
    "GET /openapi.json": None,
    "GET /login": None,
    "POST /login": None,
    "POST /logout": None,
    "PUT /model": CallerRole.SWAP,
    "PUT /proto": CallerRole.SWAP,
    "PUT /model/configuration": CallerRole.SWAP,
    "POST /getBinary": CallerRole.PREDICT,
    "POST /getBinaryDefault": CallerRole.PREDICT,
    "POST /getBinaryJSON": CallerRole.PREDICT,
    "POST /getBinaryJSONDefault": CallerRole.PREDICT,
    "POST /transformCSVDefault": CallerRole.PREDICT,
    "POST /transformJSONDefault": CallerRole.PREDICT,
    "POST /transformCSV": CallerRole.SCORE,  # and SWAP, to activate
    "POST /transformJSON": CallerRole.SCORE,
    "POST /model/methods/{operation}": CallerRole.PREDICT,
    "GET /v1": CallerRole.READ,
    "GET /v1/{deployment}": CallerRole.READ,
    "GET /v1/{deployment}/history": CallerRole.READ,
    "GET /v1/{deployment}/dead-letters": CallerRole.READ,
    "POST /v1/{deployment}/predict": CallerRole.PREDICT,
    "GET /v1/{deployment}/predictions/{prediction_id}": CallerRole.PREDICT,  # and the id, which the caller alone knows
    "GET /v1/{deployment}/predictions/{partition}/{offset}": CallerRole.READ,
    "POST /v1/{deployment}/swap": CallerRole.SWAP,
    "POST /v1/{deployment}/rollback": CallerRole.SWAP,
    "POST /v1/{deployment}/pause": CallerRole.SWAP,
    "POST /v1/{deployment}/resume": CallerRole.SWAP,
    "GET /v2": CallerRole.READ,
    "GET /v2/health/live": None,
    "GET /v2/health/ready": None,
    "GET /v2/models/{deployment}": CallerRole.READ,
    "GET /v2/models/{deployment}/ready": CallerRole.READ,
    "POST /v2/models/{deployment}/infer": CallerRole.PREDICT,
    "GET /v2/models/{deployment}/versions/{version}": CallerRole.READ,
    "GET /v2/models/{deployment}/versions/{version}/ready": CallerRole.READ,
    "POST /v2/models/{deployment}/versions/{version}/infer": CallerRole.PREDICT,
}
"""The role that each route needs; None: anybody may call it. With a route that is not here, no gateway starts."""
_INSTEAD = {
    "GET /v1/{deployment}/predictions/{partition}/{offset}": (
        ": fetch the answer to a request of your own by the `prediction_id` of the reply to it, at "
        "/v1/{deployment}/predictions/{prediction_id}"
    ),
}
"""What callers without the role of a route may do in its place."""
_CONSOLES = ("", "/console")
"""Where a console is mounted, alone and in a gateway."""
_TOKEN, _COOKIE, _CERTIFICATE, _NOTHING = "token", "cookie", "certificate", "nothing"

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_NOBODY = Caller("", frozenset())
_ANYBODY = Caller("", frozenset(CallerRole))
"""Who calls where nothing tells who: on this machine, they may do all."""


def role_of(method: str, path: str) -> CallerRole | None:
    """Return the role that a route needs; of a console's, `read` for pages and `swap` for changes if it is not listed.

    Raises:
        KeyError: it has none.

    """
    route = f"{method} {path}"
    if route not in ROLES and (path in _CONSOLES or path.startswith(f"{_CONSOLES[-1]}/")):
        return CallerRole.READ if method == "GET" else CallerRole.SWAP
    return ROLES[route]


def demand(request: Request, role: CallerRole) -> None:
    """Raise Problem, 403, unless who calls has the role: for what the role of a route does not cover."""
    caller: Caller = request.scope["caller"]
    if role not in caller.roles:
        instead = _INSTEAD.get(f"{request.method} {getattr(request.scope.get('route'), 'path_format', '')}", "")
        detail = f"{caller.name} has not the role {role.value}, which this call needs{instead}"
        raise Problem(HTTPStatus.FORBIDDEN, detail, role=role.value)


class Access:
    """Lets in who may call: those whom `callers` knows, or, without it, anybody on this machine.

    `is_secure`: callers come over TLS, to here or, `is_behind_proxy`, to a proxy before.
    """

    def __init__(
        self, callers: Callers | None = None, *, is_secure: bool = False, is_behind_proxy: bool = False
    ) -> None:
        self._callers = callers
        self.scheme = "https" if is_secure or is_behind_proxy else "http"
        """Of the addresses that callers use, as the operator has said: a header that says so may be anybody's."""
        self._is_behind_proxy = is_behind_proxy

    def routes(self) -> list[Route]:
        """Return the routes by which a browser logs in and out."""
        return Login(self._callers, is_secure=self.scheme == "https").routes() if self._callers else []

    def guard(self, routes: Sequence[BaseRoute], *, below: str = "") -> None:
        """Let only those call the routes who have their roles. Raises KeyError: a route has none."""
        for route in routes:
            assert isinstance(route, Route | Mount), f"{route!r} is no route that can be guarded"
            if isinstance(route, Mount) and route.routes:
                self.guard(route.routes, below=below + route.path)
                continue
            methods, path = (route.methods, route.path_format) if isinstance(route, Route) else (None, route.path)
            roles = {method: role_of(method, below + path) for method in methods or _METHODS if method != "HEAD"}
            route.app = _Guard(route.app, self, roles)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application, for calls of this machine only where nothing else tells who calls."""
        return app if self._callers else _OfThisMachine(app)

    def admit(self, request: Request, roles: Mapping[str, CallerRole | None]) -> None:
        """Find out who calls, as `request.scope["caller"]`, and whether they have the role of the method.

        What takes long may ask again, by `request.scope["admit"]`.

        Raises:
            Problem: 401, nobody known; 403, they have not the role, or a page of another site has their browser call.

        """
        method = "GET" if request.method == "HEAD" else request.method
        if method not in roles:
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} {request.url.path}: Method Not Allowed")
        if self._callers is None:
            request.scope["caller"] = _ANYBODY
            return
        way, caller = _identify(request, self._callers)
        request.scope["caller"] = caller or _NOBODY
        if way != _TOKEN and method != "GET":
            self._check_origin(request, is_needed=way == _COOKIE)
        if role := roles[method]:
            if caller is None:
                raise _unknown(way)
            demand(request, role)

    def _check_origin(self, request: Request, *, is_needed: bool) -> None:
        """Raise Problem, 403, if a page of another site sends this: a browser adds cookie and certificate by itself."""
        host, origin = _host_in(request.headers), request.headers.get("origin")
        own = f"{self.scheme}://{host}"
        if self._is_behind_proxy and _is_loopback(host) and origin == f"http://{host}":
            return  # somebody at this machine, past the proxy: browsers trust it as they trust TLS
        if (origin or is_needed) and origin != own:
            detail = f"a browser may send this from a page of {own} only, and not of {origin or 'an unknown site'}"
            raise Problem(HTTPStatus.FORBIDDEN, detail)


def _identify(request: Request, callers: Callers) -> tuple[str, Caller | None]:
    """Return by what a caller shows who they are, and who."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _TOKEN, callers.by_token(token.strip().encode("latin-1"))
    cookie = request.cookies.get(COOKIE, "")
    if caller := callers.by_token(cookie.encode("latin-1", "replace")):
        return _COOKIE, caller
    if subject := request.scope.get("state", {}).get("subject"):
        return _CERTIFICATE, callers.by_subject(subject)
    return _COOKIE if cookie else _NOTHING, None


def _unknown(way: str) -> Problem:
    if way == _NOTHING:
        detail, challenge = "who calls? Send a header `Authorization: Bearer TOKEN`; a browser: see /login", "Bearer"
    else:
        detail, challenge = f"the {way} is not known here: get a new one", 'Bearer error="invalid_token"'
    return Problem(HTTPStatus.UNAUTHORIZED, detail, challenge=challenge)


class _Guard:
    """Lets in to a route who may call it, and raises Problem for others; a person at a browser is led to /login."""

    def __init__(self, app: ASGIApp, access: Access, roles: Mapping[str, CallerRole | None]) -> None:
        self._app = app
        self._access = access
        self._roles = roles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, request = self._app, Request(scope)
        scope["scheme"] = self._access.scheme
        scope["admit"] = partial(self._access.admit, request, self._roles)
        try:
            scope["admit"]()
        except Problem as problem:
            is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
            if not is_page or problem.status is not HTTPStatus.UNAUTHORIZED:
                raise
            to = quote(f"{request.url.path}?{request.url.query}".removesuffix("?"), safe="")
            app = RedirectResponse(f"/login?to={to}", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
        await app(scope, receive, send)


class _OfThisMachine:
    """Refuses what a page of another site has a browser on this machine send: nothing else tells who calls.

    Such a page may post forms, and by a name of its own that leads to a loopback address also read the replies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = _host_in(headers), headers.get("origin")
            if not _is_loopback(host) or (origin and origin.partition("://")[2] != host):
                where = origin or host or "a call that does not name one Host"
                detail = f"this gateway serves this machine only, and not {where}"
                app = Problem(HTTPStatus.FORBIDDEN, detail).response()
        await app(scope, receive, send)


def _host_in(headers: Headers) -> str:
    """Return the Host; empty: there is none, or several (RFC 9112, 3.2), of which a proxy may have read another one."""
    hosts = headers.getlist("host")
    return hosts[0] if len(hosts) == 1 else ""


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
