"""Made-up protos, from a seed: valid ones, damaged ones, and hostile ones that are much of one thing."""

import keyword
import random
from typing import NamedTuple

from google.protobuf import descriptor_pb2

_SCALARS = ("double", "float", "int32", "int64", "uint32", "sint64", "fixed32", "sfixed64", "bool", "string", "bytes")
_OWN = ("Timestamp", "Duration", "DoubleValue", "StringValue", "Struct", "Value", "ListValue", "Any", "FieldMask")
_ODD = [
    name
    for name in {*dir(descriptor_pb2.FileOptions()), *keyword.kwlist, "self", "google", "message"}
    if name[0] != "_"
]
_IMPORTS = "".join(
    f'import "google/protobuf/{name}.proto";\n' for name in ("timestamp", "duration", "wrappers", "struct")
)
_IMPORTS += 'import "google/protobuf/any.proto";\nimport "google/protobuf/field_mask.proto";\n'
_OPTION = (
    'import "google/protobuf/descriptor.proto"; message R_ { R_ a = 1; repeated int32 b = 2; } '
    "extend google.protobuf.FileOptions { R_ o_ = 50000; repeated R_ many_ = 50001; }\n"
)
_SERVICE = "message A_ { double a = 1; } service S_ { rpc p_(A_) returns (A_); }\n"
_TOKENS = (
    *"{}[]()<>;=,.\"'\\/*#\n\0é",
    "message ",
    "/*",
    "//",
    "option ",
    "extensions ",
    "group ",
    "map<",
    " to max",
    "=-1",
    "0x",
)
HOSTILE = {
    "deep messages": lambda n, _: "".join(f"message N{at} {{" for at in range(n)) + "}" * n,
    "deep groups": lambda n, _: "message G_ {" + "optional group G = 1 {" * n + "}" * n + "}",
    "deep option": lambda n, _: _OPTION + "option (o_) = {" + "a {" * n + "}" * n + "};",
    "dotted option": lambda n, _: _OPTION + "option (o_)" + ".a" * n + ".b = 1;",
    "long list": lambda n, _: _OPTION + "option (o_) = { b: [" + ",".join(["1"] * n) + "] };",
    "options": lambda n, _: _OPTION + "option (many_) = { b: 1 };" * n,
    "messages": lambda n, _: many(n, "message M# { double a = 1; }"),
    "chain": lambda n, _: many(n, "message C# { C#0 a = 1; }", {"#0": lambda at: str(at % n + 1)}),
    "held messages": lambda n, _: many(n, "message H# {}") + "message All_ {" + many(n, "H# h# = #;") + "}",
    "fields": lambda n, dice: many(n // 500 + 1, f"message F# {{ {_many_fields(dice)} }}"),
    "maps": lambda n, _: "message Q_ {" + many(n, "map<string, R_> m# = #;") + "}" + "message R_ {}",
    "enums": lambda n, _: many(n, "enum E# { X# = 0; }"),
    "values": lambda n, _: "enum E_ { Z_ = 0;" + many(n, "X# = #;") + "}",
    "ranges": lambda n, _: "message Q_ {" + many(n, "reserved #;") + "}",
    "names": lambda n, _: f"message {'N' * 30_000} {{" * 20 + many(n, "message M# {}") + "}" * 20,
    "rpcs": lambda n, _: "service T_ {" + many(n, "rpc r#(A_) returns (A_);") + "}",
    "own rpcs": lambda n, _: many(n, "message I# {}") + "service T_ {" + many(n, "rpc r#(I#) returns (I#);") + "}",
    "services": lambda n, _: many(n, "service T# { rpc r(A_) returns (A_); }"),
    "errors": lambda n, _: "message Q_ {" + many(n, "X# e# = #;") + "}",
    "imports": lambda n, _: many(n, 'import "google/protobuf/x#.proto";'),
    "comments": lambda n, _: "/*" * n,
    "semicolons": lambda n, _: ";" * n,
    "blank lines": lambda n, _: "\n" * (10 * n),
    "open text": lambda n, _: '"' + "\\" * n,
}  # fmt: skip


class Item(NamedTuple):
    """A proto, what is wrong with it, if so, and whether it is a descriptor set."""

    kind: str
    source: bytes
    is_set: bool = False


def _many_fields(dice):
    return many(500, f"{dice.choice(_SCALARS)} f@ = @;", mark="@")


def many(count, text, more=None, mark="#"):
    """Return a text `count` times, with its number for the mark."""
    parts = []
    for at in range(1, count + 1):
        part = text
        for name, make in (more or {}).items():
            part = part.replace(name, make(at))
        parts.append(part.replace(mark, str(at)))
    return "".join(parts)


def ordinary(number):
    """Return a proto as anybody has it; each number's is another."""
    return Item("ordinary", f'syntax = "proto3";\n// {number}\n{_SERVICE}'.encode())


def items(seed, count):
    """Yield so many protos."""
    dice = random.Random(seed)
    for _ in range(count):
        kind = dice.choices(("valid", "damaged", "hostile", "set", "damaged set"), (25, 30, 25, 10, 10))[0]
        yield _MAKE[kind](dice)


def _valid(dice):
    return Item("valid", _text(dice).encode())


def _damaged(dice):
    text = _text(dice)
    for _ in range(dice.randint(1, 6)):
        at, to = sorted(dice.randrange(len(text) + 1) for _ in range(2))
        match dice.randrange(4):
            case 0:
                text = text[:at] + text[min(to, at + dice.randint(1, 20)) :]
            case 1:
                text = text[:at] + dice.choice(_TOKENS) * dice.choice((1, 1, 2, 100)) + text[at:]
            case 2:
                text = text[:at] + text[at:to] * 2 + text[to:]
            case _:
                text = text[:at] + text[to:] + text[at:to]
    return Item("damaged", text[: 1 << 20].encode())


def _hostile(dice):
    kind = dice.choice(list(HOSTILE))
    size = int(10 ** dice.uniform(1, 4.3))  # up to 20,000
    syntax = "proto2" if kind == "deep groups" else "proto3"
    text = f'syntax = "{syntax}";\n{_SERVICE}{HOSTILE[kind](size, dice)}'
    return Item(kind, text[: 2 << 20].encode())


def _text(dice):
    """Return a proto of some messages, each with fields of all kinds, that may be called anything."""
    names = [f"M{at}" if dice.randrange(4) else f"{dice.choice(_ODD)}{at}" for at in range(dice.randint(1, 8))]
    held = [f"google.protobuf.{name}" for name in _OWN] + names
    messages = [f"message {name} {{ {_fields(dice, held)} }}" for name in names]
    rpcs = "".join(
        f"rpc {dice.choice(_ODD)}{at}({dice.choice(names)}) returns ({dice.choice(names)});"
        for at in range(dice.randint(1, 4))
    )
    package = f"package {dice.choice(('a', 'a.b.c', 'google.protobuf', 'self'))};\n" if dice.randrange(2) else ""
    return (
        f'syntax = "proto3";\n{package}{_IMPORTS}enum E_ {{ ZERO = 0; ONE = 1; }}\n'
        + "\n".join(messages)
        + f"\nservice S {{ {rpcs} }}\n"
    )


def _fields(dice, held):
    names = list(
        dict.fromkeys(dice.choice(_ODD) if dice.randrange(2) else f"f{at}" for at in range(dice.randint(0, 12)))
    )
    fields = []
    for number, name in enumerate(names, 1):
        kind = dice.choice((*_SCALARS, *_SCALARS, *held, "E_"))
        match dice.randrange(5):
            case 0:
                kind = f"repeated {kind}"
            case 1:
                kind = f"optional {kind}"
            case 2:
                kind = f"map<{dice.choice(('string', 'int32', 'bool'))}, {kind}>"
        fields.append(f"{kind} {name} = {number * dice.choice((1, 1, 1000))};")
    return " ".join(fields)


def _set(dice):
    return Item("set", dice.choice((_tame, _descriptors))(dice).SerializeToString(), is_set=True)


def _damaged_set(dice):
    source = bytearray(dice.choice((_tame, _descriptors))(dice).SerializeToString())
    for _ in range(dice.randint(1, 10)):
        at = dice.randrange(len(source))
        match dice.randrange(3):
            case 0:
                source[at] = dice.randrange(256)
            case 1:
                del source[at : at + dice.randint(1, 8)]
            case _:
                source[at:at] = source[at : at + dice.randint(1, 40)]
        source = source or bytearray(b"\0")
    return Item("damaged set", bytes(source), is_set=True)


def _tame(dice):
    """Return descriptors as protoc could write them."""
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="tame.proto", syntax="proto3", package=dice.choice(("", "a.b", "self")))
    within = f".{file.package}" if file.package else ""
    for at in range(count := dice.randint(1, 5)):
        message = file.message_type.add(name=f"M{at}")
        for number, name in enumerate(dice.sample(_ODD, dice.randint(0, 9)), 1):
            part = message.field.add(name=name, number=number, label=dice.choice((1, 3)), json_name=name)
            part.type = dice.choice((1, 3, 5, 8, 9, 11, 12))
            if part.type == part.TYPE_MESSAGE:
                part.type_name = f"{within}.M{dice.randrange(count)}"
    service = file.service.add(name="S")
    for at in range(dice.randint(1, 3)):
        service.method.add(name=f"r{at}", input_type=f"{within}.M0", output_type=f"{within}.M{dice.randrange(count)}")
    return files


