"""Unpacks untrusted zips: only regular files, only inside the folder, only as many as allowed.

It also writes zips whose bytes depend on their content alone, so that the digest identifies the content.
"""

import errno
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hotswap.errors import SwapCode, SwapError
from hotswap.local.system import open_plain

MAX_FILES = 100_000
"""The most files and folders in an archive, including folders that only a name implies: each costs an inode."""

_CHUNK = 1 << 20
_MAX_READ = 32 << 20  # zipfile reads the names of all entries at once, and needs ten bytes of memory for each byte
_MAX_NAME = 4_096
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can store
# zipfile bounds what one read unpacks for these two only; a few kilobytes of bzip2 or LZMA may become gigabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for damaged bytes, found by flipping them: invalid UTF-8 names, negative positions, passwords.
_FOREIGN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)


def unpack(
    packed: BinaryIO, folder: Path, *, name: str, max_bytes: int, is_stopped: Callable[[], bool] = lambda: False
) -> None:
    """Unpack into a new folder, writing at most `max_bytes` even if the zip's headers lie.

    Raises SwapError (ARTIFACT_INVALID): not a zip, damaged, names that leave the folder, links, too large.
    """
    try:
        with zipfile.ZipFile(_Guarded(packed, is_stopped)) as archive:
            _unpack(archive, folder, max_bytes=max_bytes, is_stopped=is_stopped)
    except _Unfit as error:
        fault = str(error)
    except _FOREIGN as error:
        fault = f"is not a zip, or is damaged ({str(error) or type(error).__name__})"
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        fault = "has two files of the same name"
    except OSError as error:
        # The archive is to blame for bad positions and names, but not for a full disk.
        if error.errno not in (errno.EINVAL, errno.ENAMETOOLONG):
            raise
        fault = f"is damaged ({error.strerror})"
    else:
        return
    raise invalid(name, fault)


