"""An edited proto: its errors by line, and its difference from the serving one."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hotswap.client import protos
from hotswap.codec.proto import Schema
from hotswap.codec.versions import next_step
from hotswap.errors import SwapError
from hotswap.gateway.deployment import Deployment

EMPTY = """syntax = "proto3";

service Model {
  rpc predict(Row) returns (Prediction);
}

message Row {
}

message Prediction {
}
"""
"""The initial proto without a draft or a serving one."""

_PLACE = re.compile(r"model\.proto:(\d+):")
_CONTEXT = 2


class Checked(NamedTuple):
    """A proto that was compiled: its schema, or the errors, and those of each line (from 1)."""

    schema: Schema | None
    errors: Sequence[str]
    lines: Mapping[int, str]


class Difference(NamedTuple):
    """The difference from the serving proto: lines, each with its tone (`add`, `drop`, `place` or none), and the step.

    `step` is that of the version (major, minor, patch), `reasons` why; an empty step: nothing serves.
    """

    lines: Sequence[tuple[str, str]]
    step: str
    reasons: Sequence[str]


async def check(text: str) -> Checked:
    """Compile a proto."""
    try:
        return Checked(await protos.compile(text.encode()), (), {})
    except SwapError as error:
        errors = error.message.splitlines()
        places = [(int(match[1]), line) for line in errors if (match := _PLACE.match(line))]
        return Checked(None, errors, dict(reversed(places)))


def serving_text(deployment: Deployment) -> str:
    """Return the text of the serving proto; empty: nothing serves, or it is a compiled descriptor set."""
    return (deployment.served.proto_text or "") if deployment.is_serving else ""


def difference(deployment: Deployment, text: str, schema: Schema) -> Difference:
    """Compare a proto with the serving one."""
    if not deployment.is_serving:
        return Difference((), "", ())
    before = serving_text(deployment)
    diff = difflib.unified_diff(before.splitlines(), text.splitlines(), lineterm="", n=_CONTEXT)
    tones = {"+": "add", "-": "drop", "@": "place"}
    lines = [(tones.get(line[:1], ""), line) for line in list(diff)[2:]]
    step, reasons = next_step(deployment.served.schema, schema)
    return Difference(lines, step, reasons)
