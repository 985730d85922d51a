"""Converts the result of a jar's method to the operation's output message: checked, never guessed or truncated.

An object's properties (getX(), isX(), a record's components, public fields) and a Map's entries fill the fields by
name, ignoring case and underscores; `configuration.outputs` (field -> property) takes precedence. The elements of a
List or an array fill them by position, one for each field; a single value fills a single field.

If the output holds rows (its only field is a repeated message, or all its fields are repeated scalars), there must be
as many results as the request has rows: a List or an array with an element for each, or a call for each; an object or a
Map may instead hold the repeated fields themselves. Only if a request is always one row may its one result be a vector,
which fills a single repeated field. If the output's fields are singular, there is one result.

    double, float   a number without loss           bool    a Boolean
    integers        a whole number in range         bytes   a byte[]
    string          a String, char, enum, number, Boolean; a value of java.time or a UUID, as it writes itself
    an enum         an enum's name or a String, in any case, with or without the prefix; one of its numbers

null leaves an `optional` field or a message unset: as a result (if that is the only field), as a property, or in a Map.
It is refused anywhere else: a list has no place for null. So is a Map or an object that has none of the fields' names.
An Optional is what it holds, or null, unless all the fields have names of its own properties (`present`, `empty`,
`as_double`). A String is parsed as text if `output` in configuration.runtime is csv (with a
header) or json. With Acumos's `modelOutputType` JSON, the String, or the one that a List begins with, is the whole
output message.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import jpype
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of, is_map, type_name
from hotswap.codec.messages import serialize, touch
from hotswap.codec.text.layout import BadRow, Layout
from hotswap.codec.text.reader import read_rows
from hotswap.errors import ModelError, UsageError
from hotswap.generation import TextOptions
from hotswap.runtimes.java.arguments import MESSAGE
from hotswap.runtimes.java.classes import JavaType, java
from hotswap.runtimes.java.objects import (
    ReadObject,
    elements_of,
    is_a,
    is_list,
    is_scalar_type,
    properties_of,
    reader_of,
)
from hotswap.runtimes.java.scalars import convert, is_scalar, kind_of, plain
from hotswap.runtimes.java.standard import TEXTS, inner_of, is_text, unwrap

_OPEN: Final = ("java.lang.Object", "java.lang.Comparable", "java.io.Serializable")
_ABSENT: Final = object()
"""The value of a property that there is not."""
_OF_OPTIONALS: Final = frozenset({"present", "empty", "asdouble", "asint", "aslong"})
"""The properties of Java's own Optionals."""


