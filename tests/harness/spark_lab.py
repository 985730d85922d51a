"""Many Spark models in one Java, one by one: what a model host does, without its ten seconds of start for each."""

import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

TESTS = Path(__file__).parents[1]
MODELS = TESTS / "models" / "spark"
Row = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """The outcome for a model and its requests: answers as messages or (code, message), or why it was refused."""

    error: tuple[str, str] | None = None
    answers: list[Any] = field(default_factory=list)
    description: str = ""


class Lab:
    """A separate process with a Spark session; `close` ends it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.spark_lab", str(theirs.fileno())],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent / "worker", TESTS)))},
                pass_fds=[theirs.fileno()],
            )
        self._connection = ours
        self._file = ours.makefile("rwb")

    def score(self, model: Path, proto: bytes, requests: Sequence[Row], **configuration: Any) -> Told:
        """Load a saved model for a proto's only operation, and score JSON objects of its input message."""
        pickle.dump((model, proto, requests, configuration), self._file)
        self._file.flush()
        return Told(*pickle.load(self._file))

    def close(self) -> None:
        self._process.kill()  # Spark's threads take long to end
        self._process.wait()
        self._file.close()
        self._connection.close()


def read_rows(name: str, what: str) -> list[Row]:
    """Return the rows of a shipped model: its "input", or "pred", the result of Spark's own transform."""
    lines = (MODELS / f"{name}.{what}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def proto_of(rows: Sequence[Row], answers: Sequence[Row]) -> bytes:
    """Return a proto with an optional field for each column of such rows and answers."""
    messages = "".join(f"message {name} {{ {_fields(table)} }} " for name, table in (("In", rows), ("Out", answers)))
    return f'syntax = "proto3"; {messages} service S {{ rpc f(In) returns (Out); }}'.encode()


def _fields(rows: Sequence[Row]) -> str:
    kinds = {name: _kind(next(row[name] for row in rows if row[name] is not None)) for name in rows[0]}
    return " ".join(f"{kind} {name} = {number};" for number, (name, kind) in enumerate(kinds.items(), 1))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "repeated double"
    names = {bool: "bool", int: "int64", float: "double", str: "string"}
    return f"optional {names[type(value)]}"


# ---- in the process


def _serve(descriptor: int) -> NoReturn:
    from hotswap.host.child import _start_jvm  # noqa: PLC0415 - only where there is Spark
    from hotswap.host.jvm_spec import make_ground  # noqa: PLC0415

    _start_jvm(make_ground("spark", 512))
    file = socket.socket(fileno=descriptor).makefile("rwb")
    while True:
        pickle.dump(_score(*pickle.load(file)), file)
        file.flush()


def _score(
    model: Path, proto: bytes, requests: Sequence[Row], configuration: Mapping[str, Any]
) -> tuple[tuple[str, str] | None, list[Any], str]:
    from google.protobuf import json_format  # noqa: PLC0415

    from hotswap.batch import Refusal  # noqa: PLC0415
    from hotswap.codec.proto import compile as compile_proto  # noqa: PLC0415
    from hotswap.errors import SwapError  # noqa: PLC0415
    from hotswap.generation import Configuration  # noqa: PLC0415
    from hotswap.host.dispatcher import Dispatcher  # noqa: PLC0415
    from hotswap.runtimes.kinds import runtime_of  # noqa: PLC0415

    given, schema = Configuration(**configuration), compile_proto(proto)
    (operation,) = schema.operations.values()
    try:
        loaded = runtime_of("spark").load(Path(model), given)
        dispatcher = Dispatcher(model=loaded, schema=schema, configuration=given)
    except SwapError as error:
        return (error.code, error.message), [], ""
    values = [json_format.ParseDict(row, operation.input()).SerializeToString() for row in requests]
    answers: list[Any] = []
    for answer in dispatcher.score(values).answers:
        if isinstance(answer, Refusal):
            answers.append((str(answer.code), answer.message))
        else:
            answers.append(_plain(operation.output.FromString(answer)))
    return None, answers, loaded.description


def _plain(message: Any) -> Row:
    return {
        part.name: list(value) if part.is_repeated else value if message.HasField(part.name) else None
        for part in message.DESCRIPTOR.fields
        for value in [getattr(message, part.name)]
    }


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
