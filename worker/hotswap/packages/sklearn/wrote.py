"""Finds out which scikit-learn wrote a file, without loading it: a pickle would run code."""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

_CHUNK: Final = 1 << 20
_MOST_BYTES: Final = 8 << 30  # of an unpacked file
_OVERLAP: Final = 256
_VERSION: Final = rb"(\d+\.\d+(?:\.\d+)?)"
# The text and the next one, as pickle writes them: each with its length, and perhaps a place in the memo behind it.
_IN_PICKLE: Final = re.compile(rb"_sklearn_version(?:\x94|q.|r.{4}|p\d+\n)?(?:\x8c.|X.{4}|V)" + _VERSION, re.DOTALL)
_IN_SKOPS: Final = re.compile(rb'"_sklearn_version"\s*:\s*\{[^{}]*"content"\s*:\s*"\\"' + _VERSION)
_PACKINGS: Final[tuple[tuple[bytes | tuple[bytes, ...], Callable[[Any], Any]], ...]] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    ((b"\xfd7zXZ\x00", b"\x5d\x00\x00"), lzma.LZMAFile),
)


def find_version(path: Path) -> str:
    """Return the version of scikit-learn that a pickle, joblib's or skops' file names; empty if none is found."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("schema.json") as schema:
                return _search(_IN_SKOPS, iter(lambda: schema.read(_CHUNK), b""))
        with path.open("rb") as file:
            return _search(_IN_PICKLE, _unpacked(file))
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        NotImplementedError,
    ):
        return ""


def _search(pattern: re.Pattern[bytes], chunks: Iterator[bytes]) -> str:
    before, read = b"", 0
    for chunk in chunks:
        if found := pattern.search(before + chunk):
            return found[1].decode()
        before, read = (before + chunk)[-_OVERLAP:], read + len(chunk)
        if read > _MOST_BYTES:
            break
    return ""


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Yield what a file holds, unpacked as joblib packs it."""
    head = file.read(6)
    file.seek(0)
    if head[:1] == b"\x78":
        yield from _inflated(file)
        return
    reader: Any = file
    for begins, opened in _PACKINGS:
        if head.startswith(begins):
            reader = opened(file)
    yield from iter(lambda: reader.read(_CHUNK), b"")


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    while packed := inflater.unconsumed_tail or file.read(_CHUNK):
        yield inflater.decompress(packed, _CHUNK)
