"""Matches a model's outputs to the fields of an output message: by their names, never by type or position.

Names are compared with `_` for what an identifier cannot hold; then ignoring case and `_`. Two outputs that match the
same name are reported as a problem:

    predict        `predict`, `prediction`, `predicted`, `label`, `class`, `value`, `cluster`, `result`, `outcome`, or
                   the name of the model's response column
    p_<class>      `p_<class>`, `p<class>`, `prob_<class>`, `probability_<class>`, or the class itself
    other outputs  their own name and the runtime's aliases (`score`, `confidence`, `probabilities`, …)

`configuration.outputs` (field, or path of a nested one -> output) takes precedence; an empty output leaves the field
unset. Types that fit:

    a label        string, an enum that has every class as a name, an integer or a bool if all classes are such
    a number       double, float, string; an integer only if the output is whole (a cluster)
    a text         string, or an enum (a text that is not one of its names refuses the request)
    a list         a repeated field of these types, if each row is answered by a message of its own
    a vector       a repeated double, float or string (row after row if a request has several rows); a
                   `map<string, double>` if its elements have names (a probability for each class)

A singular nested message is filled like its parent. Exactly one alternative of a oneof may be filled.

Shapes of an output message: its own fields (repeated: an element per row; singular: only if a request has one row), or
one repeated field of row messages (`Scores{repeated Score rows = 1}`): one for each row.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from hotswap.codec.fields import INTEGER_RANGES, INTEGERS, TRUTHS, is_alternative, is_map, names_of, type_name
from hotswap.codec.values import Matrix, Table

FLOATS: Final = {FieldDescriptor.CPPTYPE_DOUBLE: "<f8", FieldDescriptor.CPPTYPE_FLOAT: "<f4"}
_LABEL_NAMES: Final = ("predict", "prediction", "predicted", "label", "class", "value", "cluster", "result", "outcome")


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a model for each row, in columns `start` to `stop` of its table.

    `classes`: the value is the number of one of these labels. `is_whole`: it is a whole number. `is_text`: it is a
    text. `is_object`: it is among the table's objects, at `start` (as is every text). `keys`: the names of a vector's
    elements. `aliases`: other names. `is_list`: it is a vector, of texts with `is_text`, whose length differs from row
    to row. `size`: the length of a vector among the objects, if known. `is_inner`: it is only a step towards others.
    """

    name: str
    start: int
    stop: int
    aliases: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    is_whole: bool = False
    is_vector: bool = False
    is_text: bool = False
    is_object: bool = False
    is_list: bool = False
    size: int | None = None
    is_inner: bool = False

    @property
    def kind(self) -> str:
        """Its values, for people to read."""
        if self.is_list:
            return f"a list of {'texts' if self.is_text else 'whole numbers' if self.is_whole else 'numbers'}"
        if self.is_vector:
            return "a vector of numbers" if self.size is None else f"a vector of {self.size:,} numbers"
        return "a text" if self.is_text or self.classes is not None else "a number"

    @property
    def is_in_objects(self) -> bool:
        """Whether its values are objects of the table, not numbers of the matrix."""
        return self.is_text or self.is_object


def predict_names(response: str | None) -> tuple[str, ...]:
    """Return the names that a field for the prediction itself may have."""
    return (*_LABEL_NAMES, response) if response else _LABEL_NAMES


def class_names(label: str) -> tuple[str, ...]:
    """Return the names that a field for the probability of a class may have."""
    return (f"p{label}", f"prob_{label}", f"probability_{label}", label)


_Convert: TypeAlias = Callable[[Matrix], list[Any]]


def _flags(count: int, flags: Iterable[bool]) -> npt.NDArray[np.bool_]:
    """Return the flags as an array; `count` set ones if there are none."""
    mask = np.fromiter(flags, np.bool_)
    return mask if len(mask) else np.ones(count, np.bool_)


