"""Reads from the allowed stores and writes to the one of the settings, with fsspec, whose errors end here."""

import contextlib
import re
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from hotswap.artifacts.places import FILE, address_of, follow_links, hide_secrets, without_secrets
from hotswap.errors import SwapCode, SwapError

_CHUNK: Final = 1 << 20


def read(uri: str, stores: Sequence[str]) -> Iterator[bytes]:
    """Yield the bytes of an artifact, at most a MiB at a time. Raises SwapError (URI_DENIED, ARTIFACT_UNREACHABLE)."""
    with _found(uri, stores) as (system, path, options), system.open(path, "rb", **options) as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def find(uri: str, stores: Sequence[str]) -> None:
    """Look for an artifact, and read nothing of it. Raises SwapError (URI_DENIED, ARTIFACT_UNREACHABLE)."""
    with _found(uri, stores) as (system, path, _):
        system.invalidate_cache()
        system.info(path)


def send(file: BinaryIO, url: str) -> None:
    """Write a file to a URL, whole or not at all, unless it is there. Raises SwapError (ARTIFACT_UNREACHABLE)."""
    with _foreign_errors(url):
        # fsspec takes the percent signs of a file URI as part of the name.
        system, path = fsspec.core.url_to_fs(unquote(url) if url.startswith(FILE) else url)
        if system.exists(path):
            return
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
def _found(uri: str, stores: Sequence[str]) -> Iterator[tuple[fsspec.AbstractFileSystem, str, Mapping[str, Any]]]:
    """Yield the file system of an artifact's store, its path there, and the options to open it with."""
    address = address_of(uri, stores)
    with _foreign_errors(address):
        if address.startswith(FILE):
            yield LocalFileSystem(), follow_links(address.removeprefix(FILE), stores), {}
        elif re.match("https?:", address, re.IGNORECASE):
            system, path = fsspec.core.url_to_fs(address, **_http_options(address, stores))
            # As a stream: a server that sends more than the range that it was asked for would fill the memory.
            yield system, path, {"block_size": 0}
        else:
            yield *fsspec.core.url_to_fs(address), {}


def _http_options(address: str, stores: Sequence[str]) -> Mapping[str, Any]:
    """Return options with which HTTP's file system checks each place before it connects, so that of a redirect."""
    from yarl import URL  # noqa: PLC0415 - comes with aiohttp, which only HTTP's file system needs

    allowed = [str(URL(store)) for store in stores if store.lower().startswith("http")]

    async def check(request: Any, go_on: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            address_of(str(request.url), allowed)
        except SwapError as denied:
            raise SwapError(denied.code, f"{without_secrets(address)} is redirected: {denied.message}") from denied
        return await go_on(request)

    headers = {"Accept-Encoding": "identity"}  # the digest is that of the file itself
    return {"client_kwargs": {"middlewares": (check,), "headers": headers}, "skip_instance_cache": True}


@contextlib.contextmanager
def _foreign_errors(address: str) -> Iterator[None]:
    shown = without_secrets(address)
    try:
        yield
    except SwapError:
        raise
    except ImportError as error:
        cure = ": install the extra `http` (pip install 'hotswap[http]')" if shown.startswith("http") else ""
        why = f"{shown} needs a package that is not installed: {error}{cure}"
        raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, why) from error
    except Exception as error:  # each file system of fsspec raises its own errors
        if isinstance(error.__cause__, SwapError):  # HTTP's looks for a file first, and takes any error for its absence
            raise error.__cause__ from error
        reason = hide_secrets(getattr(error, "strerror", None) or str(error) or type(error).__name__, address)
        raise SwapError(
            SwapCode.ARTIFACT_UNREACHABLE,
            f"{shown} cannot be reached: {reason}: check the address, and this machine's access to it",
        ) from error
