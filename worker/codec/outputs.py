"""From a model's outputs to answers: serialized messages of an operation's output type.

Each field is filled by an output, found by its name (`_` for what an identifier cannot hold; then in any case and
without any `_`), never by its type or place. Where two outputs go by the same name, it is a problem, not a guess:

    predict        `predict`, `prediction`, `predicted`, `label`, `class`, `value`, `cluster`, `result`, `outcome`, or
                   the name of the model's response column
    p_<class>      `p_<class>`, `p<class>`, `prob_<class>`, `probability_<class>`, or the class itself
    other outputs  their own name and the names that the runtime gives them (`score`, `confidence`, `probabilities`, …)

`configuration.outputs` (field -> output) goes first. What fits:

    a label        string, an enum that has every class as a name, an integer or a bool where the classes are such
    a number       double, float, string; an integer only where the output is whole (a cluster)
    a vector       a repeated double, float or string (row after row where a request has several rows)

Shapes of an output message: fields of its own (repeated: an element per row; singular: only where a request has one
row), or one repeated field of row messages (`Scores{repeated Score rows = 1}`): one for each row.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from worker.codec.columns import Rows
from worker.codec.fields import INTEGERS, TRUTHS, descriptor_of, is_map, names_of, type_name
from worker.codec.values import Matrix, Table

_FLOATS: Final = {FieldDescriptor.CPPTYPE_DOUBLE: "<f8", FieldDescriptor.CPPTYPE_FLOAT: "<f4"}
_VARINT: Final = 0x7F  # seven bits in a byte, the eighth says that more follow
_LABEL_NAMES: Final = ("predict", "prediction", "predicted", "label", "class", "value", "cluster", "result", "outcome")


@dataclass(frozen=True, slots=True)
class Output:
    """What a model gives for each row, in columns `start` to `stop` of its matrix.

    `classes`: the value is the number of one of these labels. `is_whole`: it is a whole number. `aliases`: other names.
    """

    name: str
    start: int
    stop: int
    aliases: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    is_whole: bool = False
    is_vector: bool = False


def predict_names(response: str | None) -> tuple[str, ...]:
    """Give the names that a field for the prediction itself may have."""
    return (*_LABEL_NAMES, response) if response else _LABEL_NAMES


def class_names(label: str) -> tuple[str, ...]:
    """Give the names that a field for the probability of a class may have."""
    return (f"p{label}", f"prob_{label}", f"probability_{label}", label)


_Convert: TypeAlias = Callable[[Matrix], list[Any]]


@dataclass(frozen=True, slots=True)
class _Fill:
    """A field and what fills it: `convert` gives a Python value for each row (for a vector: a list for each)."""

    field: FieldDescriptor
    output: Output
    convert: _Convert
    labels: Sequence[Any] = ()


class Encoder:
    """Writes the answers of one operation, from a model's outputs."""

    def __init__(
        self, *, message: type[Message], outputs: Sequence[Output], names: Mapping[str, str], is_one_row: bool
    ) -> None:
        """Find what fills each field (`names`: configuration.outputs); `problems` has a line for each that none does.

        `is_one_row`: each request has exactly one row, so that singular fields can hold its answer.
        """
        self.problems: Final[list[str]] = []
        parts = descriptor_of(message).fields
        lone = parts[0] if len(parts) == 1 and parts[0].is_repeated and not is_map(parts[0]) else None
        self._rows = lone if lone and lone.message_type else None
        row = message_factory.GetMessageClass(lone.message_type) if lone and lone.message_type else message
        row_type = descriptor_of(row)
        self._message = message
        self._is_by_row = is_one_row or self._rows is not None
        found = [self._fill(part, outputs, names) for part in row_type.fields]
        self._fills = [fill for fill in found if fill]
        if not found:
            self.problems.append(f"{row_type.full_name} has no field: add one for each output that is wanted")
        self.problems.extend(
            f"configuration.outputs names `{name}`, which is no field of {row_type.full_name}"
            for name in names
            if name not in row_type.fields_by_name
        )
        self._classified = [fill.output for fill in self._fills if fill.output.classes is not None]
        self._row_encoder = None if self.problems or not self._is_by_row else _RowEncoder(row, self._fills)

    def is_valid(self, scores: Table) -> npt.NDArray[np.bool_]:
        """Say for each row whether its labels are labels (a model may give NaN where it cannot decide)."""
        matrix = scores.matrix
        valid = np.ones(len(matrix), np.bool_)
        for output in self._classified:
            number = matrix[:, output.start]
            valid &= (number >= 0) & (number < len(output.classes or ()))
        return valid

    def encode(self, scores: Table, rows: Rows) -> list[bytes]:
        """Encode rows x outputs to an answer for each request that `rows` are from. All rows must be valid."""
        matrix = scores.matrix
        if self._row_encoder is None:
            return self._encode_columns(matrix, rows.slices())
        answers = self._row_encoder.encode(matrix)
        if self._rows is None:
            return answers
        tag = _varint(self._rows.number << 3 | 2)
        framed = [tag + _varint(len(answer)) + answer for answer in answers]
        return [b"".join(framed[part]) for part in rows.slices()]

    def _encode_columns(self, matrix: Matrix, slices: Sequence[slice]) -> list[bytes]:
        message = self._message()
        columns = [(fill.field.name, fill.convert(matrix), fill.output.is_vector) for fill in self._fills]
        answers = []
        for part in slices:
            message.Clear()
            for name, values, is_vector in columns:
                getattr(message, name).extend(chain.from_iterable(values[part]) if is_vector else values[part])
            answers.append(message.SerializeToString())
        return answers

    def _fill(self, part: FieldDescriptor, outputs: Sequence[Output], names: Mapping[str, str]) -> _Fill | None:
        found = _find_outputs(part, outputs, names)
        output = found[0] if len(found) == 1 else None
        place = f"output field `{part.name}` ({type_name(part)})"
        if output is None:
            either = " or ".join(output.name for output in found)
            why = f"could be {either}" if found else f"the model has no output `{names.get(part.name, part.name)}`"
            offered = ", ".join(output.name for output in outputs)
            self.problems.append(f"{place}: {why}; name one of {offered} in configuration.outputs")
        elif not self._is_by_row and not part.is_repeated:
            self.problems.append(f"{place}: a request has many rows; make it repeated")
        elif output.is_vector and not part.is_repeated:
            self.problems.append(f"{place}: `{output.name}` has many values; make it repeated")
        elif fill := _fit(part, output):
            return fill
        else:
            wanted = "a string, or an enum with its classes as names" if output.classes else "a double"
            self.problems.append(f"{place}: `{output.name}` does not fit in it; make it {wanted}")
        return None


