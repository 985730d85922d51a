"""Protos whose rows are flat, and random requests of them."""

import math
import random
import struct
from collections.abc import Mapping
from typing import Any

from hotswap.codec.proto import Operation
from hotswap.generation import Configuration, Policy, frozen

STRICT = Configuration(missing=Policy.REFUSE, unknown_category=Policy.REFUSE)
COLUMNS = [f"x{n}" for n in range(10)]
COLORS = ("blue", "green", "red", "yellow")
COUNTRIES = ("AT", "CH", "DE", "ES", "FR", "GB", "IT", "PL")

OPTIONAL = (
    "message Row { "
    + "".join(f"optional double {name} = {n}; " for n, name in enumerate(COLUMNS, 1))
    + "optional string color = 11; optional string country = 12; string note = 13; bytes raw = 14; }"
)
EVERY_TYPE = """
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; blue = 2; GREEN = 3; VIOLET = 4; YELLOW = -5; }
enum Country { AT = 0; CH = 1; DE = 2; }
message Row {
  double x0 = 1; float x1 = 2; int32 x2 = 3; int64 x3 = 4; uint32 x4 = 5; uint64 x5 = 6; sint32 x6 = 7;
  sint64 x7 = 8; fixed64 x8 = 9; optional sfixed32 x9 = 10; Color color = 11; optional Country country = 2047;
  fixed32 beside = 16; sfixed64 behind = 17; bool is_odd = 18; string note = 19; optional bytes raw = 20;
  repeated double many = 21; Row inner = 22;
}
"""
ROWS = EVERY_TYPE + "message Rows { repeated Row rows = 3; string note = 4; }"
NUMBERED = """
message Row { bool x0 = 1; double x1 = 2; double x2 = 3; double x3 = 4; double x4 = 5; double x5 = 6; double x6 = 7;
  double x7 = 8; double x8 = 9; Color x9 = 10; string color = 11; string country = 12; }
enum Color { GREEN = 0; RED = 1; }
"""
ONE = "message Answer { string response = 1; double p_no = 2; optional float p_yes = 3; }"
ENUM = (
    "enum Said { SAID_YES = 0; SAID_NO = 1; } message Answer { float p_yes = 300; Said response = 2; double p_no = 1; }"
)
VECTOR = "message Answer { repeated float probabilities = 4; repeated string response = 1; }"
LISTS = "message Answer { repeated double p_yes = 20; repeated string response = 1; repeated float probabilities = 3; }"
TABLE = "message Score { string response = 1; double p_yes = 2; } message Answer { repeated Score scores = 17; }"
BEHIND = (
    b"",
    *(b"\xa2\x06\x01x", b"\xa0\x06\x05", b"\xa1\x06" + b"8" * 8, b"\x00"),  # unknown fields
    *(b"\x08\x01", b"\x0d1234", b"\x0a\x01x", b"\x0b\x0c"),  # of another wire type; a group
    *(b"\x5a\x02\xc3\x28", b"\x5a\x03\xed\xa0\x80"),  # invalid UTF-8
    # Varints that are longer than necessary, or too long.
    *(
        b"\x89\x80\x80\x80\x80\x00" + b"12345678",
        b"\x89\x80\x80\x80\x70" + b"12345678",
        b"\x5a\x81\x80\x80\x80\x80\x00x",
    ),
    *(b"\x89\x80\x80\x80\x80\x80\x80\x80\x80\x00" + b"12345678", b"\x5a\x81\x80\x80\x80\x10x"),
    *(b"\x89\x00" + b"12345678", b"\x18\x81\x80\x00", b"\x18" + b"\xff" * 9 + b"\x7f", b"\x20" + b"\x80" * 10),
)
CASES = {
    "single": (OPTIONAL, "Row", ONE, Configuration()),
    "single, nothing may be missing": (OPTIONAL, "Row", ENUM, STRICT),
    "every type": (EVERY_TYPE, "Row", TABLE, Configuration()),
    "every type, nothing may be missing": (EVERY_TYPE, "Row", ONE, STRICT),
    "a bool, an enum's number": (NUMBERED, "Row", ENUM, Configuration()),
    "vectors": (OPTIONAL, "Row", VECTOR, Configuration()),
    "rows to lists": (ROWS, "Rows", LISTS, Configuration()),
    "rows to rows": (ROWS, "Rows", TABLE, Configuration()),
    "rows to rows, nothing may be missing": (ROWS, "Rows", TABLE, STRICT),
    "a field by another name": (
        OPTIONAL.replace("x3 =", "third ="),
        "Row",
        ONE,
        Configuration(columns=frozen({"x3": "third"})),
    ),
}


def proto(messages: str, taken: str, given: str = "Answer") -> bytes:
    return f'syntax = "proto3"; {messages} service S {{ rpc f({taken}) returns ({given}); }}'.encode()


