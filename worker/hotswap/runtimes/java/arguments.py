r"""Decides how a jar's method is called for a request: once, from the types of its parameters and the proto.

The first of these that fits is used; the runtime option `input` restricts them to the first (csv, json, file) or to the
others (row):

    text      one String, java.io.File or java.nio.file.Path: the request's rows as CSV (a header and a line for each,
              RFC 4180 with \n) or as JSON (an array of objects; one object if a request is one row; for Acumos's
              `modelInputType`, the whole input message). A File exists during the call only. Without `input`, a
              String is CSV, unless it has a field's name or the only field is a string.
    request   the parameters are the input message's own fields (by name or by position: values.py)
    rows      one array or List, Collection, Iterable of rows: double[][], Customer[], List<Map<String, Object>>, …
    row       the parameters are the fields of a row, and the method is called for each row of the request

A request's rows are the messages of its only field, if that is a repeated message; or the elements of its repeated
scalar fields, if it has no other fields; else it is one row itself. A single parameter takes all fields: an array or a
List of their values in the proto's order, a Map, or an object of one of the jar's classes.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jpype
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from hotswap.batch import Code
from hotswap.codec import messages
from hotswap.codec.fields import Shape, descriptor_of, is_map
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.writer import CsvTable
from hotswap.runtimes.java import standard
from hotswap.runtimes.java.classes import JavaType, java, keep_file, type_of
from hotswap.runtimes.java.fits import Fit
from hotswap.runtimes.java.scalars import BadValue, Read, ScalarMisfit, Slot
from hotswap.runtimes.java.values import collector, find_slot, fit_all, fit_parameters, slots_of

TEXTS: Final = ("csv", "json", "file")
MESSAGE: Final = "message"
"""The whole message as JSON: what JSON is in Acumos's modelConfig.properties."""

_PATHS: Final = ("java.io.File", "java.nio.file.Path")
_OBJECT: Final = "java.lang.Object"


@dataclass(frozen=True, slots=True)
class Calls:
    """How a method is called: `arguments` yields an Object[] for each call that answers a request.

    `is_each_row`: there is a call for each row. `count_rows` returns the rows of a request; `is_one_row`: always one.

    `fit` says what is made of a row (or of a request, if there is a call for each), and `whole` what holds all rows, if
    there is one; without `fit` the rows are text, and `text` says which.
    """

    arguments: Callable[[Any], Iterator[Any]]
    count_rows: Callable[[Any], int]
    is_one_row: bool
    is_each_row: bool = False
    fit: Fit | None = None
    whole: JavaType | None = None
    text: str = ""


