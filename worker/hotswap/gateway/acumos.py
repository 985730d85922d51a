"""The eleven endpoints of the paper's Table I, as the ancestor's clients call them, for one deployment.

Their names, methods and parts are Acumos's; a reply is what the paper promises. So PUT /model replies once the fleet
serves the model, a bad row refuses a table by its number, and nothing is answered with half of a swap.
"""

import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hotswap.batch import Ask, Format, Refusal
from hotswap.client.change import Change, Rollout, as_samples
from hotswap.client.scoring import own_host
from hotswap.client.serving import Served
from hotswap.codec.proto import Operation
from hotswap.gateway import bodies, documents, rows
from hotswap.gateway.access import demand
from hotswap.gateway.callers import CallerRole
from hotswap.gateway.changes import SavedModel, change_of, proto_of, save_model
from hotswap.gateway.deployment import Deployment, operation_of
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.openapi import (
    ANSWER,
    ASK,
    BINARY,
    COMMAND,
    DONE,
    KIND,
    OCTETS,
    OPERATION,
    PARTS,
    STRING,
    Answer,
    Content,
    Endpoint,
    Says,
    Schema,
    content,
    form,
    parameter,
)
from hotswap.gateway.problems import Problem, bad_rows
from hotswap.gateway.work import Work
from hotswap.generation import Configuration, Proto, TextOptions

_PARTS = {Format.CSV: "csvFile", Format.JSON: "jsonFile"}
_SCORED_AT_ONCE = 2_000
_CHANGE: Mapping[str, Schema] = {"model": BINARY, "proto": STRING, "modelConfig": STRING, "kind": STRING}
_ACTIVATE = parameter("activate", "`true`: the deployment then serves them.", {"enum": ["true", "false"]})
_NONE = Configuration()
"""Of a model of the call's own, which is scored, and served, without the configuration of what serves now."""


@dataclass(frozen=True, slots=True)
class Acumos:
    """The endpoints of a deployment."""

    deployment: Deployment
    limits: GatewayLimits

    def routes(self) -> list[Route]:
        """Return the routes: method, path, endpoint, and OpenAPI description."""
        csv, json, fair = Format.CSV, Format.JSON, self.limits.fair
        model = {"model": BINARY, "kind": STRING}
        return [
            _swaps("/model", partial(self.put, part="model"), "Swap the model", form("model", **_CHANGE)),
            _swaps("/proto", partial(self.put, part="proto"), "Swap the proto", form("proto", **_CHANGE)),
            _swaps(
                "/model/configuration",
                partial(self.put, part="modelConfig"),
                "Swap the configuration",
                form("modelConfig", **_CHANGE),
            ),
            _encodes("/getBinary", fair(partial(self.encode, content=csv, is_own=True)), csv, proto=STRING),
            _encodes("/getBinaryDefault", fair(partial(self.encode, content=csv, is_own=False)), csv),
            _encodes("/getBinaryJSON", fair(partial(self.encode, content=json, is_own=True)), json, proto=STRING),
            _encodes("/getBinaryJSONDefault", fair(partial(self.encode, content=json, is_own=False)), json),
            _scores("/transformCSVDefault", fair(partial(self.transform, content=csv)), csv),
            _scores("/transformJSONDefault", fair(partial(self.transform, content=json)), json),
            _scores("/transformCSV", fair(partial(self.transform_own, content=csv)), csv, proto=STRING, **model),
            _scores("/transformJSON", fair(partial(self.transform_own, content=json)), json, proto=STRING, **model),
            Endpoint(
                "POST",
                "/model/methods/{operation}",
                fair(self.predict),
                Says(
                    summary="Score one serialized input message with the serving generation",
                    body=content(BINARY, OCTETS),
                    is_body_optional=True,  # no bytes are a message, too
                    replies={200: ANSWER},
                    problems=(*PARTS, 404, 406, *ASK),
                ),
            ),
        ]

    async def put(self, request: Request, *, part: str) -> Response:
        """Swap the model, the proto or the configuration; the other parts stay.

        The configuration is an Acumos model's `modelConfig.properties`, or JSON.
        """
        async with bodies.form(request, self.limits.artifact_bytes) as form:
            form.part(part)
            with tempfile.TemporaryDirectory(prefix="hotswap-gateway-") as folder:
                compile_proto = partial(self.limits.compile, request)
                change = await change_of(form, Path(folder), compile_proto, configuration="modelConfig")
                return await self._swap(change)

    async def _swap(self, change: Change) -> Response:
        return JSONResponse(await self.deployment.command(lambda client: client.swap(change)))

    async def encode(self, request: Request, *, content: Format, is_own: bool) -> Response:
        """Reply with the rows as one serialized input message; publish nothing."""
        async with bodies.form(request, self.limits.body_bytes) as form:
            if is_own:
                _, schema = await proto_of(form, partial(self.limits.compile, request))
                served, operation = Served(schema, "", {}), operation_of(schema, form.text("operation"))
            else:
                served, operation = self.deployment.served, self.deployment.operation(form.text("operation"))
            work, reads = self.limits.work(request), served.reads.get(operation.name, ())
            text = await form.some(_PARTS[content])
            table = await rows.read(text, content, operation, served.table(operation), work, reads)
            return Response(await table.pack(work), 200, table.headers(), "application/octet-stream")

    async def transform(self, request: Request, *, content: Format) -> Response:
        """Score each row with the serving generation, and reply with the output message."""
        async with bodies.form(request, self.limits.body_bytes) as form:
            text = await form.some(_PARTS[content])
            work = self.limits.work(request)
            asking = self.deployment.ask_rows(text, content, form.text("operation"), work=work, is_whole=True)
            table, operation, answered = await asking
            answers = [one.prediction.value for one in answered]
            return await _reply(request, answers, operation, work, table.headers())

    async def predict(self, request: Request) -> Response:
        """Score one serialized input message with the serving generation."""
        if (content := bodies.content_of(request, Format.PROTOBUF)) is not Format.PROTOBUF:
            detail = f"the body is {content}: this endpoint takes one message in {Format.PROTOBUF}"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        operation = self.deployment.operation(request.path_params["operation"])
        value = await bodies.body(request, self.limits.body_bytes)
        work = self.limits.work(request)
        (answered,) = await self.deployment.ask([value], [("operation", operation.name.encode())], work.caller)
        return await _reply(request, [answered.prediction.value], operation, work)

    async def transform_own(self, request: Request, *, content: Format) -> Response:
        """Score rows by a model and a proto of the call's own, on a host here.

        With `activate=true`, the deployment then serves them, and the rows are the samples of the swap.
        """
        async with bodies.form(request, self.limits.artifact_bytes) as form:
            if is_to_serve := form.text("activate") == "true":
                demand(request, CallerRole.SWAP)
            with tempfile.TemporaryDirectory(prefix="hotswap-gateway-") as folder:
                text, work = await form.some(_PARTS[content], self.limits.body_bytes), self.limits.work(request)
                model = await save_model(form, Path(folder))
                if not self.limits.may_load(model.kind):
                    detail = f"a model of kind {model.kind} brings code of its own, which this gateway does not run"
                    raise Problem(HTTPStatus.FORBIDDEN, detail)
                proto, schema = await proto_of(form, partial(self.limits.compile, request))
                operation = operation_of(schema, form.text("operation"))

                async def read(options: TextOptions | None, reads: Collection[str] = ()) -> rows.Rows:
                    return await rows.read(text, content, operation, options, work, reads)

                table, answers = await self._score(model, proto, operation, read)
                if is_to_serve:
                    # Samples are for the first operation: messages of another one would be refused.
                    is_first = operation is next(iter(schema.operations.values()))
                    change = Change(
                        model=model.path,
                        kind=model.kind,
                        name=model.name,
                        proto=proto,
                        configuration=_NONE,
                        samples=as_samples(table.values) if is_first else (),
                        rollout=Rollout(),
                    )
                    await self._swap(change)
                return await _reply(request, answers, operation, work, table.headers())

    async def _score(
        self, model: SavedModel, proto: Proto, operation: Operation, read: Callable[..., Awaitable[rows.Rows]]
    ) -> tuple[rows.Rows, Sequence[bytes]]:
        (await read(None)).check()  # before a model is loaded for it
        hosting = own_host(self.deployment.settings, model.path, model.kind, proto, _NONE)
        async with self.limits.host(), hosting as (host, description):
            options = _NONE.table(description.fields.get(operation.name))
            table = await read(options, description.reads.get(operation.name, ()))
            table.check()
            answers: list[bytes | Refusal] = []
            for at in range(0, len(table.values), _SCORED_AT_ONCE):
                values = table.values[at : at + _SCORED_AT_ONCE]
                answers += await host.score(values, [Ask(operation.name)] * len(values))
        faults = [
            {"row": number, "code": answer.code, "detail": f"row {number}: {answer.code}: {answer.message}"}
            for number, answer in zip(table.numbers, answers, strict=True)
            if isinstance(answer, Refusal)
        ]
        if faults:
            raise bad_rows(faults, len(faults))
        return table, [answer for answer in answers if not isinstance(answer, Refusal)]


