"""The gateway as an ASGI application: its routes, its errors, and the probes."""

import logging
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotswap import metrics
from hotswap.client.finding import PredictionId
from hotswap.errors import HotswapError
from hotswap.gateway.access import Access
from hotswap.gateway.acumos import Acumos
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.inference import Inference
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.openapi import STRING, Endpoint, Says, content, described
from hotswap.gateway.plain import Plain
from hotswap.gateway.problems import Problem, problem_of
from hotswap.gateway.redirects import redirect_slashes

log = logging.getLogger(__name__)

_PIECE = 64 << 10


def make_app(
    deployments: Sequence[Deployment],
    limits: GatewayLimits,
    console: ASGIApp | None = None,
    access: Access | None = None,
) -> ASGIApp:
    """Return the application, for this machine only without `access`; Acumos's endpoints are the first deployment's."""
    consoles = [Route("/", _to_console), Mount("/console", console)] if console else []
    return _guarded([*routes_of(deployments, limits), *consoles], access)


def make_console_app(deployments: Sequence[Deployment], console: ASGIApp, access: Access | None = None) -> ASGIApp:
    """Return the application of a console alone, at / and at /console."""
    return _guarded([*_probes(deployments), Mount("/console", console), Mount("/", console)], access)


def _guarded(routes: Sequence[BaseRoute], access: Access | None) -> ASGIApp:
    access = access or Access()
    whole = [*access.routes(), *routes]
    access.guard(whole)
    handlers: Any = {Problem: _problem, HotswapError: _ours, HTTPException: _http}
    return _CallLog(access.restrict(redirect_slashes(Starlette(routes=whole, exception_handlers=handlers))))


def routes_of(deployments: Sequence[Deployment], limits: GatewayLimits) -> list[Route]:
    """Return the routes of the API, which the OpenAPI document describes."""
    by_name = {deployment.name: deployment for deployment in deployments}
    return described(
        [
            *Plain(by_name, limits).routes(),
            *Inference(by_name, limits).routes(),
            *Acumos(deployments[0], limits).routes(),
            *_probes(deployments),
        ],
        list(by_name),
    )


def _probes(deployments: Sequence[Deployment]) -> list[Route]:
    async def ready(_: Request) -> Response:
        if idle := [deployment.name for deployment in deployments if not deployment.is_serving]:
            return PlainTextResponse(f"nothing serves in {', '.join(idle)}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return PlainTextResponse("ok\n")

    text = content(STRING, "text/plain")
    probe = Says(summary="Whether each deployment serves", replies={200: text, 503: text})
    return [
        Endpoint("GET", "/livez", _live, Says(summary="Whether the gateway runs", replies={200: text})),
        Endpoint("GET", "/readyz", ready, probe),
        Endpoint("GET", "/metrics", _metrics, Says(summary="Metrics for Prometheus", replies={200: text})),
    ]


async def _to_console(_: Request) -> Response:
    return RedirectResponse("/console")


async def _live(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _problem(request: Request, problem: Problem) -> Response:
    return problem.error() if request.url.path.startswith("/v2") else problem.response()


async def _ours(request: Request, error: HotswapError) -> Response:
    return await _problem(request, problem_of(error))


async def _http(request: Request, error: HTTPException) -> Response:
    detail = f"{request.method} {request.url.path}: {error.detail}"
    response = await _problem(request, Problem(HTTPStatus(error.status_code), detail))
    response.headers.update(error.headers or {})
    return response


def _parts(message: Message) -> Iterator[Message]:
    """Yield a part of a response in pieces: the server buffers at most one for a client that does not read."""
    body = message.get("body", b"")
    for at in range(0, len(body) - _PIECE, _PIECE):
        yield {"type": message["type"], "body": body[at : at + _PIECE], "more_body": True}
    yield {**message, "body": body[(len(body) - 1) // _PIECE * _PIECE :]} if len(body) > _PIECE else message


class _CallLog:
    """Counts and logs each call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            for part in _parts(message):
                await send(part)

        try:
            await self._app(scope, receive, observed_send)
        finally:
            elapsed_s = perf_counter() - began
            route = scope.get("route")
            path = getattr(route, "path", "other")
            metrics.HTTP_SECONDS.labels(path).observe(elapsed_s)
            metrics.HTTP_REQUESTS.labels(path, str(status)).inc()
            masked = PredictionId.masked(scope["path"])
            facts = {"method": scope["method"], "path": masked, "status": status, "ms": round(elapsed_s * 1000, 1)}
            if (caller := scope.get("caller")) and caller.name:
                facts["caller"] = caller.name
            log.info("gateway.call", extra=facts)
