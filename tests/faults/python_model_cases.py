"""The models of tests/models/python: each as a worker takes it, what it is asked, and what it has to answer."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from faults.every_model import column_type
from hotswap.artifacts.detect import find_kind
from hotswap.codec.outputs import FLOATS
from hotswap.codec.proto import Operation, Schema
from hotswap.codec.proto import compile as compile_proto
from models.python_answers import plain
from models.python_cases import FOLDER, SPECIAL, Proto, difference

TORCH = "torch"
"""The model whose environment is left out unless it is asked for: its packages take 1.7 GB, and Python 3.10."""
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / "artifact").is_dir())
_TOLERANCES = dict.fromkeys((TORCH, "mlflow_onnx"), 1e-5)
"""Of numbers of 32 bits, whose last ones depend on the batch; of others it is 1e-9."""


@dataclass(frozen=True)
class PythonCase:
    """A model, rows for it as protobuf's JSON has them, and the answers of a direct call, by operation."""

    name: str
    folder: Path
    proto: bytes
    schema: Schema
    rows: Sequence[Mapping[str, Any]]
    expected: Mapping[str, Sequence[Any]]

    @classmethod
    def prepared(cls, name: str, folder: Path) -> Self:
        """Return a model whose copy in a new folder has the lock that lies beside it, if there is one."""
        source = FOLDER / name
        shutil.copytree(source / "artifact", folder)
        if (lock := source / "requirements.lock").exists():
            shutil.copy(lock, folder)
        proto = (source / "model.proto").read_bytes()
        rows, expected = (json.loads((source / f"{part}.json").read_text()) for part in ("rows", "expected"))
        return cls(name, folder, proto, compile_proto(proto), rows, expected)

    @property
    def kind(self) -> str:
        """The kind that is detected."""
        return find_kind(self.folder)

    @property
    def operations(self) -> Sequence[Operation]:
        """The operations of the proto."""
        return list(self.schema.operations.values())

    def as_table(self) -> Self:
        """Return the model with what its tables have: of a request that is a list of rows, each row of its own."""
        proto = Proto.read(FOLDER / self.name / "model.proto")
        asked, answered = next(iter(proto.operations.values()))
        given, told = proto.rows_field(asked), proto.rows_field(answered)
        if given is None or told is None:
            return self
        rows = [row for request in self.rows for row in request[given[0]]]
        expected = {
            name: [{told[0]: [one]} for answer in answers for one in answer[told[0]]]
            for name, answers in self.expected.items()
        }
        return replace(self, rows=rows, expected=expected)

    def head(self, count: int) -> Self:
        """Return the model with its first rows alone."""
        expected = {name: answers[:count] for name, answers in self.expected.items()}
        return replace(self, rows=self.rows[:count], expected=expected)

    def messages(self, operation: Operation) -> list[bytes]:
        """Return the requests as protobuf."""
        return [json_format.ParseDict(row, operation.input()).SerializeToString() for row in self.rows]

    def texts(self) -> list[bytes]:
        """Return the requests as JSON."""
        return [json.dumps(row).encode() for row in self.rows]

    def faults(self, operation: Operation, answers: Iterable[Any]) -> list[str]:
        """Return where answers (messages, serialized or as JSON has them, or reasons) are not the expected ones."""
        found = [_read(operation, answer) for answer in answers]
        where = difference(self.expected[operation.name], found, _TOLERANCES.get(self.name, 1e-9))
        if where is None and len(found) == len(self.rows):
            return []
        return [f"{operation.name}{where or f': {len(found)} answers to {len(self.rows)} requests'}"]

    def write_parquet(self, path: Path) -> None:
        """Write the rows of the table to a file, each with its number."""
        import pyarrow as pa  # noqa: PLC0415 - of the extra `lake`
        from pyarrow import parquet  # noqa: PLC0415 - the same

        message = self.operations[0].input.DESCRIPTOR
        lists = [field.message_type for field in message.fields if field.message_type]
        fields = (lists[0] if lists else message).fields
        schema = pa.schema([("number", pa.int64()), *((field.name, column_type(field)) for field in fields)])
        rows = [
            {"number": number, **{field.name: _cell(field, row.get(field.name)) for field in fields}}
            for number, row in enumerate(self.rows)
        ]
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _read(operation: Operation, answer: Any) -> Any:
    if isinstance(answer, bytes):
        return plain(operation.output.FromString(answer))
    return answer if isinstance(answer, str) else plain(json_format.ParseDict(answer, operation.output()))


def _cell(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, list):
        return [_cell(field, one) for one in value]
    is_number = field.cpp_type in FLOATS and value is not None
    return float(SPECIAL.get(value, value)) if is_number else value