class Requests:
    """Random requests of an operation: whole, lacking, extreme, with unknown categories, and with damaged bytes."""

    def __init__(self, operation: Operation, seed: int, widths: Mapping[str, int] | None = None) -> None:
        """`widths` are the lengths of vectors, by their fields."""
        self._random = random.Random(seed)
        self._widths = widths or {}
        self._message = operation.input
        self._rows = operation.input.DESCRIPTOR.fields_by_name.get("rows")

    def take(self, count: int) -> list[bytes]:
        return [self._one() for _ in range(count)]

    def good(self, count: int) -> list[bytes]:
        """Return requests that lack nothing and have only what the model knows."""
        return [self._good() for _ in range(count)]

    def _good(self) -> bytes:
        message: Any = self._message()
        for row in [message.rows.add() for _ in range(self._random.choice((1, 1, 2, 5)))] if self._rows else [message]:
            for part in row.DESCRIPTOR.fields:
                if part.enum_type:
                    setattr(row, part.name, self._random.choice(part.enum_type.values[1:3]).number)
                elif not (part.is_repeated or part.message_type):
                    setattr(row, part.name, self._usual(part))
        value: bytes = message.SerializeToString()
        return value

    def _one(self) -> bytes:
        message: Any = self._message()
        if self._rows:
            is_large = self._random.random() < 0.003  # more rows than are scored at a time
            for _ in range(600 if is_large else self._random.choice((0, 1, 1, 2, 5))):
                self._fill(message.rows.add())
            if self._random.random() < 0.02:
                message.note = "beside the rows"
        else:
            self._fill(message)
        value: bytes = message.SerializeToString()
        if not self._rows and self._random.random() < 0.02:
            return self._strings_before() + value
        return value if self._random.random() < 0.85 else self._damaged(value)

    def _strings_before(self) -> bytes:
        """Return each string of a row, as no UTF-8, no category, or one: the row that follows has the last word."""
        said = self._random.choice((b"\xb4", b"mauve", b"red"))
        parts = self._message.DESCRIPTOR.fields
        numbers = [part.number for part in parts if part.type == part.TYPE_STRING and not part.is_repeated]
        return b"".join(bytes([number << 3 | 2, len(said)]) + said for number in numbers if number < 16)

    def _fill(self, row: Any) -> None:
        # Most are undamaged, or hardly any row would be good.
        violation = self._random.choice((0.0, 0.0, 0.05, 0.3))
        for part in row.DESCRIPTOR.fields:
            if width := self._widths.get(part.name):
                self._fill_vector(getattr(row, part.name), part, width, violation)
                continue
            if part.is_repeated or part.message_type:
                if self._random.random() < 0.01:
                    getattr(row, part.name).SetInParent() if not part.is_repeated else row.many.append(1.0)
                continue
            if part.name in ("note", "raw") and self._random.random() < 0.9:
                continue
            if self._random.random() >= violation:
                setattr(row, part.name, self._usual(part))
            elif self._random.random() < 0.5:
                setattr(row, part.name, self._odd(part))

    def _fill_vector(self, vector: Any, part: Any, width: int, violation: float) -> None:
        """Fill a vector; a violation is one of another length, or with an odd number."""
        is_short = self._random.random() < violation / 4
        vector.extend(self._usual(part) for _ in range(self._random.choice((0, 1, width + 1)) if is_short else width))
        if vector and self._random.random() < violation:
            vector[self._random.randrange(len(vector))] = self._odd(part)

    def _usual(self, part: Any) -> Any:
        if part.enum_type:
            return self._random.choice(part.enum_type.values[:3]).number
        if part.cpp_type in (part.CPPTYPE_DOUBLE, part.CPPTYPE_FLOAT):
            return self._random.gauss(0, 1)
        if part.cpp_type == part.CPPTYPE_BOOL:
            return self._random.random() < 0.5
        if part.type == part.TYPE_BYTES:
            return b"\xff\x00"
        if part.type == part.TYPE_STRING:
            return self._random.choice({"color": COLORS, "country": COUNTRIES}.get(part.name, ("a note",)))
        return self._random.randrange(3)

    def _odd(self, part: Any) -> Any:
        if part.enum_type:
            return self._random.choice((0, 3, 4, -5, 77))
        if part.cpp_type in (part.CPPTYPE_DOUBLE, part.CPPTYPE_FLOAT):
            return self._random.choice((0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, -1.0))
        if part.cpp_type == part.CPPTYPE_BOOL:
            return False
        if part.type == part.TYPE_BYTES:
            return b""
        if part.type == part.TYPE_STRING:
            return self._random.choice(("", "mauve", "NA", "ü", "1.0", "red\0"))
        bits = 32 if part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_UINT32) else 64
        is_signed = part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_INT64)
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
        return self._random.choice((0, 1, least, most, most - 1, max(least, -1), min(most, (1 << 53) + 1)))

    def _damaged(self, value: bytes) -> bytes:
        at = self._random.randrange(len(value) + 1)
        if self._random.random() < 0.2:
            return value[:at]
        if self._random.random() < 0.3:
            return value[:at] + self._random.randbytes(self._random.randrange(1, 9)) + value[at:]
        if self._random.random() < 0.3:
            return value[:at] + self._random.randbytes(1) + value[at + 1 :]
        return value + self._random.choice(BEHIND) + self._random.choice((b"", b"\x09" + struct.pack("<d", 0.5)))
