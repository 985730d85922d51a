"""The plain API: /v1/{deployment}, for those who do not know Acumos."""

import base64
import json
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hotswap.batch import Format
from hotswap.client.answers import Outgoing, Place, Refused
from hotswap.client.client import Client
from hotswap.client.finding import Gone, NotYet, find_answer
from hotswap.codec.proto import Operation
from hotswap.gateway import bodies, rows
from hotswap.gateway.changes import change_of
from hotswap.gateway.deployment import Deployment, predicted
from hotswap.gateway.desk import Answered
from hotswap.gateway.limits import Limits
from hotswap.gateway.problems import Problem, bad_rows


class Plain:
    """The endpoints of all deployments of a gateway."""

    def __init__(self, deployments: Mapping[str, Deployment], limits: Limits) -> None:
        self._deployments = deployments
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1", self.list, methods=["GET"]),
            Route("/v1/{deployment}", self.show, methods=["GET"]),
            Route("/v1/{deployment}/predict", self.predict, methods=["POST"]),
            Route("/v1/{deployment}/predictions/{partition:int}/{offset:int}", self.fetch, methods=["GET"]),
            Route("/v1/{deployment}/swap", self.swap, methods=["POST"]),
            Route("/v1/{deployment}/rollback", self.rollback, methods=["POST"]),
            Route("/v1/{deployment}/pause", self.pause, methods=["POST"]),
            Route("/v1/{deployment}/resume", self.resume, methods=["POST"]),
        ]

    def _find(self, request: Request) -> Deployment:
        name = request.path_params["deployment"]
        if name not in self._deployments:
            detail = f"this gateway has no deployment {name!r}: it has {', '.join(self._deployments)}"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        return self._deployments[name]

    async def list(self, _: Request) -> Response:
        """Reply with the names of the deployments."""
        return JSONResponse({"deployments": list(self._deployments)})

    async def show(self, request: Request) -> Response:
        """Reply with what serves."""
        deployment = self._find(request)
        served = deployment.served
        generation = served.generation
        assert generation
        is_set = generation.proto.is_descriptor_set
        proto = (
            {"descriptor_set": base64.b64encode(served.source).decode()} if is_set else {"text": _text(served.source)}
        )
        operations = {
            name: {
                "input": operation.input.DESCRIPTOR.full_name,
                "output": operation.output.DESCRIPTOR.full_name,
                "reads": sorted(served.reads.get(name, ())),
            }
            for name, operation in served.schema.operations.items()
        }
        model = {"name": generation.model.name, "kind": generation.model.kind, "sha256": generation.model.sha256}
        return JSONResponse(
            {
                "deployment": deployment.name,
                "generation": generation.number,
                "model": model,
                "proto": {"sha256": served.proto_sha256, **proto},
                "operations": operations,
            }
        )

    async def predict(self, request: Request) -> Response:
        """Score one row or many: JSON, CSV, or one serialized input message."""
        deployment = self._find(request)
        content, name = bodies.content_of(request), request.query_params.get("operation")
        value = await bodies.body(request, self._limits.body_bytes)
        if content is Format.PROTOBUF:
            accept = bodies.accepted(request, Format.PROTOBUF)
            operation = deployment.operation(name)
            told = [("operation", operation.name.encode()), *_headers(request)]
            (one,) = await deployment.ask([Outgoing(value, None, told)])
            prediction = predicted(one)
            facts = {"Hotswap-Source": prediction.source, "Hotswap-Generation": str(prediction.generation)}
            return Response(rows.write([prediction.value], accept, operation), 200, facts, accept.value)
        accept = bodies.accepted(request, Format.JSON)
        is_whole = accept is not Format.JSON
        asking = deployment.ask_rows(value, content, name, _headers(request), is_whole=is_whole)
        given, operation, answered = await asking
        if is_whole:
            values = [predicted(one).value for one in answered]
            return Response(rows.write(values, accept, operation), media_type=accept.value)
        return _reply(value, content, given, operation, answered)

    async def fetch(self, request: Request) -> Response:
        """Reply with the answer to a request that was published before, by its source."""
        deployment, place = self._find(request), request.path_params
        try:
            answer = await find_answer(deployment.settings, place["partition"], place["offset"])
        except NotYet as error:
            raise Problem(HTTPStatus.NOT_FOUND, str(error), retry_after_s=1) from None
        except Gone as error:
            raise Problem(HTTPStatus.GONE, str(error)) from None
        source = Place(deployment.settings.topics.requests, place["partition"], place["offset"])
        prediction = predicted(Answered(source, answer))
        facts = {"Hotswap-Source": prediction.source, "Hotswap-Generation": str(prediction.generation)}
        return Response(prediction.value, 200, facts, Format.PROTOBUF.value)

    async def swap(self, request: Request) -> Response:
        """Swap the parts `model`, `proto` and `configuration` that the form has, all at once."""
        deployment = self._find(request)
        async with bodies.form(request, self._limits.artifact_bytes) as form:
            with tempfile.TemporaryDirectory(prefix="hotswap-gateway-") as folder:
                change = await change_of(form, Path(folder), configuration="configuration")
                return JSONResponse(await deployment.command(lambda client: client.swap(change)))

    async def rollback(self, request: Request) -> Response:
        """Serve an older generation's parts again: `to`, or the one that served before."""
        to = request.query_params.get("to", "")
        if to and not to.isdecimal():
            raise Problem(HTTPStatus.BAD_REQUEST, f"`to` is the number of a generation, not {to!r}")
        deployment = self._find(request)
        return JSONResponse(await deployment.command(lambda client: client.rollback(int(to) if to else None)))

    async def pause(self, request: Request) -> Response:
        """Take no further batch."""
        return JSONResponse(await self._find(request).command(Client.pause))

    async def resume(self, request: Request) -> Response:
        """End a pause."""
        return JSONResponse(await self._find(request).command(Client.resume))


