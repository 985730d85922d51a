"""Many byte strings in one buffer: u32 n, n x u32 lengths, the strings joined; little-endian.

So the values of a batch go from the worker to its model host, into Java, and back, without an object for each.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias, overload

Buffer: TypeAlias = bytes | bytearray | memoryview


class Packed(Sequence[bytes]):
    """The strings of a buffer that holds nothing else; they are cut out of it when they are asked for."""

    def __init__(self, buffer: Buffer) -> None:
        """Raises ValueError where the buffer does not hold together."""
        self.buffer = buffer
        try:
            (count,) = struct.unpack_from("<I", buffer)
            lengths = struct.unpack_from(f"<{count}I", buffer, 4)
        except struct.error as error:
            raise ValueError(f"{len(buffer)} bytes hold no strings") from error
        self._ends = list(accumulate(lengths, initial=4 * (count + 1)))
        if self._ends[-1] != len(buffer):
            raise ValueError(f"strings that end at {self._ends[-1]} are in {len(buffer)} bytes")

    def __len__(self) -> int:
        return len(self._ends) - 1

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
    """Give the buffer of some strings."""
    count = len(values)
    return b"".join([struct.pack(f"<{count + 1}I", count, *map(len, values)), *values])