class Results:
    """Encodes the answers of one operation. `whole` and `rows` raise ModelError naming the value that does not fit."""

    def __init__(self, message: type[Message], names: Mapping[str, str], *, text: str | None, is_one_row: bool) -> None:
        """Analyse the output message. `names` is configuration.outputs, `text` the runtime option `output`.

        `is_one_row`: a request never has more than one row.
        """
        self.message = message
        self.is_one_row = is_one_row
        self._fields = list(descriptor_of(message).fields)
        layout = Layout(message)
        self.rows_field: Final = layout.rows_field if len(self._fields) == 1 else None
        self.row: Final = layout.row if self.rows_field else message
        self.row_fields: Final = list(descriptor_of(self.row).fields)
        self.is_columns: Final = layout.shape == "columns"
        self.holds_rows = self.rows_field is not None or self.is_columns
        self._names = names
        self.text = text
        self._readers: dict[Any, Mapping[str, Callable[[Any], Any]]] = {}

    def check(self, returned: JavaType, *, is_each_row: bool) -> list[str]:
        """Return a line for each field that the returned type can never fill; undeclared types are not checked."""
        returned = self._type_in(returned)
        if returned.name in ("void", "java.lang.Void"):
            return ["the method returns nothing; it must return the prediction"]
        is_by_row = is_list(returned) and self.holds_rows and not is_each_row
        if is_by_row:
            returned = self._type_in(returned.component)
        if self.text or returned.name in _OPEN or is_list(returned) or is_a(returned, "java.util.Map"):
            return []
        if is_scalar_type(returned):
            if len(self.row_fields) == 1:
                return []
            listed = ", ".join(part.name for part in self.row_fields)
            return [f"the method returns a {returned}, but the output has {len(self.row_fields)} fields ({listed})"]
        known = properties_of(returned.raw)
        if returned.name in TEXTS and self._is_lone_text(self.row_fields, known):
            return []
        holders = [self.row_fields] if is_each_row or is_by_row else [self.row_fields, self._fields]
        absent = min(([part for part in parts if self.name(part) not in known] for parts in holders), key=len)
        return [
            f"output field `{part.name}` ({type_name(part)}): {returned} has no property of that name, it has "
            f"{', '.join(sorted(known)) or 'none'}; name one in configuration.outputs"
            for part in absent
        ]

    def is_standard(self, returned: JavaType) -> bool:
        """Return whether it is an Optional, a value of java.time or a UUID, or a list of such."""
        kind = returned.component if is_list(returned) else returned
        return kind.name in TEXTS or inner_of(kind) is not None

    def whole(self, value: Any, count: int) -> bytes:
        """Encode the result of one call for a request of `count` rows."""
        value = self._value_in(value, self.row_fields)
        if value is None and self.holds_rows:
            raise ModelError("the method returned null")
        first = next(iter(elements_of(value) or ()), value) if self.text == MESSAGE else value
        if self.text and isinstance(first, jpype.JString):
            return self._parse(str(first), count)
        if not self.holds_rows:
            elements = elements_of(value) if count == 1 else None
            is_wrapped = elements is not None and len(elements) == 1 and len(self._fields) > 1
            return self._one(elements[0] if is_wrapped and elements else value)
        elements = elements_of(value)
        if elements is not None:
            return self.rows(elements, count)
        if is_scalar(value) or self._is_value(value, self.row_fields):
            return self.rows([value], count)
        get = self._getter(value)
        if self.rows_field and get(self._fields[0]) in (None, _ABSENT):
            return self.rows([value], count)
        return self._one(value, count)

    def rows(self, values: Sequence[Any], count: int) -> bytes:
        """Encode the results for a request of `count` rows, one for each."""
        if self.is_one_row and len(self._fields) == 1 and self.is_columns and len(values) != 1:
            values = [values]  # the row's vector
        if len(values) != count:
            raise ModelError(f"the method returned {len(values)} results for {count} rows")
        if not self.holds_rows:
            return self._one(values[0])
        message = self.message()
        for number, value in enumerate(values):
            place = f"row {number}, "
            if self.rows_field:
                self._fill(getattr(message, self.rows_field).add(), value, place)
            else:
                self._append(message, value, place)
        return serialize(message)

    def _one(self, value: Any, count: int | None = None) -> bytes:
        message = self.message()
        self._fill(message, value, "")
        if count is not None:
            self._check_count(message, count)
        return serialize(message)

    def _check_count(self, message: Message, count: int) -> None:
        for part in self._fields:
            length = len(getattr(message, part.name))
            if length != count:
                raise ModelError(f"field `{part.name}`: the method returned {length} values for {count} rows")

    def _parse(self, text: str, count: int) -> bytes:
        kind: Literal["csv", "json"] = "csv" if self.text == "csv" else "json"
        try:
            rows = read_rows(io.StringIO(text, newline=""), kind, self.message, TextOptions())
            read = list(rows)
            bad = next((row for row in read if isinstance(row, BadRow)), None)
        except UsageError as error:
            raise ModelError(f"the method returned invalid {kind}: {error}") from error
        if bad:
            raise ModelError(f"the method returned {kind} that is not an output message: {bad}")
        is_whole = self.text == MESSAGE and rows.layout.holds_many
        wanted = count if self.holds_rows else 1
        if len(read) != wanted and not is_whole:
            raise ModelError(f"the method returned {len(read)} results for {wanted} rows")
        message = rows.layout.pack(row.message for row in read if not isinstance(row, BadRow))
        if is_whole and self.holds_rows and not self.is_one_row:
            self._check_count(message, count)
        return serialize(message)

    # ---- messages

    def _append(self, message: Message, value: Any, place: str) -> None:
        """Append one row's result to repeated scalar fields; to a single field, it may be a vector."""
        value = self._value_in(value, self._fields)
        elements = elements_of(value)
        part, where = self._fields[0], f"{place}field `{self._fields[0].name}`"
        if len(self._fields) == 1 and elements is not None and self.is_one_row:
            target = getattr(message, part.name)
            target.extend(convert(part, one, f"{where}, element {number}") for number, one in enumerate(elements))
            return
        if self._is_value(value, self._fields):
            getattr(message, part.name).append(convert(part, value, where))
            return
        for part, element in self._pairs(self._fields, value, place):
            getattr(message, part.name).append(convert(part, element, f"{place}field `{part.name}`"))

    def _fill(self, message: Message, value: Any, place: str) -> None:
        fields = list(descriptor_of(type(message)).fields)
        value = self._value_in(value, fields)
        is_vector = len(fields) == 1 and fields[0].is_repeated and elements_of(value) is not None
        is_nothing = value is None and len(fields) == 1 and fields[0].has_presence
        if is_vector or is_nothing or self._is_value(value, fields):
            self._put(message, fields[0], value, place)
            return
        for part, element in self._pairs(fields, value, place):
            self._put(message, part, element, place)

    def _pairs(
        self, fields: Sequence[FieldDescriptor], value: Any, place: str
    ) -> Iterator[tuple[FieldDescriptor, Any]]:
        elements = elements_of(value)
        if elements is not None:
            if len(elements) != len(fields):
                listed = ", ".join(part.name for part in fields)
                raise ModelError(
                    f"{place}the method returned {len(elements)} values for {len(fields)} fields ({listed})"
                )
            yield from zip(fields, elements, strict=True)
        elif value is None:
            raise ModelError(f"{place}the method returned null")
        elif is_scalar(value):
            raise ModelError(f"{place}the method returned one {kind_of(value)} for {len(fields)} fields")
        else:
            get = self._getter(value)
            elements = [(part, get(part)) for part in fields]
            if fields and all(element is _ABSENT for _, element in elements):
                listed = ", ".join(part.name for part in fields)
                raise ModelError(
                    f"{place}the method returned a {kind_of(value)} without a value for any field ({listed})"
                )
            yield from ((part, None if element is _ABSENT else element) for part, element in elements)

    def _is_value(self, value: Any, fields: Sequence[FieldDescriptor]) -> bool:
        """Return whether it is the value of the only field, and not an object that holds it."""
        if len(fields) != 1:
            return False
        return is_scalar(value) or (is_text(value) and self._is_lone_text(fields, self._readers_of(value.getClass())))

    def _is_lone_text(self, fields: Sequence[FieldDescriptor], known: Mapping[str, Any]) -> bool:
        is_lone = len(fields) == 1 and fields[0].type == FieldDescriptor.TYPE_STRING
        return is_lone and self.name(fields[0]) not in known

    def _put(self, message: Message, part: FieldDescriptor, value: Any, place: str) -> None:
        name, where = part.name, f"{place}field `{part.name}`"
        inner = part.message_type.fields if part.message_type and not is_map(part) else ()
        value = self._value_in(value, inner)
        if value is None:
            if part.has_presence and not part.is_repeated:
                return
            raise ModelError(f"{where}: the method returned no value (null, or nothing of that name)")
        if is_map(part):
            self._put_entries(getattr(message, name), part, value, where)
        elif part.is_repeated:
            elements = elements_of(value)
            if elements is None:
                raise ModelError(f"{where}: the method returned one {kind_of(value)} for many values")
            target = getattr(message, name)
            for number, element in enumerate(elements):
                at = f"{where}, element {number}"
                if self._value_in(element, inner) is None:
                    raise ModelError(f"{at}: is null")
                if part.message_type:
                    self._fill(target.add(), element, f"{at}, ")
                else:
                    target.append(convert(part, element, at))
        elif part.message_type:
            touch(getattr(message, name))
            self._fill(getattr(message, name), value, f"{where}, ")
        else:
            setattr(message, name, convert(part, value, where))

    def _put_entries(self, target: Any, part: FieldDescriptor, value: Any, where: str) -> None:
        if not isinstance(value, java("java.util.Map")):
            raise ModelError(f"{where}: the method returned a {kind_of(value)}, but a Map is needed")
        assert part.message_type
        key_part, value_part = part.message_type.fields
        for entry in value.entrySet():
            key = convert(key_part, entry.getKey(), f"{where}, key")
            if value_part.message_type:
                self._fill(target[key], entry.getValue(), f"{where}, key {key}, ")
            else:
                target[key] = convert(value_part, entry.getValue(), f"{where}, key {key}")

    # ---- Optionals

    def _value_in(self, value: Any, fields: Sequence[FieldDescriptor]) -> Any:
        """Return the value of an Optional, unless the fields match its own properties, as in earlier versions."""
        return value if self._takes_optional(fields) else unwrap(value)

    def _type_in(self, returned: JavaType) -> JavaType:
        return returned if self._takes_optional(self.row_fields) else inner_of(returned) or returned

    def _takes_optional(self, fields: Sequence[FieldDescriptor]) -> bool:
        return bool(fields) and all(self.name(part) in _OF_OPTIONALS for part in fields)

    # ---- properties

    def name(self, part: FieldDescriptor) -> str:
        """Return the plain name of the property that fills a field."""
        return plain(self._names.get(part.name, part.name))

    def _getter(self, value: Any) -> Callable[[FieldDescriptor], Any]:
        if isinstance(value, ReadObject):
            return lambda part: value.properties.get(part.name, _ABSENT)
        if isinstance(value, java("java.util.Map")):
            exact = {str(entry.getKey()): entry.getValue() for entry in value.entrySet()}
            near = {plain(name): element for name, element in exact.items()}
            return lambda part: exact.get(self._names.get(part.name, part.name), near.get(self.name(part), _ABSENT))
        known = self._readers_of(value.getClass())

        def get(part: FieldDescriptor) -> Any:
            read = known.get(self.name(part))
            return read(value) if read else _ABSENT

        return get

    def _readers_of(self, kind: Any) -> Mapping[str, Callable[[Any], Any]]:
        readers = self._readers.get(kind)
        if readers is None:
            readers = self._readers[kind] = {name: reader_of(member) for name, member in properties_of(kind).items()}
        return readers
