"""Encodes a model's outputs as answers: serialized messages of an operation's output type (rules: outputs.py)."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf import message_factory
from google.protobuf.message import Message

from hotswap.codec.columns import DecodedRows
from hotswap.codec.fields import descriptor_of, is_map
from hotswap.codec.messages import clear, serialize
from hotswap.codec.outputs import FLOATS, Fill, Filling, Output, paths
from hotswap.codec.packed import varint
from hotswap.codec.values import Matrix, Table


class Encoder:
    """Encodes the answers of one operation."""

    def __init__(
        self, *, message: type[Message], outputs: Sequence[Output], names: Mapping[str, str], is_one_row: bool
    ) -> None:
        """Find the output for each field (`names`: configuration.outputs); `problems` has a line for each unfilled one.

        `is_one_row`: each request has exactly one row, so that singular fields can hold its answer. `fills` has the
        output of each field. With `is_by_row`, each row is answered by a message `row`: an element of the field `rows`
        if there is one, else the answer itself. Otherwise the answer's own fields are repeated.
        """
        parts = descriptor_of(message).fields
        lone = parts[0] if len(parts) == 1 and parts[0].is_repeated and not is_map(parts[0]) else None
        self.rows: Final = lone if lone and lone.message_type else None
        self.row: Final = message_factory.GetMessageClass(lone.message_type) if lone and lone.message_type else message
        row_type = descriptor_of(self.row)
        self._message = message
        self.is_by_row: Final = is_one_row or self.rows is not None
        filling = Filling(outputs, names, is_by_row=self.is_by_row)
        self.fills: Final = filling.fill(row_type)
        self.problems: Final[list[str]] = filling.problems
        if not self.fills and not self.problems:
            self.problems.append(f"{row_type.full_name} has no field: add one for each output that you want")
        known = set(paths(row_type))
        self.problems.extend(
            f"configuration.outputs names `{name}`, which is not a field of {row_type.full_name}"
            for name in names
            if name not in known
        )
        self._row_encoder = None if self.problems or not self.is_by_row else _RowEncoder(self.row, self.fills)

    @property
    def used(self) -> list[Output]:
        """The outputs that fill a field, without duplicates."""
        return list(dict.fromkeys(fill.output for fill in self.fills))

    def is_valid(self, scores: Table) -> npt.NDArray[np.bool_]:
        """Return for each row whether the fields can hold its outputs (a model may return NaN for a class)."""
        valid = np.ones(len(scores), np.bool_)
        for fill in self.fills:
            valid &= self._is_valid(fill, scores)
        return valid

    def _is_valid(self, fill: Fill, scores: Table) -> npt.NDArray[np.bool_]:
        output = fill.output
        if output.is_vector and output.is_object and not self.is_by_row:
            # Without its elements, those of the rows after it would be in its place.
            return np.fromiter((vector is not None for vector in scores.objects[output.start]), np.bool_)
        return fill.is_valid(scores)

    def explain(self, scores: Table, row: int) -> str:
        """Describe the fault of an invalid row."""
        for fill in self.fills:
            if not self._is_valid(fill, scores)[row]:
                output = fill.output
                columns = scores.objects if output.is_in_objects else {}
                value = columns[output.start][row] if columns else scores.matrix[row, output.start]
                what = "class" if output.classes is not None else f"value of field `{fill.field.name}`"
                return f"the model returned {value}, which is not a valid {what}"
        raise AssertionError("the row is valid")

    def encode(self, scores: Table, rows: DecodedRows) -> list[bytes]:
        """Encode rows x outputs to one answer per request that `rows` come from. All rows must be valid."""
        if self._row_encoder is None:
            return self._encode_columns(scores, rows.slices())
        answers = self._row_encoder.encode(scores)
        if self.rows is None:
            return answers
        tag = varint(self.rows.number << 3 | 2)
        framed = [tag + varint(len(answer)) + answer for answer in answers]
        return [b"".join(framed[part]) for part in rows.slices()]

    def _encode_columns(self, scores: Table, slices: Sequence[slice]) -> list[bytes]:
        message = self._message()
        columns = [(fill, fill.values(scores)) for fill in self.fills]
        answers = []
        for part in slices:
            clear(message)
            for fill, values in columns:
                target: Any = message
                for name in (*fill.parents, fill.field.name):
                    target = getattr(target, name)
                of_rows = values[part]
                if fill.output.is_text:  # a text without a value has its place too
                    nothing = 0 if fill.field.enum_type else ""
                    of_rows = [nothing if value is None else value for value in of_rows]
                target.extend(chain.from_iterable(of_rows) if fill.output.is_vector else of_rows)
            answers.append(serialize(message))
        return answers


class _RowEncoder:
    """Serializes one message per row: by a template if it is an optional label and then floats, else field by field."""

    def __init__(self, message: type[Message], fills: Sequence[Fill]) -> None:
        self._message = message
        self._fills = fills
        floats = [fill for fill in fills if fill.field.cpp_type in FLOATS and not fill.output.classes]
        label = fills[: len(fills) - len(floats)]
        is_flat = not any(fill.field.is_repeated or fill.parents or fill.output.is_in_objects for fill in fills)
        is_in_order = list(fills) == sorted([*label, *floats], key=lambda fill: fill.field.number)
        self._is_template = (
            is_flat and is_in_order and len(label) <= 1 and bool(floats) and (not label or bool(label[0].labels))
        )
        if self._is_template:
            self._label = label[0].output.start if label else None
            self._labels = [self._serialized(label[0].field.name, value) for value in label[0].labels] if label else []
            self._floats = floats
            self._build_template()

    def encode(self, scores: Table) -> list[bytes]:
        """Encode rows x outputs: one message per row."""
        return self._by_template(scores.matrix) if self._is_template else self._by_field(scores)

    def _serialized(self, name: str, value: Any) -> bytes:
        return serialize(self._message(**{name: value}))

    def _build_template(self) -> None:
        # [tag, value] for each float: the tag is what protobuf itself writes before the 8 (or 4) bytes of a value.
        layout = []
        self._tags = []
        for fill in self._floats:
            kind = FLOATS[fill.field.cpp_type]
            tag = self._serialized(fill.field.name, 1.0)[: -np.dtype(kind).itemsize]
            layout += [(f"tag_{fill.field.number}", f"S{len(tag)}"), (f"value_{fill.field.number}", kind)]
            self._tags.append((f"tag_{fill.field.number}", tag))
        self._layout = np.dtype(layout)

    def _by_template(self, matrix: Matrix) -> list[bytes]:
        table = np.empty(len(matrix), self._layout)
        for name, tag in self._tags:
            table[name] = tag
        is_zero = np.zeros(len(matrix), np.bool_)
        with np.errstate(over="ignore"):  # too large for a float becomes inf, as in protobuf
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
        # proto3 omits zeros: protobuf serializes these rows, so that every answer is in the canonical form.
        zeros = np.flatnonzero(is_zero).tolist()
        for row, cell in zip(zeros, self._by_field(Table(matrix[zeros])) if zeros else (), strict=True):
            cells[row] = cell
        return cells

    def _by_field(self, scores: Table) -> list[bytes]:
        message = self._message()
        columns = [(fill, fill.values(scores)) for fill in self._fills]
        cells = []
        for row in range(len(scores)):
            clear(message)
            for fill, values in columns:
                fill.put(message, values[row])
            cells.append(serialize(message, deterministic=True))  # reproducible bytes, also for maps
        return cells