def find_change(packed: BinaryIO, folder: Path, *, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Describe how a folder differs from `unpack`'s output; empty if it does not. Raises OSError."""
    try:
        with zipfile.ZipFile(_Guarded(packed, is_stopped)) as archive:
            files = _safe_files(archive, is_stopped)
            if odd := _plain_files(folder) ^ {str(path) for path in files}:
                return f"{min(odd)!r} is in the folder or the archive only, or is not a regular file"
            for path, entry in files.items():
                with open_plain(folder / path) as file:
                    if any(file.read(len(chunk)) != chunk for chunk in _chunks(archive, entry)) or file.read(1):
                        return f"{str(path)!r} differs from the archive"
    except (_Unfit, *_FOREIGN) as error:
        return str(error)
    return ""


def _plain_files(folder: Path) -> set[str]:
    """List the names of the files within; a linked or an empty folder appears under a name that no file can have."""
    entries: set[str] = set()
    for place, folders, files in os.walk(folder):
        within = Path(place).relative_to(folder)
        is_link = any(Path(place, name).is_symlink() for name in folders)
        entries.update(str(within / name) for name in files)
        if is_link or not (folders or files):
            entries.add(f"{within}/")
    return entries


def check_jars(packed: BinaryIO, *, name: str, max_bytes: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Check the unpacked size of the jars in a zip (a host keeps them in memory); a file that is not a zip has none.

    Raises SwapError (ARTIFACT_INVALID).
    """
    try:
        with zipfile.ZipFile(_Guarded(packed, is_stopped)) as archive:
            jars = [archive.getinfo(name) for name in archive.namelist() if name.endswith(".jar")]
            _check_count(len(jars))
            _check_size(jars, max_bytes)
    except _Unfit as error:
        raise invalid(name, str(error)) from error
    except (*_FOREIGN, OSError):
        return


def invalid(name: str, fault: str) -> SwapError:
    """Return the error for an artifact; `fault` is the predicate of a sentence about it."""
    return SwapError(SwapCode.ARTIFACT_INVALID, f"{name} {fault}: publish the file that the training wrote, unchanged")


def list_names(path: Path) -> list[str]:
    """List the names of the files in a zip, safe or not. Raises SwapError (ARTIFACT_INVALID): not a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (*_FOREIGN, OSError) as error:
        raise SwapError(SwapCode.ARTIFACT_INVALID, f"{path} is not a readable zip: {error}") from error


def write_zip(path: Path, content: Mapping[str, Path | bytes]) -> None:
    """Write a new zip of these files, by their names in it: the same bytes wherever and whenever it runs."""
    with zipfile.ZipFile(path, "x") as archive:
        for name in sorted(content):
            # Stored, not deflated: the output of deflate differs between versions of zlib.
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3  # Unix, wherever this runs
            member = content[name]
            if isinstance(member, bytes):
                archive.writestr(entry, member)
                continue
            entry.file_size = member.stat().st_size
            with member.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK)


class _Unfit(Exception):
    """A fault of the archive, as the predicate of a sentence."""


class _Guarded:
    """A file for zipfile to read: bounds each read, and fails once the time is up."""

    def __init__(self, file: BinaryIO, is_stopped: Callable[[], bool]) -> None:
        self._file = file
        self._is_stopped = is_stopped
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        _check_time(self._is_stopped)
        data = self._file.read(_MAX_READ + 1 if size < 0 else min(size, _MAX_READ + 1))
        if len(data) > _MAX_READ:
            raise _Unfit(f"has more than {MAX_FILES:,} files, or very long names")
        return data


def _unpack(archive: zipfile.ZipFile, folder: Path, *, max_bytes: int, is_stopped: Callable[[], bool]) -> None:
    files = _safe_files(archive, is_stopped)
    _check_size(files.values(), max_bytes)
    folder.mkdir()
    for path, entry in files.items():
        _check_time(is_stopped)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in _chunks(archive, entry):
                file.write(chunk)


def _safe_files(archive: zipfile.ZipFile, is_stopped: Callable[[], bool]) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the files by path, after checking that their names are safe and that they are not too many."""
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    folders = {PurePosixPath()}
    for entry in archive.infolist():
        _check_time(is_stopped)
        path = _safe_path(entry)
        if not entry.is_dir():
            if path in files:
                raise _Unfit(f"has two files of the same name: {str(path)!r}")
            files[path] = entry
            path = path.parent
        while path not in folders:
            folders.add(path)
            path = path.parent
            _check_count(len(files) + len(folders))
        _check_count(len(files) + len(folders))
    return files


def _check_time(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise _Unfit("was abandoned: it was not unpacked in time")


def _check_count(count: int) -> None:
    if count > MAX_FILES:
        raise _Unfit(f"has more than {MAX_FILES:,} files and folders")


def _check_size(entries: Iterable[zipfile.ZipInfo], max_bytes: int) -> None:
    # The sizes in the headers are reliable here: zipfile never returns more than they say.
    if sum(entry.file_size for entry in entries) > max_bytes:
        raise _Unfit(f"unpacks to more than the {max_bytes:,} bytes allowed")


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    # The name as stored in the archive: `filename` is cut at a NUL and may hide what follows.
    name = entry.orig_filename
    if len(name) > _MAX_NAME:
        raise _Unfit(f"has a file whose name has {len(name):,} characters")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or any(sign in name for sign in "\\:\0"):
        raise _Unfit(f"has a file whose name leaves its folder: {name!r}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _Unfit(f"has {name!r}, which is a link or a device, not a file")
    if entry.compress_type not in _METHODS:
        raise _Unfit(f"has {name!r}, which is packed by a method other than deflate")
    return path


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    size = 0
    with archive.open(entry) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            yield chunk
    if size != entry.file_size:
        raise _Unfit(f"says that {entry.filename!r} has {entry.file_size:,} bytes, but it has {size:,}")
