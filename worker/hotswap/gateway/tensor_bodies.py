"""The bodies of the Open Inference Protocol: a request and its response."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

from google.protobuf.message import Message

from hotswap.codec.text.cells import is_utf8
from hotswap.codec.text.names import Columns
from hotswap.gateway.problems import Problem
from hotswap.gateway.tensors import Tensors
from hotswap.gateway.work import ROWS, cost_of

_VALUE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Body:
    """The body of an inference request: its JSON, and the binary values after that."""

    text: bytes
    binary: bytes

    @property
    def cost(self) -> int:
        """The cost of reading it."""
        return cost_of(len(self.text) + len(self.binary), self.text.count(b",") + len(self.binary) // _VALUE_BYTES)


class InferenceRequest(NamedTuple):
    """An inference request: its id, its rows, and the outputs, mapped to True for binary values."""

    id: str | None
    values: Sequence[bytes]
    outputs: Mapping[str, bool]


@lru_cache(maxsize=64)
def _tensors(message: type[Message]) -> Tensors:
    return Tensors(message)


def read(body: Body, input_type: type[Message], output_type: type[Message], columns: Columns) -> InferenceRequest:
    """Parse a request, with inputs named as in the proto or the model. Raises Problem: 400, it is invalid."""
    try:
        document = json.loads(body.text)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    name = document.get("id")
    if name is not None and (not isinstance(name, str) or not is_utf8(name)):
        raise Problem(HTTPStatus.BAD_REQUEST, "`id` must be a string")
    outputs = _outputs(document, _tensors(output_type))  # type: ignore[arg-type] # a class can be hashed
    values = _tensors(input_type).read(_objects(document, "inputs"), body.binary, columns)  # type: ignore[arg-type] # as above
    if len(values) > ROWS:
        detail = f"a call may have at most {ROWS:,} rows: send the others in calls of their own"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, limit=ROWS)
    return InferenceRequest(name, values, outputs)


def _outputs(document: Mapping[str, Any], known: Tensors) -> dict[str, bool]:
    """Return the outputs that are asked for, and whether as binary values. Raises Problem: 400, there is none."""
    is_binary = _parameters(document).get("binary_data_output") is True
    outputs = {
        str(one.get("name")): bool(_parameters(one).get("binary_data", is_binary))
        for one in _objects(document, "outputs")
    }
    known.check(list(outputs))
    return outputs or dict.fromkeys([one["name"] for one in known.metadata()], is_binary)


def write(
    request: InferenceRequest, facts: Mapping[str, Any], values: Sequence[bytes], message: type[Message]
) -> tuple[bytes, bytes]:
    """Return the JSON of a response, and the binary values after it."""
    tensors, binary = _tensors(message).write(values, request.outputs)  # type: ignore[arg-type] # a class can be hashed
    document = {**facts, "outputs": tensors} | ({} if request.id is None else {"id": request.id})
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), binary


def _objects(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    tensors = document.get(name, [])
    if not isinstance(tensors, list) or not all(isinstance(one, dict) for one in tensors):
        raise Problem(HTTPStatus.BAD_REQUEST, f"`{name}` is a list of tensors, each an object")
    return tensors


def _parameters(document: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = document.get("parameters")
    return parameters if isinstance(parameters, dict) else {}