class _RowEncoder:
    """Serializes one message per row: by a template where it is a label and then floats, else field by field."""

    def __init__(self, message: type[Message], fills: Sequence[_Fill]) -> None:
        self._message = message
        self._fills = fills
        floats = [fill for fill in fills if fill.field.cpp_type in _FLOATS and not fill.output.classes]
        label = fills[: len(fills) - len(floats)]
        is_flat = not any(fill.field.is_repeated for fill in fills) and list(fills) == [*label, *floats]
        self._is_template = is_flat and len(label) <= 1 and bool(floats) and (not label or bool(label[0].labels))
        if self._is_template:
            self._label = label[0].output.start if label else None
            self._labels = [self._serialized(label[0].field.name, value) for value in label[0].labels] if label else []
            self._floats = floats
            self._build_template()

    def encode(self, matrix: Matrix) -> list[bytes]:
        """Encode rows x outputs: one message per row."""
        return self._by_template(matrix) if self._is_template else self._by_field(matrix)

    def _serialized(self, name: str, value: Any) -> bytes:
        return self._message(**{name: value}).SerializeToString()

    def _build_template(self) -> None:
        # [tag, value] for each float: the tag is what the library itself writes before the 8 (or 4) bytes of a value.
        layout = []
        self._tags = []
        for fill in self._floats:
            kind = _FLOATS[fill.field.cpp_type]
            tag = self._serialized(fill.field.name, 1.0)[: -np.dtype(kind).itemsize]
            layout += [(f"tag_{fill.field.number}", f"S{len(tag)}"), (f"value_{fill.field.number}", kind)]
            self._tags.append((f"tag_{fill.field.number}", tag))
        self._layout = np.dtype(layout)

    def _by_template(self, matrix: Matrix) -> list[bytes]:
        table = np.empty(len(matrix), self._layout)
        for name, tag in self._tags:
            table[name] = tag
        is_zero = np.zeros(len(matrix), np.bool_)
        with np.errstate(over="ignore"):  # too large for a float is inf, as the library has it
            for fill in self._floats:
                table[f"value_{fill.field.number}"] = matrix[:, fill.output.start]
                if not fill.field.has_presence:
                    is_zero |= table[f"value_{fill.field.number}"] == 0
        width, raw = self._layout.itemsize, table.tobytes()
        cells = [raw[start : start + width] for start in range(0, len(raw), width)]
        if self._label is not None:
            labels = self._labels
            numbers = matrix[:, self._label].astype(np.int64).tolist()
            cells = [labels[number] + cell for number, cell in zip(numbers, cells, strict=True)]
        # proto3 leaves a zero out: such a row is written by the library, so that all answers are in the one usual form.
        zeros = np.flatnonzero(is_zero).tolist()
        for row, cell in zip(zeros, self._by_field(matrix[zeros]) if zeros else (), strict=True):
            cells[row] = cell
        return cells

    def _by_field(self, matrix: Matrix) -> list[bytes]:
        message = self._message()
        columns = [(fill.field.name, fill.convert(matrix)) for fill in self._fills if not fill.field.is_repeated]
        lists = [
            (fill.field.name, fill.convert(matrix), fill.output.is_vector)
            for fill in self._fills
            if fill.field.is_repeated
        ]
        cells = []
        for row in range(len(matrix)):
            message.Clear()
            for name, values in columns:
                setattr(message, name, values[row])
            for name, values, is_vector in lists:
                getattr(message, name).extend(values[row] if is_vector else values[row : row + 1])
            cells.append(message.SerializeToString())
        return cells


