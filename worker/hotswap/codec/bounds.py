"""How large a proto may be: checked on its text before protoc reads it, and on the descriptors that come of it.

protoc and protobuf trust their input: some of its parts cost the square of their number, and nesting ends the process.
Real protos stay far below these bounds. The largest of Google's own, Compute Engine's, has 2,500 messages.
"""

import re
from collections import Counter
from typing import Final

from google.protobuf import descriptor_pb2

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import MAX_PROTO_BYTES

_MAX_SET_BYTES: Final = 8 << 20  # a text's descriptors have each name twice, and types by their full names
_MOST: Final = {
    "messages": 5_000,
    "enums": 5_000,
    "fields": 20_000,
    "enum values": 20_000,
    "rpcs": 5_000,
    "ranges": 5_000,
    "files": 1_000,
    "imports": 10_000,
    "options": 5_000,
}
_MAX_NAMES_BYTES: Final = 8 << 20
_MAX_DEPTH: Final = 40
"""Of braces and brackets in a text, and of the dots in a statement: each one in an option's name nests as a brace does.

protoc itself takes messages 31 deep, and dies of an option's value that is 100 deep.
"""
_MAX_COMMAS: Final = 5_000
"""In a statement: the options of a field, and the ranges of an `extensions`, cost the square of their number."""
_MOST_EQUALS: Final = 60_000
"""Each field, value of an enum and option has one; the descriptors tell them apart."""
_MOST_MARKS: Final = 300_000

# Possessive, so that no text makes it look at a byte twice; an end that is missing is protoc's to report.
_TOKEN: Final = re.compile(
    rb"""
      (?P<skip> //[^\n]*+ | /\*(?:[^*]|\*(?!/))*+(?:\*/)?+ | "(?:[^"\\\n]|\\.)*+"?+ | '(?:[^'\\\n]|\\.)*+'?+ )
    | \b(?P<word> message|group|map|enum|rpc|extensions|reserved|import|option )\b
    | (?P<open> [{\[<] )
    | (?P<close> [}\]>] )
    | (?P<mark> [;,=.] )
    """,
    re.VERBOSE | re.DOTALL,
)
_COUNTED: Final = {
    b"message": "messages",
    b"group": "messages",
    b"map": "messages",
    b"enum": "enums",
    b"rpc": "rpcs",
    b"extensions": "ranges",
    b"reserved": "ranges",
    b"import": "imports",
    b"option": "options",
}
_ENDS: Final = (b";", b"{", b"}")


def check_text(source: bytes) -> None:
    """Check a proto's text by its tokens, in one pass. Raises SwapError PROTO_INVALID: it is beyond the bounds."""
    check_bytes(source)
    counts: Counter[str] = Counter()
    depth = marks = equals = dots = commas = 0
    is_range = False
    for token in _TOKEN.finditer(source):
        kind, text = token.lastgroup, token[0]
        if kind == "skip":
            continue
        marks += 1
        depth += (kind == "open") - (kind == "close")
        equals += text == b"="
        dots += text == b"."
        commas += text == b","
        if kind == "word":
            what = _COUNTED[text]
            counts[what] += 1
            _hold(counts[what], _MOST[what], what)
            is_range = is_range or what == "ranges"
        elif text == b"," and is_range:
            counts["ranges"] += 1
        elif text in _ENDS:
            dots, commas, is_range = 0, 0, False
        _hold(max(depth, dots), _MAX_DEPTH, "braces, brackets or dots inside each other")
        _hold(commas, _MAX_COMMAS, "commas in a statement")
        _hold(equals, _MOST_EQUALS, "fields, values and options")
        _hold(marks, _MOST_MARKS, "fields, values, options and the like")
    _hold(counts["ranges"], _MOST["ranges"], "ranges")


def check_bytes(source: bytes) -> None:
    """Check how long a proto's source is. Raises SwapError PROTO_INVALID."""
    if len(source) > MAX_PROTO_BYTES:
        reason = f"the proto has {len(source):,} bytes: at most {MAX_PROTO_BYTES:,} are allowed"
        raise SwapError(SwapCode.PROTO_INVALID, reason)


def check_files(files: descriptor_pb2.FileDescriptorSet) -> None:
    """Check compiled descriptors, before they are in a pool. Raises SwapError PROTO_INVALID: they are beyond bounds."""
    _hold(files.ByteSize(), _MAX_SET_BYTES, "bytes of descriptors")
    counts: Counter[str] = Counter({"files": len(files.file)})
    names = 0
    for file in files.file:
        counts["imports"] += len(file.dependency)
        counts["enums"] += len(file.enum_type)
        counts["fields"] += len(file.extension)
        counts["rpcs"] += sum(max(1, len(service.method)) for service in file.service)
        counts["enum values"] += sum(len(enum.value) for enum in file.enum_type)
        counts["ranges"] += sum(len(enum.reserved_range) + len(enum.reserved_name) for enum in file.enum_type)
        waiting = [(message, 1, len(file.package)) for message in file.message_type]
        _check_counts(counts)
        while waiting:
            message, depth, above = waiting.pop()
            _hold(depth, _MAX_DEPTH, "messages inside each other")
            within = above + len(message.name) + 1
            names += within * (1 + len(message.field) + len(message.enum_type) + len(message.oneof_decl))
            _hold(names, _MAX_NAMES_BYTES, "bytes of full names")
            _count(message, counts)
            _check_counts(counts)
            _check_entry(message)
            waiting += [(inner, depth + 1, within) for inner in message.nested_type]


def _count(message: descriptor_pb2.DescriptorProto, counts: Counter[str]) -> None:
    counts["messages"] += 1
    counts["fields"] += len(message.field) + len(message.extension)
    counts["enums"] += len(message.enum_type)
    counts["enum values"] += sum(len(enum.value) for enum in message.enum_type)
    counts["ranges"] += len(message.extension_range) + len(message.reserved_range) + len(message.reserved_name)
    counts["ranges"] += sum(len(enum.reserved_range) + len(enum.reserved_name) for enum in message.enum_type)


def _check_entry(message: descriptor_pb2.DescriptorProto) -> None:
    """Check that a map entry's fields are a key and a value: protoc ensures that, and a pool does not check."""
    fields = [(field.name, field.number, field.label) for field in message.field]
    single = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    if message.options.map_entry and fields != [("key", 1, single), ("value", 2, single)]:
        reason = f"message {message.name} is said to be an entry of a map, but its fields are not a key and a value"
        raise SwapError(SwapCode.PROTO_INVALID, reason)


def _check_counts(counts: Counter[str]) -> None:
    for what, count in counts.items():
        _hold(count, _MOST[what], what)


def _hold(count: int, most: int, what: str) -> None:
    if count > most:
        raise SwapError(SwapCode.PROTO_INVALID, f"the proto has more than {most:,} {what}: split it, or leave some out")
