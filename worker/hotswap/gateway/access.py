"""Authorization: the role of each route, authentication of callers, and protection against cross-site requests."""

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
    "POST /v1/{deployment}/promote": CallerRole.SWAP,
    "POST /v1/{deployment}/abandon": CallerRole.SWAP,
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
"""The role that each route needs; None: it is public. A gateway with an unlisted route does not start."""
_ALTERNATIVES = {
    "GET /v1/{deployment}/predictions/{partition}/{offset}": (
        ": fetch the answer to a request of your own by the `prediction_id` of the reply to it, at "
        "/v1/{deployment}/predictions/{prediction_id}"
    ),
}
"""Alternatives for callers without the role of a route."""
_CONSOLES = ("", "/console")
"""Mount points of a console, alone and in a gateway."""
_TOKEN, _COOKIE, _CERTIFICATE, _NOTHING = "token", "cookie", "certificate", "nothing"

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_NOBODY = Caller("", frozenset())
_ANYBODY = Caller("", frozenset(CallerRole))
"""The caller without authentication: on this machine, with every role."""


def role_of(method: str, path: str) -> CallerRole | None:
    """Return the role that a route needs; an unlisted route of a console needs `read` for GET, else `swap`.

    Raises:
        KeyError: the route is unknown.

    """
    route = f"{method} {path}"
    if route not in ROLES and (path in _CONSOLES or path.startswith(f"{_CONSOLES[-1]}/")):
        return CallerRole.READ if method == "GET" else CallerRole.SWAP
    return ROLES[route]


def demand(request: Request, role: CallerRole) -> None:
    """Raise Problem, 403, unless the caller has a role beyond that of the route."""
    caller: Caller = request.scope["caller"]
    if role not in caller.roles:
        alternative = _ALTERNATIVES.get(
            f"{request.method} {getattr(request.scope.get('route'), 'path_format', '')}", ""
        )
        detail = f"{caller.name} lacks the role {role.value}, which this call needs{alternative}"
        raise Problem(HTTPStatus.FORBIDDEN, detail, role=role.value)


class Access:
    """Authorizes callers: those in `callers` or, without it, every caller on this machine.

    `is_secure`: this gateway terminates TLS; `is_behind_proxy`: a proxy before it does.
    """

    def __init__(
        self, callers: Callers | None = None, *, is_secure: bool = False, is_behind_proxy: bool = False
    ) -> None:
        self._callers = callers
        self.scheme = "https" if is_secure or is_behind_proxy else "http"
        """Of the addresses that callers use, by the operator's options: a header could be forged."""
        self._is_behind_proxy = is_behind_proxy

    def routes(self) -> list[Route]:
        """Return the routes of login and logout."""
        return Login(self._callers, is_secure=self.scheme == "https").routes() if self._callers else []

    def guard(self, routes: Sequence[BaseRoute], *, below: str = "") -> None:
        """Restrict each route to callers with its role. Raises KeyError: a route has none."""
        for route in routes:
            assert isinstance(route, Route | Mount), f"{route!r} cannot be guarded"
            if isinstance(route, Mount) and route.routes:
                self.guard(route.routes, below=below + route.path)
                continue
            methods, path = (route.methods, route.path_format) if isinstance(route, Route) else (None, route.path)
            roles = {method: role_of(method, below + path) for method in methods or _METHODS if method != "HEAD"}
            route.app = _Guard(route.app, self, roles)

    def restrict(self, app: ASGIApp) -> ASGIApp:
        """Return the application, restricted to this machine if callers are not authenticated."""
        return app if self._callers else _LoopbackOnly(app)

    def admit(self, request: Request, roles: Mapping[str, CallerRole | None]) -> None:
        """Authenticate the caller, as `request.scope["caller"]`, and check the role of the method.

        Long responses may check again, by `request.scope["admit"]`.

        Raises:
            Problem: 401, unauthenticated; 403, the caller lacks the role, or a page of another site sent the request.

        """
        method = "GET" if request.method == "HEAD" else request.method
        if method not in roles:
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} {request.url.path}: Method Not Allowed")
        if self._callers is None:
            request.scope["caller"] = _ANYBODY
            return
        credential, caller = _authenticate(request, self._callers)
        request.scope["caller"] = caller or _NOBODY
        if credential != _TOKEN and method != "GET":
            self._check_origin(request, is_required=credential == _COOKIE)
        if role := roles[method]:
            if caller is None:
                raise _unauthenticated(credential)
            demand(request, role)

    def _check_origin(self, request: Request, *, is_required: bool) -> None:
        """Raise Problem, 403, for a cross-site request: a browser adds cookie and certificate by itself."""
        host, origin = _host_in(request.headers), request.headers.get("origin")
        own = f"{self.scheme}://{host}"
        if self._is_behind_proxy and _is_loopback(host) and origin == f"http://{host}":
            return  # a browser on this machine, past the proxy: it trusts loopback as it trusts TLS
        if (origin or is_required) and origin != own:
            detail = (
                f"cross-site request: a browser may send this from {own} only, not from {origin or 'an unknown site'}"
            )
            raise Problem(HTTPStatus.FORBIDDEN, detail)


def _authenticate(request: Request, callers: Callers) -> tuple[str, Caller | None]:
    """Return the kind of credential, and its caller."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _TOKEN, callers.by_token(token.strip().encode("latin-1"))
    cookie = request.cookies.get(COOKIE, "")
    if caller := callers.by_token(cookie.encode("latin-1", "replace")):
        return _COOKIE, caller
    if subject := request.scope.get("state", {}).get("subject"):
        return _CERTIFICATE, callers.by_subject(subject)
    return _COOKIE if cookie else _NOTHING, None


def _unauthenticated(credential: str) -> Problem:
    if credential == _NOTHING:
        detail, challenge = (
            "missing credentials: send `Authorization: Bearer TOKEN`; in a browser, see /login",
            "Bearer",
        )
    else:
        detail, challenge = f"unknown {credential}: get a new one", 'Bearer error="invalid_token"'
    return Problem(HTTPStatus.UNAUTHORIZED, detail, challenge=challenge)


class _Guard:
    """Authorizes the calls of a route: raises Problem, or redirects a browser that is not logged in to /login."""

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


class _LoopbackOnly:
    """Refuses cross-site requests of a browser on this machine, where callers are not authenticated.

    A page of another site may post forms and, by DNS rebinding to a loopback address, also read the responses.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = _host_in(headers), headers.get("origin")
            if not _is_loopback(host) or (origin and origin.partition("://")[2] != host):
                source = origin or host or "a request without exactly one Host"
                detail = f"this gateway serves this machine only, not {source}"
                app = Problem(HTTPStatus.FORBIDDEN, detail).response()
        await app(scope, receive, send)


def _host_in(headers: Headers) -> str:
    """Return the Host; empty if there is none, or several (RFC 9112, 3.2): a proxy may have read another one."""
    hosts = headers.getlist("host")
    return hosts[0] if len(hosts) == 1 else ""


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
