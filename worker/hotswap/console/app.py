"""The console as an ASGI application, to be mounted anywhere: its pages, its streams, its errors."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from hotswap.console.bring import BringPages
from hotswap.console.letters import LetterPages
from hotswap.console.models import ModelPages
from hotswap.console.overview import OverviewPages
from hotswap.console.pages import Guarded, Pages
from hotswap.console.shared import Shared, root_of, seen
from hotswap.console.watch import Watch
from hotswap.errors import HotswapError
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.problems import Problem, problem_of
from hotswap.gateway.redirects import redirect_slashes

_PARTS = ("state", "shares", "charts", "workers", "refusals")
_STATIC = Path(__file__).parent / "static"


class Console:
    """The console of some deployments: an ASGI application, read-only unless `is_changing`."""

    def __init__(self, deployments: Mapping[str, Deployment], limits: GatewayLimits, *, is_changing: bool) -> None:
        self._shared = Shared(deployments, Watch(deployments), Pages(deployments, is_changing=is_changing), limits)
        self._bring = BringPages(self._shared)
        handlers: Any = {Problem: self._problem, HotswapError: self._ours, HTTPException: self._http}
        routes = [
            Route("/", self.fleet, methods=["GET"]),
            Route("/live", self.live, methods=["GET"]),
            *OverviewPages(self._shared).routes(),
            *self._bring.routes(),
            *LetterPages(self._shared).routes(),
            *ModelPages(self._shared).routes(),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
        self._app = Guarded(redirect_slashes(Starlette(routes=routes, exception_handlers=handlers)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """End the streams, stop watching, and remove the drafts."""
        await self._shared.watch.close()
        self._bring.close()

    async def fleet(self, request: Request) -> Response:
        """Show all deployments."""
        for name in self._shared.deployments:
            await self._shared.watch.first(name)
        live = f"{root_of(request)}/live"
        return self._shared.pages.page(request, "fleet", parts=self._cards(), live=live)

    async def live(self, request: Request) -> Response:
        """Send the cards of the deployments as they change."""
        return self._shared.stream(request, self._cards)

    def _cards(self) -> dict[str, str]:
        parts: dict[str, str] = {}
        for number, watched in enumerate(self._shared.watch.deployments.values()):
            known = seen(watched)
            parts |= {f"{part}-{number}": self._shared.pages.part(part, **known) for part in _PARTS}
        return parts

    async def _problem(self, request: Request, problem: Problem) -> Response:
        title = problem.status.phrase
        response = self._shared.pages.page(request, "problem", problem.status, title=title, detail=str(problem))
        if problem.retry_after_s is not None:
            response.headers["Retry-After"] = str(problem.retry_after_s)
        return response

    async def _ours(self, request: Request, error: HotswapError) -> Response:
        return await self._problem(request, problem_of(error))

    async def _http(self, request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return await self._problem(request, Problem(HTTPStatus(error.status_code), detail))
