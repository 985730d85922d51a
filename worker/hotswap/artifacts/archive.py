"""Unpacks a zip that nobody vouches for: only plain files, only inside the folder, only as many as allowed.

And writes zips whose bytes depend on nothing but their content, so that its digest is the content's.
"""

import errno
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hotswap.errors import SwapCode, SwapError

MAX_FILES = 100_000
"""Files and folders of an archive at most, those too that only a name implies: each costs an inode, and no bytes."""

_CHUNK = 1 << 20
_MAX_READ = 32 << 20  # zipfile reads all entries' names at once, and makes of each byte ten in memory
_MAX_NAME = 4_096
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
        with zipfile.ZipFile(_Guarded(packed, is_stopped)) as archive:
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
    raise invalid(name, fault)


def find_change(packed: BinaryIO, folder: Path, *, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Give what of a folder is not as `unpack` has left it, for a person; empty: nothing. Raises OSError."""
    try:
        with zipfile.ZipFile(_Guarded(packed, is_stopped)) as archive:
            files = _safe_files(archive, is_stopped)
            if odd := _plain_files(folder) ^ {str(path) for path in files}:
                return f"{min(odd)!r} is in one of the folder and the archive alone, or is no plain file"
            for path, entry in files.items():
                with open_plain(folder / path) as file:
                    if any(file.read(len(chunk)) != chunk for chunk in _chunks(archive, entry)) or file.read(1):
                        return f"{str(path)!r} is not what is in the archive"
    except (_Unfit, *_FOREIGN) as error:
        return str(error)
    return ""


def open_plain(path: Path) -> BinaryIO:
    """Open a file that must not be anything else: a link, or what waits for ever. Raises OSError."""
    file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")  # noqa: PTH123, SIM115 - by flags
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is no plain file", str(path))
    return file


def _plain_files(folder: Path) -> set[str]:
    """The files within by their names; one that is not plain, and a folder without any, by a name that no file has."""
    found: set[str] = set()
    for place, folders, files in os.walk(folder):
        within = Path(place).relative_to(folder)
        is_link = any(Path(place, name).is_symlink() for name in folders)
        found.update(str(within / name) for name in files)
        if is_link or not (folders or files):
            found.add(f"{within}/")
    return found


def check_jars(packed: BinaryIO, *, name: str, max_bytes: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Check what the jars in a zip are unpacked to (a host keeps them in memory); whatever is no zip has none.

    Raises SwapError (ARTIFACT_INVALID).
    """
    try:
        with zipfile.ZipFile(_Guarded(packed, is_stopped)) as archive:
            jars = [archive.getinfo(name) for name in archive.namelist() if name.endswith(".jar")]
            _check_count(len(jars))
            # Here the sizes of the headers hold: zipfile gives no more than they say.
            _check_size(sum(entry.file_size for entry in jars), max_bytes)
    except _Unfit as error:
        raise invalid(name, str(error)) from error
    except (*_FOREIGN, OSError):
        return


def invalid(name: str, fault: str) -> SwapError:
    """Give the error for an artifact with a fault, which is the end of a sentence about it."""
    return SwapError(SwapCode.ARTIFACT_INVALID, f"{name} {fault}: publish the file that the training wrote, unchanged")


def list_names(path: Path) -> list[str]:
    """The names of the files in a zip, as they are, safe or not. Raises SwapError (ARTIFACT_INVALID): no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (*_FOREIGN, OSError) as error:
        raise SwapError(SwapCode.ARTIFACT_INVALID, f"{path} is not a zip that can be read: {error}") from error


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


class _Guarded:
    """A file as zipfile reads it: never very much at once, and not beyond the time that there is."""

    def __init__(self, file: BinaryIO, is_stopped: Callable[[], bool]) -> None:
        self._file = file
        self._is_stopped = is_stopped
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        _check_time(self._is_stopped)
        data = self._file.read(_MAX_READ + 1 if size < 0 else min(size, _MAX_READ + 1))
        if len(data) > _MAX_READ:
            raise _Unfit(f"holds more files than {MAX_FILES:,}, or very long names")
        return data


def _unpack(archive: zipfile.ZipFile, folder: Path, *, max_bytes: int, is_stopped: Callable[[], bool]) -> None:
    files = _safe_files(archive, is_stopped)
    folder.mkdir()
    written = 0
    for path, entry in files.items():
        _check_time(is_stopped)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in _chunks(archive, entry):
                file.write(chunk)
                written += len(chunk)
                _check_size(written, max_bytes)


def _safe_files(archive: zipfile.ZipFile, is_stopped: Callable[[], bool]) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Give the files by their paths, once their names and their number are known to be harmless."""
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    folders = {PurePosixPath()}
    for entry in archive.infolist():
        _check_time(is_stopped)
        path = _safe_path(entry)
        if not entry.is_dir():
            if path in files:
                raise _Unfit(f"holds two files of the same name: {str(path)!r}")
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
        raise _Unfit("was given up: it was not unpacked in time")


def _check_count(count: int) -> None:
    if count > MAX_FILES:
        raise _Unfit(f"holds more than {MAX_FILES:,} files and folders")


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise _Unfit(f"is larger, unpacked, than the {max_bytes:,} bytes allowed")


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    # The name as it lies in the archive: `filename` has been cut at a NUL and may hide what comes after it.
    name = entry.orig_filename
    if len(name) > _MAX_NAME:
        raise _Unfit(f"holds a file whose name has {len(name):,} characters")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or any(sign in name for sign in "\\:\0"):
        raise _Unfit(f"holds a file whose name leaves its folder: {name!r}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _Unfit(f"holds {name!r}, which is a link or a device, not a file")
    if entry.compress_type not in _METHODS:
        raise _Unfit(f"holds {name!r}, which is packed by another method than deflate")
    return path


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    size = 0
    with archive.open(entry) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            yield chunk
    if size != entry.file_size:
        raise _Unfit(f"says that {entry.filename!r} has {entry.file_size:,} bytes, and it has {size:,}")
