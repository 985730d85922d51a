"""Spark models in one Java, one by one, without a host's ten seconds of start for each; their rows and protos."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from fakes.both_ways import DECLINED
from harness.lab import TESTS, Lab
from hotswap.batch import Answer, Ask, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.local.jvm import find_java

MODELS = TESTS / "models" / "spark"
Row = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """The outcome for a model and its requests: answers as messages or (code, message), or why it was refused."""

    error: tuple[str, str] | None = None
    answers: list[Any] = field(default_factory=list)
    description: str = ""
    path: str = ""
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)


class SparkLab(Lab):
    """A lab of Spark models, whose requests and answers are JSON objects here; each is answered both ways."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "spark", main="fakes.both_ways")

    def answers(self, requests: Sequence[bytes], operation: str) -> tuple[list[Answer], int]:
        """Answer batches of several sizes by the last load; return how many requests the JVM declined, too."""
        answers: list[Answer] = []
        declined, sizes = 0, random.Random(0)
        while len(answers) < len(requests):
            batch = requests[len(answers) :][: sizes.choice((1, 2, 50, 197))]
            scored = self.score(batch, [Ask(operation)] * len(batch))
            answers += scored.answers
            declined += scored.unknown[DECLINED]
        return answers, declined

    def outcome(self, model: Path, proto: bytes, requests: Sequence[Row], **configuration: Any) -> Told:
        """Load a saved model for a proto's only operation, and score JSON objects of its input message."""
        (operation,) = compile_proto(proto).operations.values()
        try:
            described = self.load(load_of(model, proto, Configuration(**configuration)))
        except SwapError as error:
            return Told((error.code, error.message))
        values = [json_format.ParseDict(row, operation.input()).SerializeToString() for row in requests]
        answers = [
            (str(answer.code), answer.message)
            if isinstance(answer, Refusal)
            else _plain(operation.output.FromString(answer))
            for answer in self.score(values).answers
        ]
        name = operation.name
        return Told(None, answers, described.columns, described.paths[name], described.reads[name])


def load_of(model: Path, proto: bytes, configuration: Configuration) -> Load:
    """Return what a host needs to load a saved model."""
    return Load(
        generation=1,
        kind="spark",
        model=model,
        proto=proto,
        is_descriptor_set=False,
        configuration=configuration,
        samples=(),
        heap_mb=512,
    )


def read_rows(name: str, what: str) -> list[Row]:
    """Return the rows of a shipped model: its "input", or "pred", the result of Spark's own transform."""
    lines = (MODELS / f"{name}.{what}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def proto_of(rows: Sequence[Row], answers: Sequence[Row]) -> bytes:
    """Return a proto with an optional field for each column of such rows and answers."""
    messages = "".join(f"message {name} {{ {_fields(table)} }} " for name, table in (("In", rows), ("Out", answers)))
    return f'syntax = "proto3"; {messages} service S {{ rpc f(In) returns (Out); }}'.encode()


def assert_same(given: Sequence[Row], expected: Sequence[Row]) -> None:
    """Compare bit by bit; without the vector module that a cluster's Java has, Spark adds in another order."""
    if find_java().has_module("jdk.incubator.vector"):
        assert given == expected
        return
    assert [row.keys() for row in given] == [row.keys() for row in expected]
    for ours, theirs in zip(given, expected, strict=True):
        for name, value in ours.items():
            if isinstance(value, float | list):
                assert value == pytest.approx(theirs[name], rel=1e-12)
            else:
                assert value == theirs[name]


def _fields(rows: Sequence[Row]) -> str:
    kinds = {name: _kind([row[name] for row in rows if row[name] not in (None, [])]) for name in rows[0]}
    return " ".join(f"{kind} {name} = {number};" for number, (name, kind) in enumerate(kinds.items(), 1))


def _kind(values: Sequence[Any]) -> str:
    names = {bool: "bool", int: "int64", float: "double", str: "string"}
    value = values[0]
    return f"repeated {names[type(value[0])]}" if isinstance(value, list) else f"optional {names[type(value)]}"


def _plain(message: Any) -> Row:
    return {
        part.name: list(value) if part.is_repeated else value if message.HasField(part.name) else None
        for part in message.DESCRIPTOR.fields
        for value in [getattr(message, part.name)]
    }
