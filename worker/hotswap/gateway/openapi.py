"""The OpenAPI document of a gateway, from the descriptions of its routes."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hotswap import __version__
from hotswap.batch import Format
from hotswap.gateway.access import role_of

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]
Schema: TypeAlias = Mapping[str, Any]
Content: TypeAlias = Mapping[str, Schema]
"""Media type -> what the OpenAPI document says of it: its schema, and an example."""

OCTETS = "application/octet-stream"
FORM = "multipart/form-data"
_PROBLEMS = "application/problem+json"

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
BINARY: Schema = {"type": "string", "format": "binary"}
PREDICTION_ID = "0f8b5c1d2e3a49576c8d9e0fa1b2c3d4-0-7"
"""An example of the id of an answer."""
PROBLEM: Schema = {"$ref": "#/components/schemas/Problem"}

BODY = (400, 408, 413)
"""What a call with a body may have wrong."""
PARTS = (*BODY, 415)
ASK = (422, 429, 503, 504)
"""What may become of requests: refused, not accepted, not answered in time."""
COMMAND = (409, 422, 503, 504)

_DESCRIPTIONS = {
    200: "Done.",
    400: "The call is wrong: something is missing, empty or malformed.",
    401: "Unauthenticated: where the gateway has tokens, send `Authorization: Bearer TOKEN`.",
    403: "Not allowed: the caller lacks the role, came by way of another site or host, or brings code of its own.",
    404: "There is no such deployment, operation, generation or answer.",
    406: "The answer cannot be had in a format that is accepted.",
    408: "The body came too slowly.",
    409: "Another command came first; a worker cannot load this kind of model; or another generation has answered.",
    410: "The answer has been removed by retention.",
    413: "The body, a request or its answer is too large.",
    415: "The body has another format than those that are read.",
    422: "Rows, a model or a proto are refused, each with the reason; or a swap failed.",
    429: "Too many calls of this caller are in hand, or of all that score by models of their own: see `Retry-After`.",
    501: "The proto is not flat, and so has no tensors.",
    503: "Nothing serves, too many requests wait, or Kafka cannot be reached: try again after `Retry-After` seconds.",
    504: "No answer in time; each can be fetched later by its id of `prediction_ids`.",
}
_PATHS: Mapping[str, tuple[str, Schema]] = {
    "deployment": ("A deployment of this gateway.", STRING),
    "operation": ("An rpc of the serving proto.", {**STRING, "example": "Classify"}),
    "version": ("The generation that serves.", {**STRING, "example": "3"}),
    "partition": ("Of the requests topic.", {**INTEGER, "minimum": 0, "maximum": (1 << 31) - 1, "example": 0}),
    "prediction_id": (
        "Of the answer, as the reply to the request had it.",
        {**STRING, "pattern": "^[0-9a-f]{32}-[0-9]{1,10}-[0-9]{1,19}$", "example": PREDICTION_ID},
    ),
    "offset": ("Of the request.", {**INTEGER, "minimum": 0, "maximum": (1 << 63) - 1, "example": 7}),
}
_TAGS = {
    "v1": "Plain API",
    "v2": "Open Inference Protocol",
    **dict.fromkeys(("livez", "readyz", "metrics", "openapi.json"), "Operations"),
}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Where the gateway has `--tokens`; with the role that is listed.",
}
_SCHEMAS: Mapping[str, Schema] = {
    "Problem": {
        "description": "What was wrong, where, and what to do (RFC 9457); with further members that are named there.",
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {
            "title": STRING,
            "status": INTEGER,
            "detail": STRING,
            "code": {"type": "string", "description": "See docs/codes.md."},
            "rows": {"type": "array", "items": OBJECT, "description": "The first hundred rows that are refused."},
            "sources": {"type": "array", "items": STRING},
            "prediction_ids": {
                "type": "array",
                "items": STRING,
                "description": "Of each of the sources: the id by which its answer can be fetched later.",
            },
        },
        "example": {"title": "Not Found", "status": 404, "detail": "this gateway has no deployment 'x': it has iris"},
    },
    "Error": {
        "description": "An error, as the Open Inference Protocol has it.",
        "type": "object",
        "required": ["error"],
        "properties": {"error": STRING},
        "example": {"error": "input sepal_length is FP64, not 'FP32'"},
    },
    "Done": {
        "description": "A command that the fleet has carried out.",
        "type": "object",
        "required": ["status", "generation", "workers"],
        "properties": {
            "status": {"const": "ok"},
            "generation": {**INTEGER, "description": "The generation that it has made; 0: none."},
            "workers": {"type": "array", "items": STRING},
        },
        "example": {"status": "ok", "generation": 2, "workers": ["w1"]},
    },
}


def content(schema: Schema, media_type: str = Format.JSON, example: Any = None) -> dict[str, Any]:
    """Return the content of a body of this type."""
    return {media_type: {"schema": schema} if example is None else {"schema": schema, "example": example}}


def a_list(of: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


def an_object(*, required: Sequence[str] | None = None, **properties: Schema) -> Schema:
    """Return the schema of an object; each member is required by default."""
    return {"type": "object", "required": list(properties if required is None else required), "properties": properties}


def form(*required: str, **parts: Schema) -> Content:
    """Return the content of a form with these parts."""
    return content(an_object(required=required, **parts), FORM)


def parameter(name: str, description: str, schema: Schema = STRING, place: str = "query") -> Schema:
    """Return the description of a parameter."""
    return {"name": name, "in": place, "description": description, "schema": schema}


ERROR: Content = content({"$ref": "#/components/schemas/Error"})
DONE: Content = content({"$ref": "#/components/schemas/Done"})
OPERATION = parameter("operation", "An rpc of the proto; needed where it has several.")
KIND = parameter("kind", "The kind of the model, where its file does not tell.", {**STRING, "example": "spark-jar"})
ANSWER: Content = {**content(BINARY, OCTETS), **content(STRING, Format.CSV), **content({}, Format.JSON)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """The OpenAPI description of an endpoint, without its path's parameters."""

    summary: str
    parameters: Sequence[Schema] = ()
    body: Content | None = None
    is_body_optional: bool = False
    replies: Mapping[int, Content] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of a good reply, with what each says."""
    problems: Sequence[int] = ()
    error: Content = field(default_factory=lambda: content(PROBLEM, _PROBLEMS))


class Endpoint(Route):
    """A route with its OpenAPI description."""

    def __init__(self, method: str, path: str, answer: Answer, says: Says) -> None:
        super().__init__(path, answer, methods=[method])
        self.method = method
        self.says = says

    def operation(self, deployments: Sequence[str]) -> dict[str, Any]:
        """Return its entry in the document of a gateway of these deployments."""
        says = self.says
        entry: dict[str, Any] = {"summary": says.summary, "operationId": self._id(), "tags": [self._tag()]}
        path = [self._parameter(name, deployments) for name in sorted(self.param_convertors)]
        if path or says.parameters:
            entry["parameters"] = [*path, *says.parameters]
        if says.body:
            entry["requestBody"] = {"required": not says.is_body_optional, "content": says.body}
        headers = {name: {"description": text, "schema": STRING} for name, text in says.headers.items()}
        bad = dict.fromkeys(says.problems, says.error) | {403: content(PROBLEM, _PROBLEMS)}
        if role := role_of(self.method, self.path_format):
            bad[401] = ERROR if self.path_format.startswith("/v2") else content(PROBLEM, _PROBLEMS)
            bad[403] = {**bad[403], **bad[401]}
            entry["security"] = [{}, {"token": [role.value]}]
        entry["responses"] = {
            str(status): {"description": _DESCRIPTIONS[status], "content": body}
            | ({"headers": headers} if headers and status == HTTPStatus.OK else {})
            for status, body in sorted({**bad, **says.replies}.items())
        }
        return entry

    def _parameter(self, name: str, deployments: Sequence[str]) -> Schema:
        description, schema = _PATHS[name]
        known = {**schema, "enum": list(deployments)} if name == "deployment" else schema
        return {**parameter(name, description, known, "path"), "required": True}

    def _id(self) -> str:
        words = [part.strip("{}") for part in self.path_format.split("/") if part]
        return "_".join([self.method.lower(), *words]).replace("-", "_").replace(".", "_")

    def _tag(self) -> str:
        first = self.path_format.split("/")[1]
        return _TAGS.get(first, "Acumos")


def document(routes: Iterable[object], deployments: Sequence[str]) -> dict[str, Any]:
    """Return the document of these routes of a gateway of these deployments."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, Endpoint):
            paths.setdefault(route.path_format, {})[route.method.lower()] = route.operation(deployments)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hotswap",
            "version": __version__,
            "summary": "Deployments of models on Kafka, over HTTP.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"token": _TOKEN}},
    }


def described(routes: Sequence[Route], deployments: Sequence[str]) -> list[Route]:
    """Return routes, and the one that replies with the document of all of them."""
    whole: list[Route] = list(routes)

    async def show(_: Request) -> Response:
        """Reply with this document."""
        return JSONResponse(document(whole, deployments))

    says = Says(summary="This document", replies={HTTPStatus.OK: content(OBJECT)})
    whole.append(Endpoint("GET", "/openapi.json", show, says))
    return whole