def _headers(request: Request) -> list[tuple[str, bytes]]:
    given = request.headers.get("request-id")
    return [("request-id", given.encode("latin-1"))] if given else []


def _reply(value: bytes, content: Format, given: rows.Rows, operation: Operation, answered: list[Answered]) -> Response:
    """Reply to one JSON object with its prediction, and to a table with an item for each row, good or bad."""
    is_one = content is Format.JSON and value.lstrip()[:1] == b"{" and len(given.values) + len(given.faults) == 1
    if is_one:
        if given.faults:
            raise bad_rows(given.faults, 1)
        prediction = predicted(answered[0])
        return _json(_item({}, answered[0], operation, prediction.generation))
    items: dict[int, dict[str, Any]] = {fault["row"]: dict(fault) for fault in given.faults}
    for number, one in zip(given.numbers, answered, strict=True):
        answer = one.answer
        assert answer
        if isinstance(answer, Refused):
            detail = f"row {number}: {answer.code}: {answer.message}"
            items[number] = {"row": number, "code": answer.code, "detail": detail, "source": answer.source}
        else:
            items[number] = _item({"row": number}, one, operation, answer.generation)
    ordered = [items[number] for number in sorted(items)]
    refused = sum("prediction" not in item for item in ordered)
    if not ordered:
        given.check()
    if refused == len(ordered):
        raise bad_rows(ordered, refused)
    return _json({"refused": refused, "notes": given.notes, "predictions": ordered})


def _item(facts: dict[str, Any], one: Answered, operation: Operation, generation: int) -> dict[str, Any]:
    prediction = rows.as_json(operation.output.FromString(predicted(one).value))
    return {**facts, "generation": generation, "source": str(one.place), "prediction": prediction}


def _json(document: Any) -> Response:
    # As Starlette's own response, but protobuf's NaN and Infinity are texts already.
    return Response(
        json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), media_type="application/json"
    )


def _text(source: bytes) -> str:
    return source.decode(errors="replace")
