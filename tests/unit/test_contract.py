"""The messages of control.proto only gain: what a version wrote, each later one reads as it was meant, and the reverse.

The rules are buf's of the category WIRE_JSON, by hand: buf is a program of its own, and control.proto is one file.
"""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from golden.make_formats import FORMATS, path_of
from hotswap.swap.command import MOST_VERSION, VERSION
from hotswap.v1 import control_pb2 as wire

TODAY = FileDescriptorProto.FromString(wire.DESCRIPTOR.serialized_pb)
FORMS = [path_of("contract", number).read_bytes() for number in range(1, FORMATS["contract"][0] + 1)]
ENVELOPE = {"command_id": (1, "BYTES"), "deployment": (2, "STRING"), "least_version": (21, "UINT32")}


def breaks(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    """What `new` would read or write otherwise than `old`, one line each."""
    found = [] if (old.package, old.syntax) == (new.package, new.syntax) else ["it has another package or syntax"]
    messages = {message.name: message for message in new.message_type}
    for message in old.message_type:
        after = messages.get(message.name)
        found += _message(message, after) if after else [f"message {message.name} is gone"]
    values = {(enum.name, value.number): value.name for enum in new.enum_type for value in enum.value}
    for enum in old.enum_type:
        for value in enum.value:
            if values.get((enum.name, value.number)) != value.name:
                found.append(f"value {enum.name}.{value.name} = {value.number} is gone")
    return found


def _message(old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    fields = {field.number: field for field in new.field}
    reserved = {number for span in new.reserved_range for number in range(span.start, span.end)}
    for field in old.field:
        after, where = fields.get(field.number), f"field {old.name}.{field.name} = {field.number}"
        if after is None:
            if field.number not in reserved or field.name not in new.reserved_name:
                yield f"{where} is gone, and its number and name are not reserved"
        elif _meaning(field, old) != _meaning(after, new):
            yield f"{where} has another name, type, cardinality or oneof"
    for inner in old.nested_type:  # entries of maps
        after_inner = next((one for one in new.nested_type if one.name == inner.name), None)
        if after_inner:
            yield from _message(inner, after_inner)


def _meaning(field: FieldDescriptorProto, message: DescriptorProto) -> tuple[object, ...]:
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return field.name, field.type, field.label, field.type_name, field.proto3_optional, oneof


@pytest.mark.parametrize("form", FORMS, ids=lambda _: "form")
def test_nothing_that_was_written_once_is_read_otherwise(form):
    assert breaks(FileDescriptorProto.FromString(form), TODAY) == []


def test_the_envelope_is_the_same_in_every_version():
    fields = {
        field.name: (field.number, FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_"))
        for field in next(one for one in TODAY.message_type if one.name == "CommandAddress").field
    }
    assert fields == ENVELOPE
    command = {field.name: field.number for field in wire.Command.DESCRIPTOR.fields}
    assert {name: command[name] for name in ENVELOPE} == {name: number for name, (number, _) in ENVELOPE.items()}
    assert 1 <= VERSION <= MOST_VERSION == 1_000


def _message_of(file: FileDescriptorProto, name: str) -> DescriptorProto:
    return next(message for message in file.message_type if message.name == name)


def _renumber(field):
    field.number = 99


def _rename(field):
    field.name = "other"


def _retype(field):
    field.type = FieldDescriptorProto.TYPE_STRING


def _repeat(field):
    field.label = FieldDescriptorProto.LABEL_REPEATED


def _repackage(file):
    file.package = "hotswap.v2"


CHANGES = {
    "a field is gone": lambda file: _message_of(file, "Swap").field.pop(),
    "a field has another number": lambda file: _renumber(_message_of(file, "Skip").field[1]),
    "a field has another name": lambda file: _rename(_message_of(file, "Skip").field[0]),
    "a field has another type": lambda file: _retype(_message_of(file, "Skip").field[0]),
    "a field is repeated": lambda file: _repeat(_message_of(file, "WorkerStatus").field[0]),
    "a field left its oneof": lambda file: _message_of(file, "Command").field[2].ClearField("oneof_index"),
    "a message is gone": lambda file: file.message_type.pop(),
    "an enum's value is gone": lambda file: file.enum_type[1].value.pop(),
    "the package is another": _repackage,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_a_reader_would_notice_is_found(change):
    later = FileDescriptorProto.FromString(TODAY.SerializeToString())
    change(later)
    assert breaks(TODAY, later) != []


def test_what_is_added_and_a_field_that_is_reserved_break_nothing():
    later = FileDescriptorProto.FromString(TODAY.SerializeToString())
    status = _message_of(later, "WorkerStatus")
    status.field.add(name="more", number=500, type=FieldDescriptorProto.TYPE_STRING)
    later.message_type.add(name="More")
    gone = _message_of(later, "Skip").field.pop()
    _message_of(later, "Skip").reserved_range.add(start=gone.number, end=gone.number + 1)
    _message_of(later, "Skip").reserved_name.append(gone.name)
    assert breaks(TODAY, later) == []
