"""Reads from the allowed stores and writes to the one of the settings, with fsspec, whose errors end here."""

import contextlib
import shutil
import uuid
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO, Final
from urllib.parse import unquote

from fsspec.implementations.local import LocalFileSystem

from hotswap.artifacts.places import FILE, address_of, follow_links, hide_secrets, without_secrets
from hotswap.artifacts.systems import cure_of, has_folders, open_to_read, system_of, system_to_read
from hotswap.errors import SwapCode, SwapError

_CHUNK: Final = 1 << 20
ABSENT: Final = "is not there"
"""What `find_absence` says where there is nothing at all."""

_NOT_FOUND: Final = frozenset({404, 410})


def read(uri: str, stores: Sequence[str], *, is_patient: bool = False) -> Generator[bytes, None, None]:
    """Yield the bytes of an artifact, at most a MiB at a time. Raises SwapError (URI_DENIED, ARTIFACT_UNREACHABLE).

    `is_patient`: wait for S3 while it is out of reach, for ever.
    """
    address = address_of(uri, stores)
    with (
        _foreign_errors(address),
        system_to_read(address, stores) as (system, path),
        open_to_read(system, path, address, is_patient=is_patient) as source,
    ):
        while chunk := source.read(_CHUNK):
            yield chunk


def find(uri: str, stores: Sequence[str]) -> None:
    """Look for an artifact, and read nothing of it. Raises SwapError (URI_DENIED, ARTIFACT_UNREACHABLE)."""
    address = address_of(uri, stores)
    with _foreign_errors(address), system_to_read(address, stores) as (system, path):
        system.invalidate_cache()
        system.info(path)


def find_absence(uri: str, stores: Sequence[str]) -> str:
    """Return why no artifact can be at its place, for a person; empty if there is a file, of which nothing is read.

    Raises SwapError (URI_DENIED; ARTIFACT_UNREACHABLE if the store does not tell).
    """
    address = address_of(uri, stores)
    with _foreign_errors(address), system_to_read(address, stores) as (system, path):
        system.invalidate_cache()
        try:
            info = system.info(path)
        except FileNotFoundError as error:
            # HTTP's takes any error for the absence of a file, and names it as the cause.
            if error.__cause__ and getattr(error.__cause__, "status", None) not in _NOT_FOUND:
                raise
            return ABSENT
    if info["type"] != "file":
        return "is a folder"
    return "is empty" if info["size"] == 0 else ""


def send(file: BinaryIO, url: str) -> None:
    """Write a file to a URL, whole or not at all, unless it is there. Raises SwapError (ARTIFACT_UNREACHABLE)."""
    # fsspec takes the percent signs of a file URI as part of the name.
    _write(file, unquote(url) if url.startswith(FILE) else url)


def send_back(file: BinaryIO, uri: str, stores: Sequence[str]) -> None:
    """Write a file to where a command says that it is, as `send` does.

    Raises SwapError (URI_DENIED, ARTIFACT_UNREACHABLE).
    """
    address = address_of(uri, stores)
    if address.startswith(FILE):
        address = FILE + follow_links(address.removeprefix(FILE), stores)
    _write(file, address)


def _write(file: BinaryIO, address: str) -> None:
    with _foreign_errors(address), system_of(address, [address]) as (system, path):
        if system.exists(path):
            return
        if has_folders(address):
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
        # An object store shows a file once it is complete; on a disk somebody could fetch half of it.
        is_disk = isinstance(system, LocalFileSystem)
        target = f"{path}.{uuid.uuid4().hex}" if is_disk else path
        try:
            with system.open(target, "wb") as sink:
                shutil.copyfileobj(file, sink, _CHUNK)
            if is_disk:
                system.mv(target, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm(target)
            raise


@contextlib.contextmanager
def _foreign_errors(address: str) -> Iterator[None]:
    shown = without_secrets(address)
    try:
        yield
    except SwapError:
        raise
    except ImportError as error:
        why = f"{shown} needs a package that is not installed ({error}){cure_of(address)}"
        raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, why) from error
    except Exception as error:  # each file system of fsspec raises its own errors
        if isinstance(error.__cause__, SwapError):  # HTTP's looks for a file first, and takes any error for its absence
            raise error.__cause__ from error
        reason = hide_secrets(getattr(error, "strerror", None) or str(error) or type(error).__name__, address)
        raise SwapError(
            SwapCode.ARTIFACT_UNREACHABLE,
            f"{shown} cannot be reached: {reason}: check the address, and this machine's access to it",
        ) from error
