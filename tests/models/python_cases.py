"""What the tests' Python models are asked and answer: rows by a proto, the columns of a call, and its answers."""

import importlib
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

FOLDER: Final = Path(__file__).with_name("python")
ROWS: Final = 40
SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How protobuf's JSON writes these numbers."""
WHOLE: Final = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
}
ODD: Final[Mapping[str, Sequence[Any]]] = {
    "double": [0.0, -0.0, 1e308, -1e308, 5e-324, 1 / 3, *SPECIAL],
    "float": [0.0, -0.0, 3e38, -1.5, 0.1, *SPECIAL],
    "bool": [True, False],
    "string": [
        *("", " ", "NaN", "null", "None", "0", "Zu\u0308rich", "Zürich", "日本", "\U0001f984", "\u202eabc", "\ufeffx"),
        *("a\nb\r\n", "\0", '"', "'; DROP TABLE x; --", "\\", "ǅ ﬁ", "x" * 1000),
    ],
} | {kind: [0, *bounds] for kind, bounds in WHOLE.items()}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """A field of a message: `label` is "", "optional" or "repeated"."""

    label: str
    kind: str


@dataclass(frozen=True)
class Proto:
    """A proto of the tests: `operations` has each rpc's messages in and out."""

    messages: Mapping[str, Mapping[str, Field]]
    operations: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, path: Path) -> "Proto":
        """Return what a proto says that has neither nested messages nor packages of others."""
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        messages = {
            name: {
                field: Field(label or "", kind)
                for label, kind, field in re.findall(r"(optional|repeated)?\s*(\w+)\s+(\w+)\s*=\s*\d+;", body)
            }
            for name, body in re.findall(r"message\s+(\w+)\s*{([^}]*)}", text)
        }
        rpcs = re.findall(r"rpc\s+(\w+)\s*\((\w+)\)\s*returns\s*\((\w+)\)", text)
        return cls(messages, {name: (asked, answered) for name, asked, answered in rpcs})

    def rows_field(self, message: str) -> tuple[str, str] | None:
        """Return the field and the message of the rows, if a message is a list of them."""
        (first, *others) = self.messages[message].items()
        is_rows = not others and first[1].kind in self.messages
        return (first[0], first[1].kind) if is_rows else None


def rows_of(
    proto: Proto, ordinary: Mapping[str, Callable[[Random], Any]], random: Random, odd: Mapping[str, Any] = ODD
) -> list[dict[str, Any]]:
    """Return requests: ordinary values, odd ones, and none where a field is optional."""
    asked, _ = next(iter(proto.operations.values()))
    rows = proto.rows_field(asked)
    if rows is None:
        return list(islice(_rows(proto.messages[asked], ordinary, random, odd), ROWS))
    endless = _rows(proto.messages[rows[1]], ordinary, random, odd)
    return [
        {rows[0]: list(islice(endless, count))} for count in (0, 1, *(random.randrange(6) for _ in range(ROWS - 2)))
    ]


def _rows(
    fields: Mapping[str, Field], ordinary: Mapping[str, Any], random: Random, odd: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    def value_of(name: str) -> Any:
        return ordinary[name](random) if random.random() > 0.2 else random.choice(odd[fields[name].kind])

    while True:
        row = {}
        for name, field in fields.items():
            if field.label == "repeated" and isinstance(drawn := ordinary[name](random), list):
                row[name] = drawn
            elif field.label == "repeated":
                usual = [0, 1, 3] if field.kind == "string" else [8, 8, 8, 8, 7, 9, 0, 1]
                row[name] = [value_of(name) for _ in range(random.choice(usual))]
            elif field.label != "optional" or random.random() > 0.15:
                row[name] = value_of(name)
        yield row


def answers_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return what the functions of a model's folder answer to its rows, by operation, as protobuf's JSON has it."""
    proto = Proto.read(FOLDER / name / "model.proto")
    rows = json.loads((FOLDER / name / "rows.json").read_text(encoding="utf-8"))
    artifact = FOLDER / name / "artifact"
    sys.path.insert(0, str(artifact))
    sys.dont_write_bytecode = True
    try:
        sys.modules.pop("model", None)
        module = importlib.import_module("model")
        model = module.load(artifact)
        return {
            rpc: call(proto, rpc, rows, lambda columns, named=named: getattr(module, named)(model, columns))
            for rpc in proto.operations
            for named in [_snake(rpc) if len(proto.operations) > 1 else "predict"]
        }
    finally:
        sys.path.remove(str(artifact))


def call(proto: Proto, rpc: str, requests: Any, function: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Return a function's answers to these requests, all of them in one call."""
    asked, answered = proto.operations[rpc]
    inputs, outputs = proto.rows_field(asked), proto.rows_field(answered)
    rows = requests if inputs is None else [row for request in requests for row in request[inputs[0]]]
    fields = proto.messages[asked if inputs is None else inputs[1]]
    answers = function({name: column_of(field, [row.get(name) for row in rows]) for name, field in fields.items()})
    declared = proto.messages[answered if outputs is None else outputs[1]]
    assert set(answers) == set(declared), (set(answers), set(declared))
    columns = [[_plain(value) for value in values] for values in answers.values()]
    assert {len(column) for column in columns} <= {len(rows)}
    answered_rows = iter([dict(zip(answers, row, strict=True)) for row in zip(*columns, strict=True)])
    if inputs is None or outputs is None:
        return list(answered_rows)
    return [{outputs[0]: list(islice(answered_rows, len(request[inputs[0]])))} for request in requests]


def column_of(field: Field, values: Sequence[Any]) -> Any:
    """Return the values of one field as a call has them; arrays where NumPy is installed."""
    values = [_number(field, value) for value in values]
    if field.label == "repeated" or field.kind == "string":
        return values
    is_float = field.kind in {"double", "float"} or field.label == "optional"
    if is_float:
        values = [math.nan if value is None else float(value) for value in values]
    try:
        import numpy as np  # noqa: PLC0415  an environment may be without
    except ImportError:
        return values
    return np.array(values, dtype=float if is_float else bool if field.kind == "bool" else np.int64)


def _number(field: Field, value: Any) -> Any:
    if isinstance(value, list):
        return [_number(field, one) for one in value]
    if field.kind in {"double", "float"} and value is not None:
        value = SPECIAL.get(value, value)
        return struct.unpack("f", struct.pack("f", value))[0] if field.kind == "float" else value
    return value


def _plain(value: Any) -> Any:
    """Return an answer's value as JSON has it."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return next(text for text, number in SPECIAL.items() if repr(number) == repr(value))
    return value


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def difference(expected: Any, found: Any, tolerance: float, place: str = "") -> str | None:
    """Return where two answers first differ: floats by a relative tolerance, all else exactly, types included."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        pairs: Any = [(expected[name], found[name], f"{place}.{name}") for name in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(one, other, f"{place}[{row}]") for row, (one, other) in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, float) and isinstance(found, float):
        is_same = math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance * 1e-3)
        return None if is_same else f"{place}: {expected!r} is expected, {found!r} is answered"
    else:
        is_same = type(expected) is type(found) and expected == found
        return None if is_same else f"{place}: {expected!r} is expected, {found!r} is answered"
    return next((text for pair in pairs if (text := difference(*pair[:2], tolerance, pair[2]))), None)
