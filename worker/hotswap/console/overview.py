"""A deployment's own page: partitions and workers, the timeline, the proto, a row typed by hand, the way back."""

import shlex
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hotswap.batch import Format
from hotswap.client.answers import Refused
from hotswap.client.change import Rollout
from hotswap.client.client import Client
from hotswap.console import facts, rows
from hotswap.console.shared import Shared, address, seen
from hotswap.gateway import bodies
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.documents import as_json
from hotswap.gateway.problems import Problem
from hotswap.gateway.work import Work

_FORM_BYTES = 1 << 20
_PARTS = ("state", "head", "charts", "picture", "newest", "timeline")


class OverviewPages:
    """The pages of each deployment under /d/{deployment}."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/d/{deployment}", self.show, methods=["GET"]),
            Route("/d/{deployment}/live", self.live, methods=["GET"]),
            Route("/d/{deployment}/score", self.score, methods=["POST"]),
            Route("/d/{deployment}/promote", self.promote, methods=["POST"]),
            Route("/d/{deployment}/abandon", self.abandon, methods=["POST"]),
            Route("/d/{deployment}/rollback", self.rollback, methods=["POST"]),
            Route("/d/{deployment}/pause", self.pause, methods=["POST"]),
            Route("/d/{deployment}/resume", self.resume, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Show a deployment."""
        return await self._page(request, request.query_params.get("operation"), {})

    async def live(self, request: Request) -> Response:
        """Send the parts of the page as they change."""
        deployment = self._shared.deployment(request)
        await self._shared.watch.first(deployment.name)
        return self._shared.stream(request, lambda: self._parts(deployment))

    async def score(self, request: Request) -> Response:
        """Score a row typed by hand, as a request of the deployment."""
        deployment = self._shared.deployment(request)
        async with self._shared.pages.form(request, _FORM_BYTES) as form:
            served = deployment.served
            operation = rows.operation_in(served, form.text("operation"))
            inputs = rows.inputs_of(operation, {}, {})
            typed = {one.name: value for one in inputs or () if (value := form.text(f"field-{one.name}"))}
            inputs = rows.inputs_of(operation, {}, typed)
            row = form.text("row") or ""
        text, content = rows.as_text(inputs, row, served.table(operation))
        lacks = any(not one.value for one in inputs or ())
        named = operation.name if len(served.schema.operations) > 1 else None
        result: dict[str, Any] = {"command": rows.command_of(deployment.name, named, text, content, may_lack=lacks)}
        try:
            result |= await _answer(deployment, operation.name, text, content, self._shared.limits.work(request))
        except Problem as problem:
            result["why"] = str(problem)
        return await self._page(request, operation.name, typed, row=row, result=result)

    async def rollback(self, request: Request) -> Response:
        """Serve an older generation's parts again."""
        async with self._shared.pages.form(request, _FORM_BYTES) as form:
            to = bodies.generation_in(form.text("to"))
        return await self._shared.publish(request, lambda client: client.rollback(to, rollout=Rollout()))

    async def promote(self, request: Request) -> Response:
        """Cut the staged generation over on all partitions that are left."""
        return await self._publish(request, Client.promote)

    async def abandon(self, request: Request) -> Response:
        """End the staged generation."""
        return await self._publish(request, Client.abandon)

    async def pause(self, request: Request) -> Response:
        """Take no further batch."""
        return await self._publish(request, Client.pause)

    async def resume(self, request: Request) -> Response:
        """End a pause."""
        return await self._publish(request, Client.resume)

    async def _publish(self, request: Request, publish: Any) -> Response:
        async with self._shared.pages.form(request, _FORM_BYTES):
            return await self._shared.publish(request, publish)

    def _parts(self, deployment: Deployment) -> dict[str, str]:
        watched = self._shared.watch.deployments[deployment.name]
        part, known = self._shared.pages.part, seen(watched)
        known["served"] = deployment.served if deployment.is_serving else None
        known["events"] = facts.events_of(watched.view) if watched.view else []
        return {name: part(name, **known) for name in _PARTS}

    async def _page(
        self,
        request: Request,
        name: str | None,
        typed: dict[str, str],
        row: str | None = None,
        result: dict[str, Any] | None = None,
    ) -> Response:
        deployment = self._shared.deployment(request)
        await self._shared.watch.first(deployment.name)
        served = deployment.served if deployment.is_serving else None
        own: dict[str, Any] = {"served": None}
        if served:
            operation = rows.operation_in(served, name)
            reads = {path: sorted(known) for path, known in served.reads.get(operation.name, {}).items()}
            own = {
                "served": served,
                "operation": operation,
                "reads": reads,
                "inputs": rows.inputs_of(operation, reads, typed),
                "row": row or rows.example_of(operation),
                "takes": rows.fields_of(operation.input, reads),
                "gives": rows.fields_of(operation.output, {}),
                "proto": served.proto_text and served.proto_text.splitlines(),
            }
        view = self._shared.watch.deployments[deployment.name].view
        back = list(reversed(view.swaps[:-1])) if view else []
        return await self._shared.page(
            request,
            "deployment",
            "overview",
            parts=self._parts(deployment),
            live=address(request, deployment.name, "live"),
            result=result,
            back=back,
            quoted=shlex.quote(deployment.name),
            **own,
        )


async def _answer(deployment: Deployment, operation: str, text: bytes, content: Format, work: Work) -> dict[str, Any]:
    """Request the prediction of one row; return the parts of the answer to show. Raises Problem if there is none."""
    if not text.strip():
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no field has a value: type one at least")
    _, called, (answered, *_) = await deployment.ask_rows(text, content, operation, work=work, is_whole=True)
    answer, source = answered.answer, str(answered.place)
    if isinstance(answer, Refused):
        return {"why": f"{answer.code}: {answer.message}", "source": source}
    assert answer
    cells = rows.cells_of(as_json(called.output.FromString(answer.value)))
    return {"cells": cells, "generation": answer.generation, "source": source}
