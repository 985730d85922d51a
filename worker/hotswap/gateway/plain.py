"""The plain API: /v1/{deployment}, independent of Acumos."""

import base64
import json
import tempfile
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hotswap.batch import Format
from hotswap.client.answers import Place, Refused
from hotswap.client.change import Rollout
from hotswap.client.client import Client
from hotswap.client.finding import Gone, NotYet, PredictionId, find_answer, find_by_id
from hotswap.gateway import bodies, past, replies
from hotswap.gateway.answered import Answered, refusal_of
from hotswap.gateway.changes import change_of
from hotswap.gateway.deployment import Deployment, deployment_of
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.openapi import (
    ANSWER,
    ASK,
    BINARY,
    COMMAND,
    DONE,
    INTEGER,
    KIND,
    OBJECT,
    OPERATION,
    PARTS,
    PREDICTION_ID,
    STRING,
    Content,
    Endpoint,
    Says,
    Schema,
    a_list,
    an_object,
    content,
    form,
    parameter,
)
from hotswap.gateway.problems import Problem

_ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
_NAMES = an_object(deployments=a_list(STRING))
_FACTS = {
    "Hotswap-Source": "Where the request is.",
    "Hotswap-Generation": "What has answered.",
    "Hotswap-Prediction-Id": "The id by which the answer can be fetched again.",
}
_SERVED = an_object(deployment=STRING, generation=INTEGER, model=past.MODEL, proto=OBJECT, operations=OBJECT)
_ANSWERED: Content = {
    **content(
        {
            "anyOf": [
                an_object(generation=INTEGER, source=STRING, prediction_id=STRING, prediction=OBJECT),
                an_object(refused=INTEGER, notes=a_list(STRING), predictions=a_list(OBJECT)),
            ]
        },
        example={
            "generation": 2,
            "source": "iris.requests-0-7",
            "prediction_id": PREDICTION_ID,
            "prediction": {"species": "setosa", "setosa": 0.99},
        },
    ),
    "text/csv": ANSWER["text/csv"],
    "application/x-protobuf": {"schema": BINARY},
}
_PREDICT = Says(
    summary="Score one row or many",
    parameters=(
        OPERATION,
        parameter("Request-Id", "Goes with each request, and with its answer.", place="header"),
    ),
    body={
        **content({"anyOf": [OBJECT, a_list(OBJECT)]}, example=_ROW),
        "text/csv": {
            "schema": STRING,
            "example": "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n",
        },
        "application/x-protobuf": {"schema": BINARY},
    },
    replies={200: _ANSWERED},
    problems=(*PARTS, 404, 406, *ASK),
)
_FETCH = Says(
    summary="The answer to a request of the caller's own, by its id",
    replies={200: content(BINARY, "application/x-protobuf")},
    headers=_FACTS,
    problems=(404, 413, 422, 503),
)
_FETCH_ANY = Says(
    summary="The answer to anybody's request, by its source",
    replies={200: content(BINARY, "application/x-protobuf")},
    headers={name: _FACTS[name] for name in ("Hotswap-Source", "Hotswap-Generation")},
    problems=(404, 410, 413, 422, 503),
)
_DEAD_LETTERS = Says(
    summary="Refused requests, newest first",
    parameters=(
        parameter("limit", "The most entries of a page; default 100.", {**INTEGER, "minimum": 1, "maximum": 1_000}),
        parameter("code", "Only those with this code.", {**STRING, "example": "UNDECODABLE"}),
        parameter("partition", "Only those of this partition.", {**INTEGER, "minimum": 0}),
        parameter(
            "before",
            "Only those below these offsets of the dead letters: partition-offset, separated by commas.",
            {**STRING, "pattern": "^[0-9]{1,10}-[0-9]{1,19}(,[0-9]{1,10}-[0-9]{1,19})*$", "example": "0-17,1-4"},
        ),
    ),
    replies={200: content(past.LETTERS)},
    problems=(400, 404, 422, 503),
)
_SWAP = Says(
    summary="Swap the parts that are there, all at once",
    parameters=(KIND,),
    body=form(model=BINARY, proto=STRING, configuration=STRING, kind=STRING),
    replies={200: DONE},
    problems=(*PARTS, 404, *COMMAND),
)


def _reads(summary: str, replies: Content, *problems: int) -> Says:
    return Says(summary=summary, replies={200: replies}, problems=(404, *problems))


def _commands(summary: str, *parameters: Schema) -> Says:
    return Says(summary=summary, parameters=parameters, replies={200: DONE}, problems=(400, 404, *COMMAND))


_ROLLBACK = _commands(
    "Serve an older generation's parts again",
    parameter("to", "That generation; else the one that served before.", {**INTEGER, "minimum": 1}),
)
_PROMOTE = _commands(
    "Cut the staged generation over",
    parameter("partitions", "Only these, as `0,3`; else all that are left.", STRING),
)