@dataclass(frozen=True, slots=True)
class Fill:
    """A field and the output that fills it; `parents` are the fields that lead to it.

    `convert` turns the output's numbers into a Python value per row (a list for a vector). `labels` are the field's
    values for the classes; `names` are an enum's numbers by text.
    """

    parents: tuple[str, ...]
    field: FieldDescriptor
    output: Output
    convert: _Convert
    labels: Sequence[Any] = ()
    names: Mapping[str, int] | None = None

    def values(self, scores: Table) -> Sequence[Any]:
        """Return a value for each row; None if there is none to write."""
        output = self.output
        if output.is_text:
            texts, names = scores.objects[output.start], self.names
            if names is None:
                return texts
            if output.is_list:
                return [None if words is None else [names[word.lower()] for word in words] for words in texts]
            return [None if text is None else names[text.lower()] for text in texts]
        if output.is_object:
            return scores.objects[output.start]
        return self.convert(scores.matrix)

    def is_valid(self, scores: Table) -> npt.NDArray[np.bool_]:
        """Return for each row whether the field can hold its value."""
        output, held = self.output, INTEGER_RANGES.get(self.field.cpp_type)
        if output.is_text:
            names = self.names
            texts = scores.objects[output.start] if names is not None else ()
            if output.is_list:
                return _flags(
                    len(scores), (all(word.lower() in (names or ()) for word in words or ()) for words in texts)
                )
            return _flags(len(scores), (text is None or text.lower() in (names or ()) for text in texts))
        if output.is_object:
            return _flags(len(scores), map(self._is_held, scores.objects[output.start]))
        if output.classes is not None:
            number = scores.matrix[:, output.start]
            return (number >= 0) & (number < len(output.classes))
        if output.is_whole:
            numbers = scores.matrix[:, output.start]
            return np.isfinite(numbers) if held is None else (numbers >= held.start) & (numbers < held.stop)
        return np.ones(len(scores), np.bool_)

    def _is_held(self, value: Any) -> bool:
        """Return whether the field can hold a whole number, a vector or a list, of numbers."""
        held = INTEGER_RANGES.get(self.field.cpp_type)
        if self.output.is_vector:
            return held is None or all(number in held for number in value or ())
        return value is not None and (held is None or value in held)

    def put(self, message: Any, value: Any) -> None:
        """Set the field in a message to the value of a row."""
        if value is None:
            return
        for name in self.parents:
            message = getattr(message, name)
        name = self.field.name
        if is_map(self.field):
            getattr(message, name).update(zip(self.output.keys or (), value, strict=True))
        elif not self.field.is_repeated:
            setattr(message, name, value)
        elif self.output.is_vector:
            getattr(message, name).extend(value)
        else:
            getattr(message, name).append(value)


class Filling:
    """Finds the output for each field of a message; `problems` has a line for each field without one.

    `is_by_row`: each message answers one row.
    """

    def __init__(self, outputs: Sequence[Output], names: Mapping[str, str], *, is_by_row: bool) -> None:
        self.problems: list[str] = []
        self._outputs = outputs
        self._names = names
        self._is_by_row = is_by_row

    def fill(self, message: Descriptor, parents: tuple[str, ...] = (), above: tuple[str, ...] = ()) -> list[Fill]:
        """Return the fills of a message's fields, nested ones included (`above`: types of the enclosing messages)."""
        fills: list[Fill] = []
        for part in message.fields:
            if not is_alternative(part):
                fills += self.fill_field(part, parents, (*above, message.full_name))
        for group in message.oneofs:
            if len(group.fields) > 1:
                fills += self._fill_one_of(group, parents, (*above, message.full_name))
        return fills

    def fill_field(self, part: FieldDescriptor, parents: tuple[str, ...], above: tuple[str, ...]) -> list[Fill]:
        """Return the fill of one field, or those of the message that it holds."""
        path = ".".join((*parents, part.name))
        if self._names.get(path) == "":
            return []
        inner = part.message_type
        if inner and not part.is_repeated and inner.fields and inner.full_name not in above:
            return self.fill(inner, (*parents, part.name), above)
        fill = self._find(part, parents, self._names.get(path))
        if isinstance(fill, Fill):
            return [fill]
        self.problems.append(f"output field `{path}` ({type_name(part)}): {fill}")
        return []

    def _fill_one_of(self, group: Any, parents: tuple[str, ...], above: tuple[str, ...]) -> list[Fill]:
        """Fill the only alternative of a oneof that has an output: a message can hold just one."""
        good: dict[str, list[Fill]] = {}
        for part in group.fields:
            trial = Filling(self._outputs, self._names, is_by_row=self._is_by_row)
            fills = trial.fill_field(part, parents, above)
            if fills and not trial.problems:
                good[part.name] = fills
        if len(good) == 1:
            return next(iter(good.values()))
        which = f"{' and '.join(good)} can be filled" if good else "nothing can be filled"
        known = ", ".join(part.name for part in group.fields)
        self.problems.append(
            f"output oneof `{group.name}`: {which}, but it holds exactly one of {known}; name its output in "
            "configuration.outputs, and an empty one for each of the others"
        )
        return []

    def _find(self, part: FieldDescriptor, parents: tuple[str, ...], name: str | None) -> Fill | str:
        matches = _find_outputs(part.name, name, self._outputs)
        if len(matches) != 1:
            either = " or ".join(output.name for output in matches)
            why = f"could be {either}" if matches else f"the model has no output `{name or part.name}`"
            offered = ", ".join(output.name for output in self._outputs)
            return f"{why}; name one of {offered} in configuration.outputs, or an empty one to leave it out"
        (output,) = matches
        if not self._is_by_row and not part.is_repeated:
            return "a request may have several rows; make it repeated"
        if output.is_list and not self._is_by_row:
            return f"`{output.name}` is {output.kind} of any length; answer with a repeated message, one for each row"
        if output.is_vector and not part.is_repeated:
            return f"`{output.name}` has several values; make it repeated"
        if fill := _fit(part, parents, output, is_by_row=self._is_by_row):
            return fill
        advice = "a string, or an enum with its classes as names" if output.classes else "a double"
        return f"`{output.name}` does not fit into it; make it {'a string' if output.is_text else advice}"