class MessageRows:
    """The rows of an input message."""

    def __init__(self, message: type[Message]) -> None:
        """Find the fields that hold the rows."""
        layout = Layout(message)
        whole = slots_of(descriptor_of(message))
        is_lone = layout.shape == "rows" and len(whole) == 1
        self.rows_field: Final = layout.rows_field if is_lone else None
        self.shape: Shape = layout.shape if is_lone or layout.shape == "columns" else "single"
        self.message = message
        self.row: Final = layout.row if is_lone else message
        self.whole: Sequence[Slot] = whole
        if layout.shape == "columns":
            self.slots: Sequence[Slot] = [Slot(slot.part, slot.path, is_many=False) for slot in whole]
        else:
            self.slots = slots_of(descriptor_of(self.row))
        # The header is written once: including it, each request would cost three times as much.
        self._csv_text = io.StringIO(newline="")
        self._csv = CsvTable(self._csv_text, message)
        self._csv.write({}, message())
        self.csv_header = self._csv_text.getvalue().partition("\n")[0] + "\n"

    def rows(self, message: Any) -> Sequence[Any]:
        """Return a request's rows, with their fields as attributes. Raises BadValue if columns differ in length."""
        if self.rows_field:
            return getattr(message, self.rows_field)  # type: ignore[no-any-return]
        if self.shape == "single":
            return [message]
        names = [slot.part.name for slot in self.whole]
        columns = [getattr(message, name) for name in names]
        if len(set(map(len, columns))) > 1:
            lengths = ", ".join(f"{name} has {len(column)}" for name, column in zip(names, columns, strict=True))
            raise BadValue(Code.UNDECODABLE, f"the columns of the request differ in length: {lengths}")
        return [_Row(dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]

    @property
    def nested(self) -> Slot | None:
        """The first field of a row that holds repeated messages, or None."""
        return next((slot for slot in self.slots if slot.is_many and slot.part.message_type), None)

    def count(self, message: Any) -> int:
        """Return the number of rows of a request."""
        return len(self.rows(message))

    def write_csv(self, message: Any) -> str:
        """Return the rows as CSV: a header and a line for each row."""
        self._csv_text.seek(0)
        self._csv_text.truncate()
        if self.shape == "columns":
            names = [slot.part.name for slot in self.whole]
            writer = csv.writer(self._csv_text, lineterminator="\n")
            writer.writerows([getattr(row, name) for name in names] for row in self.rows(message))
        else:
            self._csv.write({}, message)
        return self.csv_header + self._csv_text.getvalue()

    def write_message(self, message: Any) -> str:
        """Return the whole message as JSON (proto3's mapping, original field names), its zeros, too."""
        return _json(_plain(message))

    def write_json(self, message: Any) -> str:
        """Return the rows as a JSON array; one object for a single row."""
        if self.shape == "columns":
            columns, count = _plain(message), self.count(message)
            return _json([{name: columns[name][number] for name in columns} for number in range(count)])
        if self.shape == "single":
            return self.write_message(message)
        return _json([_plain(row) for row in self.rows(message)])


def fit_calls(method: Any, table: MessageRows, *, kind: str | None, names: Mapping[str, str]) -> Calls:
    """Decide how `method` (java.lang.reflect.Method) is called; `kind` is the configuration's `input`.

    `names` is configuration.columns: parameter or property -> field. Raises Misfit.
    """
    types = [type_of(one) for one in method.getGenericParameterTypes()]
    lone = types[0] if len(types) == 1 else None
    if kind in (*TEXTS, MESSAGE) or (kind is None and lone and _is_text(lone, method, table, names)):
        if lone is None or lone.name not in ("java.lang.String", "java.lang.CharSequence", *_PATHS):
            shown = "json" if kind == MESSAGE else kind
            raise ScalarMisfit(f"input {shown} needs one parameter, a String, a File or a Path")
        if kind not in ("json", MESSAGE) and (nested := table.nested):
            raise ScalarMisfit(f"{nested} does not fit in a CSV; set `input` to json")
        return _text_calls(lone, table, kind or "csv")
    reasons: list[str] = []
    for fit in (_fit_request, _fit_rows, _fit_row):
        try:
            return fit(method, lone, table, names)
        except ScalarMisfit as reason:
            reasons.append(str(reason))
    raise ScalarMisfit(
        next((reason for reason in reversed(reasons) if reason), "its parameters match nothing in a request")
    )


def _is_text(lone: JavaType, method: Any, table: MessageRows, names: Mapping[str, str]) -> bool:
    if lone.name in _PATHS:
        return True
    if lone.name not in ("java.lang.String", "java.lang.CharSequence"):
        return False
    parameter = method.getParameters()[0]
    name = str(parameter.getName())
    is_field = parameter.isNamePresent() and find_slot(table.slots, names.get(name, name)) is not None
    is_lone = len(table.slots) == 1 and table.slots[0].part.type == FieldDescriptor.TYPE_STRING
    return not is_field and not is_lone


def _text_calls(wanted: JavaType, table: MessageRows, kind: str) -> Calls:
    objects = jpype.JArray(jpype.JObject)
    write, suffix = {"json": (table.write_json, ".json"), MESSAGE: (table.write_message, ".json")}.get(
        kind, (table.write_csv, ".csv")
    )
    make = {"java.io.File": java("java.io.File"), "java.nio.file.Path": java("java.nio.file.Path").of}
    as_file = make.get(wanted.name) or (jpype.JString if kind == "file" else None)

    def arguments(message: Any) -> Iterator[Any]:
        text = write(message)
        if as_file is None:
            yield objects([jpype.JString(text)])
            return
        path, release = keep_file(io.BytesIO(text.encode()), suffix)
        try:
            yield objects([as_file(path)])
        finally:
            release()

    text = "csv" if kind == "csv" and as_file is None else "json" if suffix == ".json" else "file"
    return Calls(arguments, table.count, is_one_row=table.shape == "single", text=text)


def _fit_request(method: Any, lone: JavaType | None, table: MessageRows, names: Mapping[str, str]) -> Calls:
    # A parameter that accepts anything takes a row: nobody writes a method for a Map with the only key `rows`.
    is_vague = lone and (
        lone.raw.isArray() or lone.takes("java.util.ArrayList") or lone.takes("java.util.LinkedHashMap")
    )
    is_vector = len(table.whole) == 1 and table.whole[0].is_many and not table.whole[0].part.message_type
    if is_vague and table.shape != "single" and not is_vector:
        raise ScalarMisfit("")
    fit = _fit_fields(method, lone, table.whole, names)
    read = _arguments(fit)

    def arguments(message: Any) -> Iterator[Any]:
        yield read(message)

    # A method that takes the columns has as many rows as they have elements; one that takes a vector has one row.
    count = (lambda _: 1) if is_vector else table.count
    return Calls(arguments, count, is_one_row=is_vector or table.shape == "single", fit=fit)


def _fit_rows(method: Any, lone: JavaType | None, table: MessageRows, names: Mapping[str, str]) -> Calls:  # noqa: ARG001
    if lone is None or not (lone.raw.isArray() or lone.takes("java.util.ArrayList")) or lone.name == _OBJECT:
        raise ScalarMisfit("")
    element = lone.component
    if element.raw.isPrimitive() or element.name.startswith("java.lang.") or element.name in standard.NAMES:
        raise ScalarMisfit("")
    fit = fit_all(table.slots, element, names)
    read_row = fit.read
    objects = jpype.JArray(jpype.JObject)
    collect = collector(lone)

    def arguments(message: Any) -> Iterator[Any]:
        rows = table.rows(message)
        yield objects([collect([_numbered(read_row, row, number) for number, row in enumerate(rows)])])

    return Calls(arguments, table.count, is_one_row=table.shape == "single", fit=fit, whole=lone)


def _fit_row(method: Any, lone: JavaType | None, table: MessageRows, names: Mapping[str, str]) -> Calls:
    fit = _fit_fields(method, lone, table.slots, names)
    read = _arguments(fit)

    def arguments(message: Any) -> Iterator[Any]:
        for number, row in enumerate(table.rows(message)):
            yield _numbered(read, row, number)

    return Calls(arguments, table.count, is_one_row=table.shape == "single", is_each_row=True, fit=fit)


def _fit_fields(method: Any, lone: JavaType | None, slots: Sequence[Slot], names: Mapping[str, str]) -> Fit:
    if lone is None:
        return fit_parameters(method, slots, names)
    try:
        return fit_parameters(method, slots, names)
    except ScalarMisfit as first:
        try:
            return fit_all(slots, lone, names)
        except ScalarMisfit as second:
            raise (first if lone.raw.isPrimitive() else second) from None


def _arguments(fit: Fit) -> Read:
    """Return the reader of a call's Object[]."""
    read = fit.read
    if fit.how == "parameters":
        return read
    objects = jpype.JArray(jpype.JObject)
    return lambda row: objects([read(row)])


def _numbered(read: Read, row: Any, number: int) -> Any:
    try:
        return read(row)
    except BadValue as error:
        raise BadValue(error.code, f"row {number}, {error}") from None


class _Row:
    """A row of columns: its fields are attributes, under any name."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        object.__setattr__(self, "_fields", fields)

    def __getattribute__(self, name: str) -> Any:
        fields = object.__getattribute__(self, "_fields")
        return fields[name]


def _plain(message: Message) -> Any:
    return _ordered(messages.to_document(message, has_defaults=True), descriptor_of(type(message)))


def _ordered(value: Any, message: Descriptor) -> Any:
    """Restore the proto's order: json_format writes the fields that are set first."""
    if isinstance(value, list):
        return [_ordered(element, message) for element in value]
    if not isinstance(value, dict) or message.full_name.startswith("google.protobuf."):
        return value
    inner = {part.name: None if is_map(part) else part.message_type for part in message.fields if part.name in value}
    return {name: _ordered(value[name], kind) if kind else value[name] for name, kind in inner.items()}


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