def _descriptors(dice):
    """Return descriptors of any content; most of them are what protoc would never write."""
    files = descriptor_pb2.FileDescriptorSet()
    for number in range(dice.randint(1, 3)):
        file = files.file.add(name=f"f{number}.proto", syntax=dice.choice(("proto2", "proto3", "editions", "x")))
        file.dependency.extend(f"f{dice.randrange(3)}.proto" for _ in range(dice.randrange(2)))
        for at in range(dice.randint(1, 4)):
            _message(
                dice, file.message_type.add(name=dice.choice(("A", "B", f"M{at}", "", "a b", dice.choice(_ODD)))), 0
            )
        service = file.service.add(name=f"S{number}")
        for at in range(dice.randint(0, 2)):
            service.method.add(name=f"r{at}", input_type=dice.choice(_TYPES), output_type=dice.choice(_TYPES))
    return files


_TYPES = (".A", ".B", ".M0", ".M1", "A", ".A.A", "", ".x.y", ".A.Entry", ".google.protobuf.Any")


def _message(dice, message, depth):
    message.options.map_entry = not dice.randrange(8)
    for _ in range(dice.randint(0, 5)):
        part = message.field.add(
            name=dice.choice(("a", "b", "key", "value", *_ODD)), number=dice.choice((1, 2, 3, 0, -1, 1 << 29, 19_000))
        )
        part.label, part.type = dice.choice((1, 2, 3)), dice.choice(range(1, 19))
        if part.type in (10, 11, 14) or not dice.randrange(6):
            part.type_name = dice.choice(_TYPES)
        if not dice.randrange(5):
            part.oneof_index = dice.choice((0, 1, -1, 1 << 30))
            part.proto3_optional = not dice.randrange(2)
        if not dice.randrange(6):
            part.json_name = dice.choice(("", "a", "é", "a\0b"))
            part.default_value = dice.choice(("", "1", "x", "nan"))
        if not dice.randrange(6):
            part.extendee = dice.choice(_TYPES)
    if dice.randrange(2):
        message.oneof_decl.add(name=dice.choice(("o", "a", "")))
    if not dice.randrange(4):
        message.extension_range.add(start=dice.choice((0, 1, 5)), end=dice.choice((0, 6, 1 << 30)))
    if depth < dice.choice((1, 2, 45)) and dice.randrange(3):
        _message(dice, message.nested_type.add(name=dice.choice(("A", "Entry", "N"))), depth + 1)


_MAKE = {"valid": _valid, "damaged": _damaged, "hostile": _hostile, "set": _set, "damaged set": _damaged_set}