async def _reply(
    request: Request,
    answers: Sequence[bytes],
    operation: Operation,
    work: Work,
    headers: Mapping[str, str] | None = None,
) -> Response:
    accept = bodies.accepted(request, Format.PROTOBUF)
    media_type = "application/octet-stream" if accept is Format.PROTOBUF else accept.value
    return Response(await documents.write(answers, accept, operation, work), 200, headers, media_type)


def _swaps(path: str, answer: Answer, summary: str, body: Content) -> Endpoint:
    replies = {200: DONE}
    says = Says(summary=summary, parameters=(KIND,), body=body, replies=replies, problems=(*PARTS, *COMMAND))
    return Endpoint("PUT", path, answer, says)


def _encodes(path: str, answer: Answer, text_format: Format, **more: Schema) -> Endpoint:
    by = "a proto of the call's own" if more else "the serving proto"
    says = Says(
        summary=f"Return the rows as one serialized input message, by {by}",
        parameters=(OPERATION,),
        body=form(_PARTS[text_format], *more, **{_PARTS[text_format]: STRING, "operation": STRING}, **more),
        replies={200: content(BINARY, OCTETS)},
        problems=(*PARTS, 404, 422, 429, 503),
    )
    return Endpoint("POST", path, answer, says)


def _scores(path: str, answer: Answer, text_format: Format, **own: Schema) -> Endpoint:
    """Return the endpoint that scores rows; by the call's `own` model and proto, if there are such parts."""
    parts = {_PARTS[text_format]: STRING, "operation": STRING, **own}
    says = Says(
        summary=f"Score each row by {'a model and a proto of the call' if own else 'what serves'}",
        parameters=(OPERATION, KIND, _ACTIVATE) if own else (OPERATION,),
        body=form(_PARTS[text_format], *(name for name in own if name != "kind"), **parts),
        replies={200: ANSWER},
        problems=(*PARTS, 404, 406, *ASK, *((409,) if own else ())),
    )
    return Endpoint("POST", path, answer, says)