def _find_outputs(name: str, mapped: str | None, outputs: Sequence[Output]) -> list[Output]:
    """Return the outputs that may fill a field: those found by the first rule that matches any."""
    if mapped:
        return [output for output in outputs if output.name == mapped]
    for normal in (_identifier, _plain):
        for names_of_output in (lambda output: (output.name,), lambda output: output.aliases):
            normalized = normal(name)
            matches = [output for output in outputs if normalized in map(normal, names_of_output(output))]
            if matches:
                return matches
    return []


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _plain(name: str) -> str:
    return re.sub(r"\W|_", "", name).lower()


def _fit(part: FieldDescriptor, parents: tuple[str, ...], output: Output, *, is_by_row: bool) -> Fill | None:
    if is_map(part):
        entry: Mapping[str, FieldDescriptor] = part.message_type.fields_by_name if part.message_type else {}
        is_text_key = entry["key"].type == FieldDescriptor.TYPE_STRING
        if not (is_by_row and output.is_vector and output.keys and is_text_key and entry["value"].cpp_type in FLOATS):
            return None
        return Fill(parents, part, output, lambda matrix: matrix[:, output.start : output.stop].tolist())
    if output.is_text:
        names = dict(names_of(part)) if part.enum_type else None
        return Fill(parents, part, output, list, names=names) if names or _is_string(part) else None
    if output.classes is not None:
        labels = _labels(part, output.classes)
        if labels is None:
            return None
        convert: _Convert = lambda matrix: [labels[int(number)] for number in matrix[:, output.start]]  # noqa: E731
        return Fill(parents, part, output, convert, labels)
    convert_numbers = _number_converter(part, output)
    columns = slice(output.start, output.stop) if output.is_vector else output.start
    return convert_numbers and Fill(parents, part, output, lambda matrix: convert_numbers(matrix[:, columns]))


def _is_string(part: FieldDescriptor) -> bool:
    return part.type == FieldDescriptor.TYPE_STRING


def _number_converter(part: FieldDescriptor, output: Output) -> _Convert | None:
    if part.cpp_type in FLOATS:
        return lambda numbers: numbers.tolist()
    if part.cpp_type in INTEGERS and output.is_whole:
        return lambda numbers: numbers.astype(np.int64).tolist()
    if not _is_string(part) or output.is_object:
        return None
    write: Callable[[float], str] = (lambda x: str(int(x))) if output.is_whole else repr
    if output.is_vector:
        return lambda numbers: [list(map(write, row)) for row in numbers.tolist()]
    return lambda numbers: list(map(write, numbers.tolist()))


def _labels(part: FieldDescriptor, classes: Sequence[str]) -> list[Any] | None:
    """Return the value of the field for each class; None if the field cannot hold them all."""
    if _is_string(part):
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


def paths(message: Descriptor, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the path of every field of a message that can be filled, including those of singular nested messages."""
    for part in message.fields:
        yield part.name
        inner = part.message_type
        if inner and not part.is_repeated and inner.full_name not in above:
            for path in paths(inner, (*above, message.full_name)):
                yield f"{part.name}.{path}"
