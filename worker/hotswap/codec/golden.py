"""Golden answers: rows with the answers that a generation must give them, as a document in JSON.

    {"format": 1, "operation": "predict", "tolerances": {"p_yes": 0.001}, "rows": [
    {"request": {"age": 41}, "answer": {"predict": "yes", "p_yes": 0.71}}
    ]}

A request is an input message and an answer an output message, both in proto3's JSON by the fields' names in the proto,
so that no other proto misreads them. Only the fields that an answer names are compared; null: it must be unset. Numbers
with a fraction may differ by 1e-6, absolutely or relatively, or by the absolute tolerance of their field, whose path
has no places in lists; all else must be equal, and NaN equals NaN.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from hotswap.codec import messages
from hotswap.codec.fields import descriptor_of, is_map
from hotswap.codec.proto import Operation
from hotswap.generation import MAX_GOLDEN_BYTES

FORMAT: Final = 1
MAX_GOLDEN_ROWS: Final = 5_000
DEFAULT_TOLERANCE: Final = 1e-6
"""Of numbers with a fraction, absolute or relative."""

_PARTS: Final = {"format", "operation", "tolerances", "rows"}
_SHOWN: Final = 100  # characters of a value


class GoldenDifference(NamedTuple):
    """A field whose value is not the expected one; `tolerance` None: it must be equal."""

    path: str
    expected: Any
    got: Any
    tolerance: float | None

    def __str__(self) -> str:
        """`p_yes[0]: expected 0.29, got 0.71 (tolerance 1e-06)`."""
        within = "" if self.tolerance is None else f" (tolerance {self.tolerance:g})"
        return f"{self.path}: expected {_shown(self.expected)}, got {_shown(self.got)}{within}"


class GoldenRow(NamedTuple):
    """A request and the answer that is expected to it, both as JSON documents."""

    request: Mapping[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenAnswers:
    """Rows of an operation (empty: the proto's first), and the tolerances of some fields of its answers."""

    rows: Sequence[GoldenRow]
    operation: str = ""
    tolerances: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def predicted(cls, operation: Operation, requests: Sequence[bytes], answers: Sequence[bytes]) -> Self:
        """Return the golden answers that have a model's own predictions; all are serialized messages."""
        rows = [
            GoldenRow(
                messages.to_document(operation.input.FromString(request)),
                document_of(operation.output.FromString(answer)),
            )
            for request, answer in zip(requests, answers, strict=True)
        ]
        return cls(rows=rows, operation=operation.name)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a document. Raises ValueError, with what is wrong."""
        if len(content) > MAX_GOLDEN_BYTES:
            raise ValueError(f"it has {len(content):,} bytes, and at most {MAX_GOLDEN_BYTES:,} are allowed")
        try:
            document = json.loads(content, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is not valid JSON ({error})") from error
        _check(document)
        rows = [GoldenRow(row["request"], row["answer"]) for row in document["rows"]]
        return cls(rows=rows, operation=document.get("operation", ""), tolerances=document.get("tolerances", {}))

    def dump(self) -> bytes:
        """Return the document: the same bytes for the same content, a line for each row. Raises ValueError."""
        if not 0 < len(self.rows) <= MAX_GOLDEN_ROWS:
            raise ValueError(f"it has {len(self.rows) or 'no'} rows: 1 to {MAX_GOLDEN_ROWS:,} are allowed")
        head = {"format": FORMAT, "operation": self.operation, "tolerances": dict(self.tolerances)}
        rows = ",\n".join(_json({"request": row.request, "answer": row.answer}) for row in self.rows)
        content = f'{_json(head)[:-1]}, "rows": [\n{rows}\n]}}\n'.encode()
        if len(content) > MAX_GOLDEN_BYTES:
            raise ValueError(f"it has {len(content):,} bytes, and at most {MAX_GOLDEN_BYTES:,} are allowed")
        return content

    def differences(self, row: GoldenRow, answer: Message) -> Iterator[GoldenDifference]:
        """Yield the fields of an answer to a row that are not as expected."""
        return _differences(row.answer, messages.to_document(answer, has_defaults=True), "", "", self.tolerances)


def document_of(message: Message) -> Any:
    """Return an answer as a document that names all its fields; null: it is unset."""
    return _with_nulls(messages.to_document(message, has_defaults=True), descriptor_of(type(message)))


def fields_in(answer: Any, field_path: str = "") -> Iterator[str]:
    """Yield the paths of an answer's values, without places in lists."""
    if isinstance(answer, Mapping):
        for name, value in answer.items():
            yield from fields_in(value, f"{field_path}.{name}" if field_path else name)
    elif isinstance(answer, list):
        for value in answer:
            yield from fields_in(value, field_path)
    else:
        yield field_path


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no JSON: write it as the text "{constant}"')


def _check(document: Any) -> None:
    """Check the form of a document. Raises ValueError."""
    if not isinstance(document, dict) or "rows" not in document:
        raise ValueError('it is not an object with "rows", each with a "request" and an "answer"')
    form = document.get("format")
    if form != FORMAT or isinstance(form, bool):
        raise ValueError(f"its format is {_shown(form)}, and only {FORMAT} is known here: upgrade what reads it")
    if unknown := sorted(set(document) - _PARTS):
        raise ValueError(f"it has {unknown[0]!r}, which format {FORMAT} does not have")
    operation, tolerances = document.get("operation", ""), document.get("tolerances", {})
    is_formed = isinstance(operation, str) and isinstance(tolerances, dict)
    if not is_formed:
        raise ValueError('its "operation" is not a text, or its "tolerances" are not an object')
    if odd := [name for name, value in tolerances.items() if not _is_tolerance(value)]:
        raise ValueError(f"the tolerance of {odd[0]} is not a number that is 0 or more")
    _check_rows(document["rows"])


def _check_rows(rows: Any) -> None:
    if not isinstance(rows, list) or not rows:
        raise ValueError('its "rows" are not a list with at least one row')
    if len(rows) > MAX_GOLDEN_ROWS:
        raise ValueError(f"it has {len(rows):,} rows, and at most {MAX_GOLDEN_ROWS:,} are allowed")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or set(row) != {"request", "answer"}:
            raise ValueError(f'row {number} is not an object of a "request" and an "answer"')
        if not isinstance(row["request"], dict) or not isinstance(row["answer"], dict) or not row["answer"]:
            raise ValueError(f"row {number} needs an object of fields as its request, and as its answer one with some")


def _is_tolerance(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _differences(
    expected: Any, got: Any, path: str, field_path: str, tolerances: Mapping[str, float]
) -> Iterator[GoldenDifference]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name, value in expected.items():
            within, inside = (f"{path}.{name}", f"{field_path}.{name}") if path else (name, name)
            yield from _differences(value, got.get(name), within, inside, tolerances)
        return
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield GoldenDifference(f"values of {path}", len(expected), len(got), None)
            return
        for place, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _differences(one, other, f"{path}[{place}]", field_path, tolerances)
        return
    tolerance = tolerances.get(field_path)
    if not _are_equal(expected, got, tolerance):
        is_default = tolerance is None and _has_fraction(expected, got)
        yield GoldenDifference(path, expected, got, DEFAULT_TOLERANCE if is_default else tolerance)


def _are_equal(expected: Any, got: Any, tolerance: float | None) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if type(expected) is type(got) and expected == got:  # NaN is a text in JSON
        return True
    if tolerance is None and (isinstance(expected, str) or isinstance(got, str) or not _has_fraction(expected, got)):
        return False
    one, other = _number(expected), _number(got)
    if one is None or other is None:
        return False
    if tolerance is None:
        return math.isclose(one, other, rel_tol=DEFAULT_TOLERANCE, abs_tol=DEFAULT_TOLERANCE)
    return abs(one - other) <= tolerance


def _has_fraction(*values: Any) -> bool:
    return any(isinstance(value, float) for value in values)


def _number(value: Any) -> float | None:
    """Return a number, which may be a text: 64-bit whole numbers are in JSON."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _with_nulls(document: Any, message: Descriptor) -> Any:
    if message.file.name.startswith("google/protobuf/"):
        return document
    for part in message.fields:
        value = document.setdefault(part.name, None)
        inner = part.message_type
        if value is None or inner is None:
            continue
        if is_map(part):
            held = inner.fields_by_name["value"].message_type
            inside = value.values() if held else ()
        else:
            held, inside = inner, value if part.is_repeated else [value]
        for one in inside:
            assert held
            _with_nulls(one, held)
    return document


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _shown(value: Any) -> str:
    if value is None:
        return "no value"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
