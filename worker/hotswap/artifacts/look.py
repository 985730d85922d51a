"""The evidence by which a file or folder is recognized: first bytes, names, fields of its message.

Of a compressed file, the beginning of what is in it. Nothing is read as a whole, nor unpacked to more than 64 KiB.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Final

from hotswap.artifacts.archive import list_names

HEAD: Final = 1 << 16
"""How much of a file is looked at, bytes."""

_MOST_NAMES: Final = 10_000  # of a folder
_MOST_FIELDS: Final = 64  # of a protobuf message
_LONGEST: Final = 4  # bytes of a character in UTF-8


@dataclass(frozen=True)
class Look:
    """A file or folder: `names` in it, if it is a folder or a zip; `raw` are a file's first bytes, as they are.

    `packing`: how the file is compressed, "" if it is not; `head`: its first bytes, uncompressed.
    """

    path: Path
    names: Sequence[str]
    raw: bytes

    @cached_property
    def _unpacked(self) -> tuple[str, bytes]:
        for packing, begins, unpack in _PACKINGS:
            if self.raw.startswith(begins):
                try:
                    return packing, unpack(self.raw)
                except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error):
                    continue
        return "", self.raw

    @property
    def packing(self) -> str:
        """How the file is compressed."""
        return self._unpacked[0]

    @property
    def head(self) -> bytes:
        """The first bytes of its content."""
        return self._unpacked[1]

    def begins(self, *texts: bytes) -> bool:
        """Whether the content begins with one of these."""
        return self.head.startswith(texts)

    def has(self, *names: str) -> bool:
        """Whether files of all these names are in it, at its top or in its one folder."""
        return all(any(name == path or path.endswith(f"/{name}") for path in self.names) for name in names)

    @property
    def is_text(self) -> bool:
        """Whether it begins as a text in UTF-8."""
        try:
            text = self.head.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(self.head) - _LONGEST:
                return False
            text = self.head[: error.start].decode("utf-8-sig")  # the end of the head cut a character in two
        return bool(text) and "\x00" not in text

    @cached_property
    def fields(self) -> frozenset[int]:
        """The numbers of its first fields, if it may be a protobuf message whose field 1 is a number."""
        return _fields_of(self.path) if self.begins(b"\x08") and not self.packing else frozenset()


def _gunzip(packed: bytes) -> bytes:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(packed, HEAD)


def _unlzma(packed: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=1 << 27).decompress(packed, HEAD)


def _unbzip(packed: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(packed, HEAD)


_PACKINGS: Final[tuple[tuple[str, tuple[bytes, ...], Callable[[bytes], bytes]], ...]] = (
    ("gzip", (b"\x1f\x8b",), _gunzip),
    ("zlib", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), _gunzip),
    ("bzip2", (b"BZh",), _unbzip),
    ("xz", (b"\xfd7zXZ\x00", b"\x5d\x00\x00"), _unlzma),
)


def look_at(path: Path) -> Look:
    """Look at a file or folder. Raises OSError, or SwapError if it is a broken zip."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        names = [file.relative_to(path).as_posix() for file, _ in zip(files, range(_MOST_NAMES), strict=False)]
        return Look(path, sorted(names), b"")
    with path.open("rb") as file:
        raw = file.read(HEAD)
    return Look(path, list_names(path) if raw.startswith(b"PK") else [], raw)


def _fields_of(path: Path) -> frozenset[int]:
    """Return the numbers of the first fields of a protobuf message, without their values; empty if it is none."""
    numbers: set[int] = set()
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            while file.tell() < size and len(numbers) < _MOST_FIELDS:
                number, wire_type = divmod(_varint(file), 8)
                if file.seek(_length(file, wire_type), 1) > size or not number:
                    return frozenset()
                numbers.add(number)
        except ValueError:
            return frozenset()
    return frozenset(numbers)


def _length(file: BinaryIO, wire_type: int) -> int:
    """Return how much of a field is still to be skipped. Raises ValueError."""
    if wire_type == 0:
        _varint(file)
        return 0
    if wire_type == 2:  # noqa: PLR2004 - protobuf's: of a length
        return _varint(file)
    lengths = {1: 8, 5: 4}
    if wire_type not in lengths:
        raise ValueError(wire_type)
    return lengths[wire_type]


def _varint(file: BinaryIO) -> int:
    """Read a number as protobuf writes it. Raises ValueError if there is none that a file could hold."""
    number = 0
    for shift in range(0, 63, 7):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return number
    raise ValueError(number)
