"""Many byte strings in one buffer: u32 n, n x u32 lengths, the strings joined; little-endian.

The values of a batch travel in it from the worker to its model host, into Java, and back, without an object for each.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TypeAlias, overload

from hotswap.batch import Unrefused

_COUNT = struct.Struct("<I")
_VARINT = 0x7F  # seven bits per byte; the eighth says that more follow

Buffer: TypeAlias = bytes | bytearray | memoryview


class Packed(Unrefused):
    """The strings of a buffer that holds nothing else; it is parsed on the first access.

    Every access raises ValueError if the buffer is malformed.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The length of each string, bytes."""
        count = len(self)
        try:
            lengths = struct.unpack_from(f"<{count}I", self.buffer, 4)
        except struct.error as error:
            raise ValueError(f"{len(self.buffer)} bytes cannot hold {count} strings") from error
        end = 4 * (count + 1) + sum(lengths)
        if end != len(self.buffer):
            raise ValueError(f"strings that end at byte {end} do not fill a buffer of {len(self.buffer)} bytes")
        return lengths

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(self.lengths, initial=4 * (len(self) + 1)))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # as a list

    def __len__(self) -> int:
        try:
            return int(_COUNT.unpack_from(self.buffer)[0])
        except struct.error as error:
            raise ValueError(f"{len(self.buffer)} bytes are too few for a count of strings") from error

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return list(self)[index]
        place = range(len(self))[index]
        return bytes(self.buffer[self._ends[place] : self._ends[place + 1]])

    def __iter__(self) -> Iterator[bytes]:
        whole = bytes(self.buffer)
        return (whole[begin:end] for begin, end in pairwise(self._ends))


def pack(values: Sequence[bytes]) -> bytes:
    """Pack strings into one buffer."""
    count = len(values)
    return b"".join([struct.pack(f"<{count + 1}I", count, *map(len, values)), *values])


def varint(number: int) -> bytes:
    """Encode a number that is not negative, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > _VARINT:
        encoded.append(number & _VARINT | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
