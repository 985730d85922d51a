"""Unpacks a zip that nobody vouches for: only plain files, only inside the folder, only as many bytes as allowed.

And writes zips whose bytes depend on nothing but their content, so that its digest is the content's.
"""

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from worker.errors import SwapError

MAX_FILES = 100_000
"""Files in an archive at most: empty ones cost no bytes, but each costs an inode."""

_CHUNK = 1 << 20
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
# zipfile bounds what one read may unpack only for these two; a few kilobytes of bzip2 or LZMA may become gigabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for damaged bytes, found by flipping them: names that are no UTF-8, negative positions, passwords.
_FOREIGN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)


def unpack(
    packed: BinaryIO, folder: Path, *, name: str, max_bytes: int, is_stopped: Callable[[], bool] = lambda: False
) -> None:
    """Unpack into a new folder, at most `max_bytes` as they are really written, whatever the zip's headers say.

    Raises SwapError (ARTIFACT_INVALID): not a zip, damaged, names that leave the folder, links, too large.
    """
    try:
        with zipfile.ZipFile(packed) as archive:
            _unpack(archive, folder, max_bytes=max_bytes, is_stopped=is_stopped)
    except _Unfit as error:
        fault = str(error)
    except _FOREIGN as error:
        fault = f"is not a zip, or a damaged one ({str(error) or type(error).__name__})"
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        fault = "holds two files of the same name"
    except OSError as error:
        # Its positions and names are the archive's; a full disk is not its fault.
        if error.errno not in (errno.EINVAL, errno.ENAMETOOLONG):
            raise
        fault = f"is damaged ({error.strerror})"
    else:
        return
    raise SwapError("ARTIFACT_INVALID", f"{name} {fault}: publish the file that the training wrote, unchanged")


def list_names(path: Path) -> list[str]:
    """The names of the files in a zip, as they are, safe or not. Raises SwapError (ARTIFACT_INVALID): no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (*_FOREIGN, OSError) as error:
        raise SwapError("ARTIFACT_INVALID", f"{path} is not a zip that can be read: {error}") from error


def write_zip(path: Path, content: Mapping[str, Path | bytes]) -> None:
    """Write a new zip of these files, by their names in it: the same bytes wherever and whenever it is done."""
    with zipfile.ZipFile(path, "x") as archive:
        for name in sorted(content):
            # Stored, not deflated: what deflate gives differs between versions of zlib.
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3  # Unix, wherever this is run
            given = content[name]
            if isinstance(given, bytes):
                archive.writestr(entry, given)
                continue
            entry.file_size = given.stat().st_size
            with given.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK)


class _Unfit(Exception):
    """What is wrong with the archive, as the end of a sentence."""


def _unpack(archive: zipfile.ZipFile, folder: Path, *, max_bytes: int, is_stopped: Callable[[], bool]) -> None:
    files = _safe_files(archive)
    folder.mkdir()
    written = 0
    for entry, path in files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        for size in _write(archive, entry, target):
            written += size
            if written > max_bytes:
                raise _Unfit(f"is larger, unpacked, than the {max_bytes:,} bytes allowed")
            if is_stopped():
                raise _Unfit("was given up: it was not unpacked in time")


def _safe_files(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise _Unfit(f"holds {len(entries):,} files, more than {MAX_FILES:,}")
    return [(entry, path) for entry in entries if (path := _safe_path(entry)) and not entry.is_dir()]


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    # The name as it lies in the archive: `filename` has been cut at a NUL and may hide what comes after it.
    name = entry.orig_filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or any(sign in name for sign in "\\:\0"):
        raise _Unfit(f"holds a file whose name leaves its folder: {name!r}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _Unfit(f"holds {name!r}, which is a link or a device, not a file")
    if entry.compress_type not in _METHODS:
        raise _Unfit(f"holds {name!r}, which is packed by another method than deflate")
    return path


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Iterator[int]:
    """Write one file, chunk by chunk, and yield the size of each."""
    written = 0
    with archive.open(entry) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            written += len(chunk)
            yield len(chunk)
    if written != entry.file_size:
        raise _Unfit(f"says that {entry.filename!r} has {entry.file_size:,} bytes, and it has {written:,}")
