"""Shared parts of the console's pages: deployments, their watch, and the frame of a page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from hotswap.client.change import Receipt
from hotswap.client.client import Client
from hotswap.console import facts
from hotswap.console.pages import Pages, as_event
from hotswap.console.watch import Watch, Watched
from hotswap.gateway.deployment import Deployment, deployment_of
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.problems import Problem


@dataclass(frozen=True, slots=True)
class Shared:
    """Page rendering."""

    deployments: Mapping[str, Deployment]
    watch: Watch
    pages: Pages
    limits: GatewayLimits

    def deployment(self, request: Request) -> Deployment:
        """Return the deployment of a request. Raises Problem (404) if it is unknown."""
        return deployment_of(request, self.deployments, "console")

    async def publish(self, request: Request, publish: Callable[[Client], Awaitable[Receipt]]) -> Response:
        """Publish a command, and redirect to the swaps once they list it. Raises SwapError if it is refused."""
        deployment = self.deployment(request)
        receipt = await deployment.publish(publish)
        await self.watch.sees(deployment.name, receipt.command_id)
        return see(address(request, deployment.name) + "#swaps")

    async def page(
        self, request: Request, template: str, tab: str, status: HTTPStatus = HTTPStatus.OK, **facts_: Any
    ) -> Response:
        """Return a page of a deployment, with its watched state."""
        watched = await self.watch.first(self.deployment(request).name)
        return self.pages.page(request, template, status, tab=tab, **seen(watched), **facts_)

    def stream(self, request: Request, parts: Callable[[], Mapping[str, str]]) -> Response:
        """Return a stream of the parts of a page, by the id of their place, as they change.

        It ends once the caller is no longer authorised, as when their token is removed from the file.
        """

        async def changes() -> AsyncIterator[bytes]:
            sent: dict[str, str] = {}
            async for _ in self.watch.turns():
                try:
                    request.scope["admit"]()
                except Problem:
                    return
                now = parts()
                yield as_event({name: part for name, part in now.items() if sent.get(name) != part})
                sent = dict(now)

        return StreamingResponse(changes(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def root_of(request: Request) -> str:
    """Return the path at which the console is mounted, without a slash at its end."""
    return str(request.scope.get("root_path", ""))


def address(request: Request, deployment: str, *parts: str) -> str:
    """Return the address of a page of a deployment."""
    return "/".join([root_of(request), "d", quote(deployment, safe=""), *(quote(part, safe="") for part in parts)])


def see(location: str) -> Response:
    """Return a redirect to another page, so that a reload does not resend the form."""
    return RedirectResponse(location, HTTPStatus.SEE_OTHER)


def seen(watched: Watched) -> dict[str, Any]:
    """Return the template variables of a watched deployment."""
    view = watched.view
    rows = facts.rows_of(view) if view else []
    return {
        "name": watched.name,
        "fault": watched.fault,
        "view": view,
        "state": facts.state_of(watched),
        "charts": facts.charts_of(watched),
        "shares": facts.shares_of(view) if view else (),
        "rows": rows,
        "holds": facts.holds_of(rows),
        "refusals": list(watched.refusals),
    }
