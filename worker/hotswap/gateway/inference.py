"""The Open Inference Protocol (KServe's v2), which the clients of Triton, KServe and Seldon speak, for flat protos.

A deployment is a model, and the generation that serves is its version. Errors have the protocol's form, `{"error": …}`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from itertools import groupby
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hotswap import __version__
from hotswap.client.answers import Prediction, Refused
from hotswap.client.serving import Served
from hotswap.codec.proto import Operation
from hotswap.gateway import bodies, tensor_bodies
from hotswap.gateway.answered import Answered, places_of, refusal_of
from hotswap.gateway.deployment import Deployment, deployment_of
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.openapi import (
    BINARY,
    BOOLEAN,
    COMMAND,
    ERROR,
    INTEGER,
    OBJECT,
    OCTETS,
    OPERATION,
    PARTS,
    PREDICTION_ID,
    STRING,
    Endpoint,
    Says,
    Schema,
    a_list,
    an_object,
    content,
    parameter,
)
from hotswap.gateway.problems import Problem
from hotswap.gateway.tensor_bodies import Body, InferenceRequest
from hotswap.gateway.tensors import Tensors
from hotswap.gateway.work import cost_of

_PATHS = ("/v2/models/{deployment}", "/v2/models/{deployment}/versions/{version}")
_TENSOR: dict[str, Any] = {"name": STRING, "datatype": STRING, "shape": a_list(INTEGER)}
_GIVEN = an_object(required=list(_TENSOR), **_TENSOR, parameters=OBJECT, data=a_list({}))
_ASKED = an_object(required=["name"], name=STRING, parameters=OBJECT)
_SERVER = an_object(name=STRING, version=STRING, extensions=a_list(STRING))
_STATE = content(an_object(required=[], name=STRING, live=BOOLEAN, ready=BOOLEAN, error=STRING))
_METADATA = an_object(
    name=STRING,
    versions=a_list(STRING),
    platform=STRING,
    inputs=a_list(an_object(**_TENSOR)),
    outputs=a_list(an_object(**_TENSOR)),
)
_REQUEST = an_object(required=["inputs"], id=STRING, parameters=OBJECT, inputs=a_list(_GIVEN), outputs=a_list(_ASKED))
_RESPONSE = an_object(
    required=["model_name", "model_version", "outputs"],
    id=STRING,
    model_name=STRING,
    model_version=STRING,
    parameters=an_object(
        sources={
            **STRING,
            "description": "Where the request of each row is, in their order, separated by commas; a-0-5..7 are three.",
            "example": "iris.requests-0-5..7,iris.requests-0-9",
        },
        prediction_ids={
            **STRING,
            "description": "The ids of the answers, in the same form: the call's token instead of the topic.",
            "example": f"{PREDICTION_ID}..9",
        },
    ),
    outputs=a_list(_GIVEN),
)
_EXAMPLE = {
    "id": "r1",
    "inputs": [
        {"name": name, "datatype": "FP64", "shape": [2], "data": data}
        for name, data in (("sepal_length", [5.1, 6.7]), ("petal_length", [1.4, 5.6]))
    ],
    "outputs": [{"name": "species"}],
}
_LENGTH = parameter(
    "Inference-Header-Content-Length",
    "The length of the JSON, where binary values follow it.",
    {**INTEGER, "minimum": 0},
    "header",
)
_INFER = Says(
    summary="Score each row of the input tensors with the serving generation",
    parameters=(OPERATION, _LENGTH),
    body={**content(_REQUEST, example=_EXAMPLE), OCTETS: {"schema": BINARY}},
    replies={200: {**content(_RESPONSE), OCTETS: {"schema": BINARY}}},
    problems=(*PARTS, 404, 429, 501, *COMMAND),
    error=ERROR,
)


class _Model(NamedTuple):
    """The input and output tensors of an operation."""

    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True, slots=True)
class Inference:
    """The endpoints of all deployments of a gateway."""

    deployments: Mapping[str, Deployment]
    limits: GatewayLimits

    def routes(self) -> list[Route]:
        """Return the routes, with their OpenAPI descriptions."""
        routes: list[Route] = [
            Endpoint("GET", "/v2", self.server, Says(summary="What this server is", replies={200: content(_SERVER)})),
            Endpoint("GET", "/v2/health/live", self.live, _state("Whether the gateway runs")),
            Endpoint("GET", "/v2/health/ready", self.ready, _state("Whether each deployment serves", 503)),
        ]
        tensors = Says(
            summary="The tensors of an operation",
            parameters=(OPERATION,),
            replies={200: content(_METADATA)},
            problems=(404, 501, 503),
            error=ERROR,
        )
        is_ready = _state(
            "Whether a deployment serves, by a proto that has tensors", 404, 501, 503, parameters=(OPERATION,)
        )
        for path in _PATHS:
            routes.append(Endpoint("GET", path, self.metadata, tensors))
            routes.append(Endpoint("GET", f"{path}/ready", self.model_ready, is_ready))
            routes.append(Endpoint("POST", f"{path}/infer", self.limits.fair(self.infer), _INFER))
        return routes

    async def server(self, _: Request) -> Response:
        """Reply with the server's name, version and extensions."""
        return JSONResponse({"name": "hotswap", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(self, _: Request) -> Response:
        """Reply that the gateway runs."""
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        """Reply whether each deployment has a generation that serves."""
        is_ready = all(deployment.is_serving for deployment in self.deployments.values())
        return JSONResponse({"ready": is_ready}, 200 if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def model_ready(self, request: Request) -> Response:
        """Reply whether a deployment serves this version, by a proto that has tensors; if not, why."""
        name = request.path_params["deployment"]
        try:
            self._model(request)
        except Problem as problem:
            return problem.error(name=name, ready=False)
        return JSONResponse({"name": name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """Reply with the tensors of an operation."""
        served, model = self._model(request)
        assert served.generation
        return JSONResponse(
            {
                "name": request.path_params["deployment"],
                "versions": [_version(served)],
                "platform": f"hotswap_{served.generation.model.kind}",
                "inputs": model.inputs.metadata(),
                "outputs": model.outputs.metadata(),
            }
        )

    def _model(self, request: Request) -> tuple[Served, _Model]:
        deployment = deployment_of(request, self.deployments)
        served = deployment.served
        _check_version(request, served)
        return served, _model_of(deployment.operation(request.query_params.get("operation")))

    async def infer(self, request: Request) -> Response:
        """Score the rows of the input tensors with the serving generation, each as its own request."""
        deployment, operation = deployment_of(request, self.deployments), request.query_params.get("operation")
        body, work = await _read(request, self.limits.body_bytes), self.limits.work(request)
        headers: list[tuple[str, bytes]] = []

        async def encode(served: Served, target: Operation) -> InferenceRequest:
            _check_version(request, served)
            _model_of(target)  # raises Problem, if it has none
            columns = served.table(target).columns
            inputs = await work.do(body.cost, tensor_bodies.read, body, target.input, target.output, columns)
            headers[:] = [("request-id", inputs.id.encode())] if inputs.id else []
            return inputs

        inference, target, answered = await deployment.ask_encoded(operation, encode, headers, work=work)
        predictions = _predictions(answered)
        version = str(max(prediction.generation for prediction in predictions))
        wanted = request.path_params.get("version")
        if wanted and any(str(one.generation) != wanted for one in predictions):
            detail = f"generation {version} came to serve meanwhile, and has answered"
            raise Problem(HTTPStatus.CONFLICT, detail, **places_of(answered))
        sources = _sources(answered)
        parameters = {"sources": sources, "prediction_ids": _ids(sources, answered)}
        facts = {"model_name": deployment.name, "model_version": version, "parameters": parameters}
        values = [prediction.value for prediction in predictions]
        cost = cost_of(sum(map(len, values)), len(values))
        header, binary = await work.do(
            cost, tensor_bodies.write, inference._replace(values=()), facts, values, target.output
        )
        return _reply(header, binary)


def _state(summary: str, *bad: int, parameters: Sequence[Schema] = ()) -> Says:
    return Says(summary=summary, parameters=parameters, replies=dict.fromkeys((200, *bad), _STATE))


def _version(served: Served) -> str:
    assert served.generation
    return str(served.generation.number)


def _check_version(request: Request, served: Served) -> None:
    wanted = request.path_params.get("version")
    if wanted not in (None, _version(served)):
        detail = f"version {wanted!r} does not serve: generation {_version(served)} does"
        raise Problem(HTTPStatus.NOT_FOUND, detail)


@lru_cache(maxsize=64)
def _model_of(operation: Operation) -> _Model:
    return _Model(Tensors(operation.input), Tensors(operation.output))


async def _read(request: Request, most: int) -> Body:
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body is {encoding}: send it without an encoding")
    body = await bodies.body(request, most)
    size = request.headers.get("inference-header-content-length")
    length = len(body) if size is None else bodies.whole(size, len(body))
    if length is None:
        detail = (
            f"Inference-Header-Content-Length is the length of the JSON in a body of {len(body)} bytes, not {size!r}"
        )
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    return Body(body[:length], body[length:])


def _predictions(answered: Sequence[Answered]) -> list[Prediction]:
    """Return the predictions of all rows. Raises Problem: a row is refused (422; 413, it is too large)."""
    for row, one in enumerate(answered, 1):
        if isinstance(one.answer, Refused):
            problem = refusal_of(one.answer, prediction_id=one.prediction_id)
            raise Problem(problem.status, f"row {row}: {problem}", **problem.facts)
    return [one.prediction for one in answered]


def _sources(answered: Sequence[Answered]) -> str:
    """Return where the requests are, in order: a parameter is no list, and runs are shorter than each by itself."""
    runs = groupby(enumerate(one.place for one in answered), lambda at: (*at[1][:2], at[1].offset - at[0]))
    sources: list[str] = []
    for _, run in runs:
        places = [place for _, place in run]
        sources.append(str(places[0]) if len(places) == 1 else f"{places[0]}..{places[-1].offset}")
    return ",".join(sources)


def _ids(sources: str, answered: Sequence[Answered]) -> str:
    """Return the ids of the answers, as `_sources` has the places: the token stands for the topic."""
    if not answered:
        return ""
    place, token = answered[0].place, answered[0].token
    return ",".join(f"{token}{run.removeprefix(place.topic)}" for run in sources.split(","))


def _reply(header: bytes, binary: bytes) -> Response:
    if not binary:
        return Response(header, media_type="application/json")
    facts = {"Inference-Header-Content-Length": str(len(header))}
    return Response(header + binary, 200, facts, "application/octet-stream")
