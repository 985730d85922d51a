"""Reads Universal Binary JSON (https://ubjson.org), as XGBoost writes it: arrays of numbers become NumPy's.

py-ubjson, the only other reader for Python, makes an object of each number, and has had no release since 2020.
"""

from typing import Any, Final

import numpy as np

_DEEPEST: Final = 64  # XGBoost's models have nine levels
_NUMBERS: Final = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_CONSTANTS: Final = {b"Z": None, b"T": True, b"F": False}


def parse_ubjson(content: bytes | bytearray) -> Any:
    """Return the value of a document. Raises ValueError if it is truncated, nested too deep or malformed."""
    reader = _Reader(content)
    return reader.value(reader.take(1), 0)


class _Reader:
    def __init__(self, content: bytes | bytearray) -> None:
        self._content = memoryview(content)
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return that many bytes."""
        return bytes(self._view(count))

    def value(self, marker: bytes, depth: int) -> Any:
        """Return the value whose marker has been read."""
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        if marker == b"{":
            return self._members(depth)
        if marker == b"[":
            return self._elements(depth)
        if marker == b"S":
            return self._text()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        return self._numbers(marker, 1)[0].item()

    def _view(self, count: int) -> memoryview:
        if not 0 <= count <= len(self._content) - self._at:
            raise ValueError(f"it ends before the {count} bytes that follow byte {self._at}")
        self._at += count
        return self._content[self._at - count : self._at]

    def _numbers(self, marker: bytes, count: int) -> Any:
        if marker not in _NUMBERS:
            raise ValueError(f"byte {self._at} is preceded by {marker!r}, which begins no value")
        dtype = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self._view(count * dtype.itemsize), dtype)

    def _count(self) -> int:
        return int(self._numbers(self.take(1), 1)[0])

    def _text(self) -> str:
        return self.take(self._count()).decode()

    def _members(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while (marker := self.take(1)) != b"}":
            self._at -= 1
            if marker not in _NUMBERS:
                raise ValueError(f"byte {self._at} begins no name of a member")
            name = self._text()
            members[name] = self.value(self.take(1), depth + 1)
        return members

    def _elements(self, depth: int) -> Any:
        marker = self.take(1)
        if marker == b"$":
            kind = self.take(1)
            if self.take(1) != b"#":
                raise ValueError(f"byte {self._at - 1} is no count of an array")
            return self._numbers(kind, self._count())
        if marker == b"#":
            return [self.value(self.take(1), depth + 1) for _ in range(self._count())]
        elements = []
        while marker != b"]":
            elements.append(self.value(marker, depth + 1))
            marker = self.take(1)
        return elements
