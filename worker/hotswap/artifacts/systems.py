"""The file system of an allowed store, opened with fsspec: confined to that store, with bounded reads.

Its credentials are found by its own library, in the environment and the files that this names, never in a command.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, Protocol

import fsspec
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

from hotswap.artifacts.objects import Object
from hotswap.artifacts.places import FILE, address_of, follow_links, without_secrets
from hotswap.errors import SwapCode, SwapError

_OBJECTS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure"}
_EXTRAS: Final = {"http": "http", "https": "http", **_OBJECTS}
"""The extra with the packages that a scheme needs; other schemes need packages that hotswap has no extra for."""


class ReadableFile(Protocol):
    """A file that is read from its beginning."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at its end."""


@contextlib.contextmanager
def system_of(address: str, stores: Sequence[str]) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Yield the file system of an address in these stores, and the path there; a file's without percent encoding.

    Raises ImportError if a package is not installed, and whatever fsspec does for an address that it cannot take.
    """
    fsspec.get_filesystem_class(_scheme(address))  # its error names the package that is missing
    options = _OPTIONS.get(_scheme(address))
    system, path = fsspec.core.url_to_fs(address, **(options(address, stores) if options else {}))
    try:
        yield system, path
    finally:
        if _is_s3(address):  # it lies in a cycle, and would keep its connections until that is collected
            sync(system.loop, system.s3.close)


@contextlib.contextmanager
def system_to_read(address: str, stores: Sequence[str]) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Yield the same for an address from `address_of`, with a file's links followed.

    Raises:
        SwapError: URI_DENIED, a link leads out of the stores.

    """
    if address.startswith(FILE):
        yield LocalFileSystem(), follow_links(address.removeprefix(FILE), stores)
    else:
        with system_of(address, stores) as system:
            yield system


def cure_of(address: str) -> str:
    """Return the installation advice for an address whose package is missing; empty if no extra has it."""
    extra = _EXTRAS.get(_scheme(address))
    return f": install the extra `{extra}` (pip install 'hotswap[{extra}]')" if extra else ""


def has_folders(address: str) -> bool:
    """Whether a store needs folders made: object stores have none, and would make a missing bucket instead."""
    return _scheme(address) not in _OBJECTS


def open_to_read(
    system: fsspec.AbstractFileSystem, path: str, address: str, *, is_patient: bool
) -> AbstractContextManager[ReadableFile]:
    """Open a file; as a stream where a server could fill the memory by more than the range that it is asked for.

    `is_patient`: wait for S3 while it is out of reach, for ever.
    """
    if _is_s3(address):
        return contextlib.closing(Object(system, path, is_patient=is_patient))
    options = {"block_size": 0} if _EXTRAS.get(_scheme(address)) == "http" else {}
    file: AbstractContextManager[ReadableFile] = system.open(path, "rb", **options)
    return file


def _scheme(address: str) -> str:
    return address.partition("://")[0].lower()


def _is_s3(address: str) -> bool:
    return _EXTRAS.get(_scheme(address)) == "s3"


def _http_options(address: str, stores: Sequence[str]) -> Mapping[str, Any]:
    """Return options with which HTTP's file system checks each place before it connects, so that of a redirect."""
    from yarl import URL  # noqa: PLC0415 - comes with aiohttp, which only HTTP's file system needs

    allowed = [str(URL(store)) for store in stores if store.lower().startswith("http")]

    async def check(request: Any, go_on: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            address_of(str(request.url), allowed)
        except SwapError as denied:
            raise _redirected(address, denied.message) from denied
        return await go_on(request)

    headers = {"Accept-Encoding": "identity"}  # the digest is that of the file itself
    return {"client_kwargs": {"middlewares": (check,), "headers": headers}, "skip_instance_cache": True}


def _s3_options(_address: str, _stores: Sequence[str]) -> Mapping[str, Any]:
    """Return options with which S3's file system follows no redirect, as botocore itself does not.

    aiobotocore 3.10 leaves that to aiohttp, which takes a session's token along to wherever it is sent. What remains is
    botocore's own: to ask Amazon again in the region that the bucket is in.
    """
    from aiobotocore.httpsession import AIOHTTPSession  # noqa: PLC0415 - only S3's file system needs it

    class Direct(AIOHTTPSession):  # type: ignore[misc] # without types
        async def _get_session(self, proxy: Any) -> Any:
            session = await super()._get_session(proxy)
            return SimpleNamespace(request=partial(session.request, allow_redirects=False))

    return {"config_kwargs": {"http_session_cls": Direct}, "skip_instance_cache": True}


def _gcs_options(address: str, _stores: Sequence[str]) -> Mapping[str, Any]:
    """Return options with which Google's file system follows no redirect."""

    async def check(request: Any, go_on: Callable[[Any], Awaitable[Any]]) -> Any:
        response = await go_on(request)
        if "Location" in response.headers and response.status in (301, 302, 303, 307, 308):
            raise _redirected(address, "redirects are not followed here")
        return response

    return {"session_kwargs": {"middlewares": (check,)}, "skip_instance_cache": True}


def _redirected(address: str, why: str) -> SwapError:
    return SwapError(SwapCode.URI_DENIED, f"{without_secrets(address)} is redirected: {why}")


_OPTIONS: Final[Mapping[str, Callable[[str, Sequence[str]], Mapping[str, Any]]]] = {
    **dict.fromkeys(("http", "https"), _http_options),
    **dict.fromkeys(("s3", "s3a"), _s3_options),
    **dict.fromkeys(("gs", "gcs"), _gcs_options),
}
