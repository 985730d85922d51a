"""Random requests of any message: whole, lacking, with extreme values, and with damaged bytes."""

import math
import random
import struct
from typing import Any

TEXTS = (
    "a note",
    "x",
    "",
    "ä",
    "☃ and 😀",
    "a\0b",
    'a "b", c',
    "two\nlines",
    "cr\rlf",
    "red",
    "DARK_BLUE",
    "Darkblue",
    "rot",
)
LETTERS = ("h",)
"""Fields whose usual values are single characters."""
NANS = (
    *struct.unpack("<dd", bytes.fromhex("010000000000f87f010000000000f0ff")),
    *struct.unpack("<ff", bytes.fromhex("4523c17f0100c0ff")),
)
FLOATS = (
    *NANS,
    0.0,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    5e-324,
    -1.0,
    3.4028235e38,
    1e16,
    1e-5,
    0.1,
    123456789.125,
)
BEHIND = (
    *(b"\xa2\x7f\x01x", b"\xa0\x7f\x05", b"\x00", b"\x08\x01", b"\x0d1234", b"\x0a\x01x", b"\x0b\x0c"),
    *(b"\x18\x81\x80\x00", b"\x18" + b"\xff" * 9 + b"\x7f", b"\x20" + b"\x80" * 10, b"\x0a\x02\xc3\x28"),
)


class Requests:
    """`odd` is the share of values that are absent or unusual, in the requests that have any; `damaged` of requests."""

    def __init__(self, message: Any, seed: int, odd: float = 0.2, damaged: float = 0.1) -> None:
        self._random = random.Random(seed)
        self._message = message
        self._odd = odd
        self._share_damaged = damaged

    def take(self, count: int) -> list[bytes]:
        return [self._one() for _ in range(count)]

    def _one(self) -> bytes:
        message = self._message()
        self._fill(message, self._random.choice((0.0, 0.0, self._odd)))
        value: bytes = message.SerializeToString()
        return value if self._random.random() >= self._share_damaged else self._damaged(value)

    def _fill(self, message: Any, odd: float) -> None:
        for part in message.DESCRIPTOR.fields:
            if part.message_type:
                for _ in range(self._random.choice((0, 1, 1, 2, 5))):
                    self._fill(getattr(message, part.name).add(), odd)
            elif part.is_repeated:
                values = [self._value(part, odd) for _ in range(self._random.choice((0, 1, 2, 3, 9)))]
                getattr(message, part.name).extend(values)
            elif self._random.random() >= odd / 2:
                setattr(message, part.name, self._value(part, odd))

    def _value(self, part: Any, odd: float) -> Any:
        is_odd = self._random.random() < odd
        if part.enum_type:
            return self._random.choice((0, 1, 2, 77, -5) if is_odd else (1, 2))
        if part.cpp_type in (part.CPPTYPE_DOUBLE, part.CPPTYPE_FLOAT):
            value = self._random.choice(FLOATS) if is_odd else self._random.gauss(0, 1)
            is_large = part.cpp_type == part.CPPTYPE_FLOAT and abs(value) > 3.4028235e38
            return math.inf if is_large else value
        if part.cpp_type == part.CPPTYPE_BOOL:
            return self._random.random() < 0.5
        if part.type == part.TYPE_BYTES:
            return self._random.randbytes(self._random.randrange(5))
        if part.type == part.TYPE_STRING:
            usual = ("x", "q") if part.name in LETTERS else ("red", "DARK_BLUE")
            return self._random.choice((*TEXTS, "raise", "silent", *["nothing"] * 5) if is_odd else usual)
        return self._whole(part) if is_odd else self._random.randrange(100)

    def _whole(self, part: Any) -> int:
        bits = 32 if part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_UINT32) else 64
        is_signed = part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_INT64)
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
        near = (1 << 7, -(1 << 7), (1 << 15) - 1, 1 << 15, 1 << 24, (1 << 24) + 1, (1 << 53) + 1, -1)
        return self._random.choice((0, least, most, most - 1, *(max(least, min(most, value)) for value in near)))

    def _damaged(self, value: bytes) -> bytes:
        at = self._random.randrange(len(value) + 1)
        kind = self._random.random()
        if kind < 0.2:
            return value[:at]
        if kind < 0.5:
            return value[:at] + self._random.randbytes(self._random.randrange(1, 5)) + value[at:]
        if kind < 0.7 and value:
            return value[: at - 1] + bytes([self._random.randrange(256)]) + value[at:]
        return value + self._random.choice(BEHIND)
