"""Hosts of the test jars: their protos, and helpers to load and call them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from google.protobuf.message import Message

from harness.lab import Lab, LabHost
from hotswap.batch import Ask, Format, Refusal
from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError
from hotswap.generation import Configuration, frozen
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost

IRIS = """
message Row { double sepal_len = 1; double petal_len = 2; optional string note = 3; }
message Rows { repeated Row rows = 1; }
message Labels { repeated string prediction = 1; }
message Scored { string label = 1; float score = 2; }
message Table { repeated Scored rows = 1; }
"""


NUMBERS = """
message Row { double a = 1; double b = 2; }
message Whole { int32 a = 1; int32 b = 2; }
message Maybe { optional double a = 1; optional int64 b = 2; }
message Texts { string word = 1; bool flag = 2; string letter = 3; }
message Rows { repeated Row rows = 1; }
message Columns { repeated double a = 1; repeated double b = 2; }
message Vector { repeated double x = 1; }
message What { string what = 1; }
message Number { double d = 1; }
message Long { int64 n = 1; }
message Small { int32 n = 1; }
message Text { string s = 1; }
message Numbers { repeated double d = 1; }
message Pair { string label = 1; double v = 2; }
message Two { double x = 1; double y = 2; }
message Columnar { repeated string label = 1; repeated double v = 2; }
message Scored { double b = 1; string label = 2; float score = 3; }
message Table { repeated Scored rows = 1; }
"""


CREDIT = """
message Point { double x = 1; int32 y = 2; }
message Address { string city = 1; Point point = 2; }
enum Rating { RATING_UNSPECIFIED = 0; RATING_GOOD = 1; RATING_VERY_BAD = 2; }
message Customer {
  string name = 1; optional int32 age = 2; optional int32 children = 3; repeated double incomes = 4;
  repeated Address addresses = 5; Rating rating = 6; map<string, double> scores = 7; bytes photo = 8; bool vip = 9;
}
message Customers { repeated Customer rows = 1; }
message Decision {
  string text = 1; bool granted = 2; optional Rating rating = 3; repeated double terms = 4; repeated Point points = 5;
  map<string, int64> counts = 6; bytes token = 7; optional int32 nothing = 8;
}
message Decisions { repeated Decision rows = 1; }
"""


HOSTILE = "message What { string what = 1; } message Said { string said = 1; }"
ANN = {
    "name": "Ann",
    "age": 30,
    "incomes": [1, 2.5],
    "addresses": [{"city": "Ulm", "point": {"x": 1, "y": 2}}],
    "rating": "RATING_VERY_BAD",
    "scores": {"b": 2, "a": 1},
    "photo": b"\0\1",
    "vip": True,
}


ROW, ROWS, COLUMNS = {"a": 1, "b": 2}, {"rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, {"a": [1, 3], "b": [2, 4]}
FLOWERS = {"rows": [{"petal_len": 3}, {"sepal_len": 9, "petal_len": 5}]}


class Served:
    """A jar in a host; `ask` returns the answer to one request, as a message or a refusal."""

    def __init__(self, host: ModelHost | LabHost, operations: Mapping[str, Operation]) -> None:
        self.host = host
        self.operations = operations

    async def ask(
        self, operation: str, asked: bytes | Mapping[str, object], content: Format = Format.PROTOBUF
    ) -> Message | Refusal:
        rpc = self.operations[operation]
        value = asked if isinstance(asked, bytes) else rpc.input(**asked).SerializeToString()
        (answer,) = await self.host.score([value], [Ask(operation, content)])
        return answer if isinstance(answer, Refusal) else rpc.output.FromString(answer)


def load(
    path: Path,
    messages: str,
    rpcs: Mapping[str, str],
    runtime: Mapping[str, str] | None = None,
    samples: tuple[bytes, ...] = (),
    **configuration: Any,
) -> Load:
    """`rpcs`: operation -> "Input Output"."""
    service = " ".join("rpc {} ({}) returns ({});".format(name, *kinds.split()) for name, kinds in rpcs.items())
    return Load(
        generation=1,
        kind="java",
        model=path,
        proto=f'syntax = "proto3"; {messages} service S {{ {service} }}'.encode(),
        is_descriptor_set=False,
        configuration=Configuration(runtime=frozen(runtime), **configuration),
        samples=samples,
        heap_mb=128,
    )


@asynccontextmanager
async def hosting(given: Load, restarts: list[str] | None = None, deadline_s: float = 30.0) -> AsyncIterator[Served]:
    """Serve a jar in a process of its own."""
    host = ModelHost(
        load=given,
        deadline_s=deadline_s,
        on_restart=pytest.fail if restarts is None else restarts.append,
        on_unknown=_fail,
    )
    await host.start()
    try:
        yield Served(host, compile_proto(given.proto).operations)
    finally:
        await host.stop()


@asynccontextmanager
async def serving(lab: Lab, given: Load) -> AsyncIterator[Served]:
    """Serve a jar in a lab."""
    async with lab.serving(given, _fail) as host:
        yield Served(host, compile_proto(given.proto).operations)


async def refusal_of(lab: Lab, given: Load) -> SwapError:
    """Return why a jar is refused."""
    with pytest.raises(SwapError) as refused:
        async with serving(lab, given):
            pass
    return refused.value


def _fail(column: str, _: int) -> NoReturn:
    pytest.fail(column)