def _find_outputs(part: FieldDescriptor, outputs: Sequence[Output], names: Mapping[str, str]) -> list[Output]:
    """Give what may fill a field: the outputs that the first rule finds which finds any."""
    if asked := names.get(part.name):
        return [output for output in outputs if output.name == asked]
    for normal in (_identifier, _plain):
        for names_of_output in (lambda output: (output.name,), lambda output: output.aliases):
            wanted = normal(part.name)
            found = [output for output in outputs if wanted in map(normal, names_of_output(output))]
            if found:
                return found
    return []


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _plain(name: str) -> str:
    return re.sub(r"\W|_", "", name).lower()


def _fit(part: FieldDescriptor, output: Output) -> _Fill | None:
    if output.classes is not None:
        labels = _labels(part, output.classes)
        if labels is None:
            return None
        return _Fill(part, output, lambda matrix: [labels[int(number)] for number in matrix[:, output.start]], labels)
    convert = _number_converter(part, output)
    columns = slice(output.start, output.stop) if output.is_vector else output.start
    return convert and _Fill(part, output, lambda matrix: convert(matrix[:, columns]))


def _number_converter(part: FieldDescriptor, output: Output) -> _Convert | None:
    if part.cpp_type in _FLOATS:
        return lambda numbers: numbers.tolist()
    if part.cpp_type in INTEGERS and output.is_whole:
        return lambda numbers: numbers.astype(np.int64).tolist()
    if part.type != FieldDescriptor.TYPE_STRING:
        return None
    write: Callable[[float], str] = (lambda x: str(int(x))) if output.is_whole else repr
    if output.is_vector:
        return lambda numbers: [list(map(write, row)) for row in numbers.tolist()]
    return lambda numbers: list(map(write, numbers.tolist()))


def _labels(part: FieldDescriptor, classes: Sequence[str]) -> list[Any] | None:
    """Give the value of the field for each class; None where the field cannot hold them all."""
    if part.type == FieldDescriptor.TYPE_STRING:
        return list(classes)
    if part.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        known: Mapping[str, Any] = dict(names_of(part))
    elif part.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        known = TRUTHS
    elif part.cpp_type in INTEGERS:
        known = {name: int(name) for name in classes if re.fullmatch(r"-?\d{1,9}", name)}
    else:
        return None
    labels = [known.get(name.lower()) for name in classes]
    return None if None in labels else labels


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > _VARINT:
        encoded.append(number & _VARINT | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
