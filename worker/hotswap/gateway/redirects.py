"""Redirects for trailing slashes: a path with a slash too many, or without one, leads to its route."""

from urllib.parse import quote

from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send


def redirect_slashes(app: Starlette) -> Starlette:
    """Have an application redirect as Starlette does, but to a path: Starlette's own URL has the `Host` of the call.

    A forged header would redirect to another host.
    """
    router = app.router
    router.redirect_slashes = False
    router.default = _SlashRedirect(router.routes, router.default)
    return app


class _SlashRedirect:
    def __init__(self, routes: list[BaseRoute], default: ASGIApp) -> None:
        self._routes = routes
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, path = self._default, scope["path"]
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        if scope["type"] == "http" and self._is_known({**scope, "path": other}):
            query = scope["query_string"].decode("latin-1")
            # One leading slash: browsers read two as a host.
            app = RedirectResponse("/" + quote(other.lstrip("/")) + (f"?{query}" if query else ""))
        await app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self._routes)
