"""Opens a table to read: a file, or `-` for stdin, either of them gzip'd or not."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TextIO, cast

from hotswap.errors import UsageError

Kind = Literal["csv", "json"]

STDIN: Final = Path("-")

_JSON_ENDINGS: Final = (".json", ".jsonl", ".ndjson")
_GZIP: Final = b"\x1f\x8b"
_BEFORE_JSON: Final = b"\xef\xbb\xbf \t\r\n"
_MOST_BYTES: Final = 64 << 30
"""How much a file may unpack to: a megabyte of gzip may be a gigabyte, which nobody meant to score."""


def is_streamed(path: Path) -> bool:
    """Return whether a table cannot be read twice at little cost: it is stdin, or gzip'd."""
    return path == STDIN or path.suffix.lower() == ".gz"


@contextmanager
def open_table(path: Path, *, name: str = "", errors: str = "surrogateescape") -> Iterator[tuple[TextIO, Kind]]:
    """Open a table's text, to be read lazily; JSON or CSV is told by the suffix, of stdin by the first character.

    By default, invalid UTF-8 is preserved, so that only the row with it is refused. `name` is what errors call it.

    Raises:
        UsageError: the file cannot be read; while it is read: its gzip is damaged, or unpacks to more than 64 GiB.

    """
    name = name or ("stdin" if path == STDIN else str(path))
    with ExitStack() as stack:
        try:
            file: Any = stack.enter_context(_opened(path))
            if file.peek(len(_GZIP)).startswith(_GZIP):
                file = io.BufferedReader(_Unpacked(file, name))
            begins = file.peek(1).lstrip(_BEFORE_JSON)[:1] if path == STDIN else b""
        except OSError as error:
            raise UsageError(f"{name} cannot be read: {error.strerror or error}") from error
        kind: Kind = "json" if begins in (b"{", b"[") or is_json(path) else "csv"
        with io.TextIOWrapper(file, encoding="utf-8-sig", errors=errors, newline="") as text:
            yield text, kind


def _opened(path: Path) -> io.BufferedReader:
    return io.BufferedReader(cast("Any", sys.stdin.buffer)) if path == STDIN else path.open("rb")


def is_json(path: Path) -> bool:
    """Return whether a file is JSON, by its suffix."""
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    return suffix.lower() in _JSON_ENDINGS


class _Unpacked(io.RawIOBase):
    """The content of a gzip'd file; it can be read again from its beginning if the file can."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self._packed = file
        self._file = gzip.GzipFile(fileobj=file)
        self._name = name

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether it can be read again."""
        return self._packed.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return how much was read."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer. Raises UsageError."""
        try:
            content = self._file.read1(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{self._name} cannot be unpacked, as its gzip is damaged or cut off: {error}") from error
        if self._file.tell() > _MOST_BYTES:
            raise UsageError(f"{self._name} unpacks to more than {_MOST_BYTES >> 30} GiB: split it into smaller files")
        buffer[: len(content)] = content
        return len(content)