class Plain:
    """The endpoints of all deployments of a gateway."""

    def __init__(self, deployments: Mapping[str, Deployment], limits: GatewayLimits) -> None:
        self._deployments = deployments
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the routes, with their OpenAPI descriptions."""
        one = "/v1/{deployment}"
        return [
            Endpoint("GET", "/v1", self.list, Says(summary="The deployments", replies={200: content(_NAMES)})),
            Endpoint("GET", one, self.show, _reads("What serves", content(_SERVED), 503)),
            Endpoint("POST", f"{one}/predict", self._limits.fair(self.predict), _PREDICT),
            Endpoint("GET", f"{one}/predictions/{{prediction_id}}", self.fetch, _FETCH),
            Endpoint("GET", f"{one}/predictions/{{partition}}/{{offset}}", self.fetch_any, _FETCH_ANY),
            Endpoint(
                "GET", f"{one}/history", self.history, _reads("The last commands, newest first", content(past.HISTORY))
            ),
            Endpoint("GET", f"{one}/dead-letters", self.dead_letters, _DEAD_LETTERS),
            Endpoint("POST", f"{one}/swap", self.swap, _SWAP),
            Endpoint("POST", f"{one}/rollback", self.rollback, _ROLLBACK),
            Endpoint("POST", f"{one}/promote", self.promote, _PROMOTE),
            Endpoint("POST", f"{one}/abandon", self.abandon, _commands("End the staged generation")),
            Endpoint("POST", f"{one}/pause", self.pause, _commands("Take no further batch")),
            Endpoint("POST", f"{one}/resume", self.resume, _commands("End a pause")),
        ]

    def _find(self, request: Request) -> Deployment:
        return deployment_of(request, self._deployments)

    async def list(self, _: Request) -> Response:
        """Reply with the names of the deployments."""
        return JSONResponse({"deployments": list(self._deployments)})

    async def show(self, request: Request) -> Response:
        """Reply with the serving generation."""
        deployment = self._find(request)
        served = deployment.served
        generation = served.generation
        assert generation
        text = served.proto_text
        proto = {"descriptor_set": base64.b64encode(served.source).decode()} if text is None else {"text": text}
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
        call = await bodies.predict_call(request, self._limits.body_bytes)
        name, work = request.query_params.get("operation"), self._limits.work(request)
        if call.content is Format.PROTOBUF:
            operation = deployment.operation(name)
            headers = [("operation", operation.name.encode()), *call.headers]
            (one,) = await deployment.ask([call.value], headers, work.caller)
            return await replies.reply_to_message(one, operation, call.accept, work)
        asking = deployment.ask_rows(call.value, call.content, name, call.headers, work=work, is_whole=call.is_whole)
        return await replies.reply(await asking, call, work)

    async def fetch(self, request: Request) -> Response:
        """Reply with the answer to a request of the caller's own, by its id.

        An id with a wrong token has the same reply as one of a request that nobody has made.
        """
        deployment = self._find(request)
        wanted = PredictionId.parse(request.path_params["prediction_id"])
        answer = None
        if wanted and wanted.partition < deployment.router.partitions:
            answer = await find_by_id(deployment.settings, wanted)
        if wanted is None or answer is None:
            detail = (
                "no answer has this prediction id: its request has no answer yet, the answer has been removed by "
                "retention, or there is no such id"
            )
            raise Problem(HTTPStatus.NOT_FOUND, detail, retry_after_s=1)
        source = Place(deployment.settings.topics.requests, wanted.partition, wanted.offset)
        one = Answered(source, answer, wanted.token)
        return replies.fetched(one.prediction, one.prediction_id)

    async def fetch_any(self, request: Request) -> Response:
        """Reply with the answer to any request that was published before, by its source."""
        deployment = self._find(request)
        place = bodies.place_in(request)
        if place is None or place[0] >= deployment.router.partitions:
            detail = f"{deployment.settings.topics.requests} has no such partition or offset"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        partition, offset = place
        try:
            answer = await find_answer(deployment.settings, partition, offset)
        except NotYet as error:
            raise Problem(HTTPStatus.NOT_FOUND, str(error), retry_after_s=1) from None
        except Gone as error:
            raise Problem(HTTPStatus.GONE, str(error)) from None
        if isinstance(answer, Refused):
            raise refusal_of(answer)
        return replies.fetched(answer)

    async def history(self, request: Request) -> Response:
        """Reply with the last commands, their authors and outcomes, and when each generation served."""
        return JSONResponse(await past.history(self._find(request)))

    async def dead_letters(self, request: Request) -> Response:
        """Reply with refused requests, the newest first."""
        return _json(await past.dead_letters(self._find(request), request))

    async def swap(self, request: Request) -> Response:
        """Swap the parts `model`, `proto` and `configuration` that the form has, all at once."""
        deployment = self._find(request)
        async with bodies.form(request, self._limits.artifact_bytes) as form:
            with tempfile.TemporaryDirectory(prefix="hotswap-gateway-") as folder:
                compile_proto = partial(self._limits.compile, request)
                change = await change_of(form, Path(folder), compile_proto, configuration="configuration")
                return JSONResponse(await deployment.command(lambda client: client.swap(change)))

    async def rollback(self, request: Request) -> Response:
        """Serve an older generation's parts again: `to`, or the one that served before."""
        to = bodies.generation_in(request.query_params.get("to"))
        deployment = self._find(request)
        return JSONResponse(await deployment.command(lambda client: client.rollback(to, rollout=Rollout())))

    async def promote(self, request: Request) -> Response:
        """Cut the staged generation over, on some `partitions`, or on all that are left."""
        partitions = bodies.partitions_in(request.query_params.get("partitions"))
        deployment = self._find(request)
        return JSONResponse(await deployment.command(lambda client: client.promote(partitions=partitions)))

    async def abandon(self, request: Request) -> Response:
        """End the staged generation: the partitions that it scores go back."""
        return JSONResponse(await self._find(request).command(Client.abandon))

    async def pause(self, request: Request) -> Response:
        """Take no further batch."""
        return JSONResponse(await self._find(request).command(Client.pause))

    async def resume(self, request: Request) -> Response:
        """End a pause."""
        return JSONResponse(await self._find(request).command(Client.resume))


def _json(document: Any) -> Response:
    # As Starlette's own response, but protobuf's NaN and Infinity are texts already.
    return Response(
        json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), media_type="application/json"
    )
