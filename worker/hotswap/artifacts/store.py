"""Fetches artifacts from their store: verifies each while reading, unpacks it safely, and caches it once."""

import asyncio
import contextlib
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

from hotswap.artifacts.archive import check_jars, find_change, unpack
from hotswap.artifacts.cache import Cache
from hotswap.artifacts.detect import explain
from hotswap.artifacts.mojo import check_names
from hotswap.artifacts.places import without_secrets, without_user
from hotswap.errors import SwapCode, SwapError
from hotswap.failpoints import failpoint
from hotswap.generation import MAX_GOLDEN_BYTES, MAX_PROTO_BYTES, Golden, Model, Proto
from hotswap.local.system import IS_POSIX, open_plain

if TYPE_CHECKING:  # the fetching process does not need them, and loading takes a quarter of a second
    from hotswap.settings import Settings

UNPACKED_KINDS = frozenset({"h2o", "python", "python-pickle", "spark"})
"""The kinds of model whose artifact is a zip that the runtime reads as a folder."""
_FILE_OR_ZIP = frozenset({"onnx"})
"""The kinds whose artifact is such a zip if its name ends with .zip, and otherwise a file."""

_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact to fetch: its place, its digest, the largest size allowed in bytes, and whether to unpack it.

    `stores` are the URLs of those that it may be fetched from.
    """

    uri: str
    stores: Sequence[str]
    sha256: str
    max_bytes: int
    is_unpacked: bool
    is_suspect: bool = False
    """Whether to verify the cached copy before using it."""
    is_patient: bool = False
    """Whether to wait for a store that is out of reach: for a process that is ended if that takes too long."""

    @property
    def name(self) -> str:
        """The name of its cache entry: one runtime may need the same bytes unpacked that another needs packed."""
        return f"{self.sha256}.{'unpacked' if self.is_unpacked else 'file'}"


class Fetch(Protocol):
    """Runs `fetch_now` where it can be cancelled."""

    def __call__(self, artifact: Artifact) -> AbstractAsyncContextManager[None]:
        """Fetch the artifact into the cache, held there until the block ends. Raises SwapError as `fetch` does."""


class Store:
    """Artifacts by digest: the methods `fetch` are for a worker, and `upload` for the publisher of a swap."""

    def __init__(
        self,
        settings: "Settings",
        fetch: Fetch | None = None,
        *,
        stores: Sequence[str] | None = None,
        is_dry: bool = False,
    ) -> None:
        """Fetch with `fetch`, which can be cancelled; None: in a thread, enough for a command line that ends anyway.

        `stores`: the URLs of what to fetch from, such as a user's own file; None: the stores that the settings allow.
        `is_dry`: an upload sends nothing, and returns where it would be.
        """
        self._is_dry = is_dry
        self._fetch = fetch
        self._url = settings.store_url.rstrip("/")
        self._stores = settings.stores if stores is None else stores
        self._max_bytes = settings.max_artifact_bytes
        self._cache = Cache(settings.artifacts, max_bytes=settings.cache_max_bytes)

    async def fetch(self, model: Model) -> Path:
        """Return the model's folder (kinds that are unpacked) or file; fetch it only if it is not cached.

        It stays on disk until as many `release` calls name it. Raises SwapError: URI_DENIED (outside of the allowed
        stores), ARTIFACT_UNREACHABLE, DIGEST_MISMATCH, ARTIFACT_INVALID (not a zip, unsafe names, links, too large),
        CACHE_FAILED (this machine's disk).
        """
        return await self._have(self._artifact(model))

    async def verify(self, model: Model) -> None:
        """Verify that a fetched artifact is unchanged; otherwise fetch it again, to the same place.

        Call it before each load: a model runs as this user, and may write to where the next one is loaded from. The
        digest in the command cannot be forged. Raises SwapError as `fetch` does.
        """
        self.release(await self._have(replace(self._artifact(model), is_suspect=True)))

    async def fetch_proto(self, proto: Proto) -> bytes:
        """Return the proto's source, inline or from its store. Raises SwapError as `fetch` does."""
        if proto.source is not None:
            digest = hashlib.sha256(proto.source).hexdigest()
            if proto.sha256 and proto.sha256.lower() != digest:
                raise _mismatch("the proto in the command", proto.sha256, digest)
            return proto.source
        return await self._read(proto.uri or "", proto.sha256, MAX_PROTO_BYTES)

    async def fetch_golden(self, golden: Golden) -> bytes:
        """Return the document of golden answers from its store. Raises SwapError as `fetch` does."""
        return await self._read(golden.uri, golden.sha256, MAX_GOLDEN_BYTES)

    async def _read(self, uri: str, sha256: str, max_bytes: int) -> bytes:
        """Return the content of a small artifact."""
        artifact = Artifact(
            uri=uri,
            stores=self._stores,
            sha256=sha256.lower(),
            max_bytes=max_bytes,
            is_unpacked=False,
            is_suspect=True,
        )
        if not IS_POSIX:  # no folder can be locked, so none is shared
            content = io.BytesIO()
            await _in_thread(lambda stop: _download(artifact, content, stop))
            return content.getvalue()
        path = await self._have(artifact)
        try:
            with _kept(artifact, self._cache):
                return path.read_bytes()
        finally:
            self.release(path)

    async def save(self, model: Model, file: BinaryIO) -> None:
        """Write the model's file as it was published, verified, to an open one. Raises SwapError as `fetch` does."""
        await _in_thread(lambda stop: _download(self._artifact(model), file, stop))

    def release(self, path: Path) -> None:
        """Undo one `fetch`: once no generation of any worker uses the artifact, it may be pruned to free disk space."""
        self._cache.release(path)

    async def upload(self, path: Path) -> tuple[str, str]:
        """Upload a file to the store as `<store>/<sha256>/<name>`, whole or not at all; return its URI and SHA-256.

        The URI has no user info: whoever fetches it has the store's in their settings.

        Raises SwapError (ARTIFACT_UNREACHABLE) if the file cannot be read or the store cannot be written.
        """
        return await asyncio.to_thread(self._upload, path)

    async def upload_proto(self, proto: Proto) -> Proto:
        """Upload an inline proto to the store, as `upload` does a file; return it by its place there.

        Raises SwapError: PROTO_INVALID if it is too large for a worker to fetch; otherwise as `upload` does.
        """
        source = proto.source or b""
        if len(source) > MAX_PROTO_BYTES:
            raise SwapError(
                SwapCode.PROTO_INVALID, f"the proto has {len(source):,} bytes: at most {MAX_PROTO_BYTES:,} are allowed"
            )
        name = "proto.desc" if proto.is_descriptor_set else "proto.proto"
        uri, sha256 = await asyncio.to_thread(self._put, io.BytesIO(source), name)
        return Proto(sha256, uri=uri, is_descriptor_set=proto.is_descriptor_set)

    async def upload_golden(self, content: bytes) -> Golden:
        """Upload a document of golden answers to the store, as `upload` does a file."""
        return Golden(*await asyncio.to_thread(self._put, io.BytesIO(content), "golden.json"))

    async def _have(self, artifact: Artifact) -> Path:
        if self._fetch is None:
            return await _in_thread(lambda stop: fetch_now(self._cache, artifact, stop))
        async with self._fetch(artifact):
            # The fetching process still holds it, so nobody can be removing it, and this does not block.
            with _kept(artifact, self._cache):
                if path := self._cache.get(artifact.name):
                    return path
        raise SwapError(
            SwapCode.CACHE_FAILED, f"{without_secrets(artifact.uri)} was removed from {self._cache.root} by hand"
        )

    def _artifact(self, model: Model) -> Artifact:
        return Artifact(
            uri=model.uri,
            stores=self._stores,
            sha256=model.sha256.lower(),
            max_bytes=self._max_bytes,
            is_unpacked=is_unpacked(model),
        )

    def _upload(self, path: Path) -> tuple[str, str]:
        try:
            with path.open("rb") as file:
                return self._put(file, path.name)
        except OSError as error:
            raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, f"{path} cannot be read: {error.strerror}") from error

    def _put(self, file: io.BufferedReader | io.BytesIO, name: str) -> tuple[str, str]:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        # The name is for people; the digest is what identifies the artifact.
        place = f"{sha256}/{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
        if not self._is_dry:
            from hotswap.artifacts.transfer import send  # noqa: PLC0415 - fsspec: not for a client without an upload

            send(file, f"{self._url}/{place}")
        return f"{without_user(self._url)}/{place}", sha256


def is_unpacked(model: Model) -> bool:
    """Return whether a model's artifact is a zip that the runtime reads as a folder."""
    is_zip = urlsplit(model.uri).path.endswith(".zip")
    return model.kind in UNPACKED_KINDS or (model.kind in _FILE_OR_ZIP and is_zip)


async def _in_thread(function: Callable[[threading.Event], _T]) -> _T:
    # A thread cannot be cancelled: on a time-out it is told to stop at its next chunk and clean up.
    stop = threading.Event()
    try:
        return await asyncio.to_thread(function, stop)
    finally:
        stop.set()


def fetch_now(cache: Cache, artifact: Artifact, stop: threading.Event) -> Path:
    """Fetch the artifact into the cache, held, as `Store.fetch` does; blocks.

    It stops at the next chunk once `stop` is set, or when the whole process is killed.
    """
    if not _SHA256.fullmatch(artifact.sha256):
        shown = without_secrets(artifact.uri)
        raise SwapError(
            SwapCode.ARTIFACT_INVALID,
            f"the digest of {shown} is {artifact.sha256!r}: give the 64 digits that sha256sum prints",
        )
    with _kept(artifact, cache):
        if artifact.is_suspect:
            cache.check(artifact.name, lambda folder: _find_fault(folder, artifact, stop.is_set))
        return cache.get(artifact.name) or cache.put(artifact.name, lambda folder: _fill(folder, artifact, stop))


@contextlib.contextmanager
def _kept(artifact: Artifact, cache: Cache) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SwapError(
            SwapCode.CACHE_FAILED,
            f"{without_secrets(artifact.uri)} cannot be kept in {cache.root}: {error.strerror}: free space there, or "
            "set HOTSWAP_CACHE to a folder on a local disk that the worker may write to",
        ) from error


def _fill(folder: Path, artifact: Artifact, stop: threading.Event) -> None:
    packed, content = folder / "packed", folder / "content"
    name = without_secrets(artifact.uri)
    failpoint("cache.write")
    with packed.open("w+b") as file:
        _download(artifact, file, stop)
        file.flush()
        if artifact.is_unpacked:
            with _explained(packed, name):
                unpack(file, content, name=name, max_bytes=artifact.max_bytes, is_stopped=stop.is_set)
            check_names(content, name=name, is_stopped=stop.is_set)
        else:
            check_jars(file, name=name, max_bytes=artifact.max_bytes, is_stopped=stop.is_set)
    if not artifact.is_unpacked:
        packed.rename(content)


@contextlib.contextmanager
def _explained(packed: Path, name: str) -> Iterator[None]:
    """Describe a file that is not a zip, if it is recognized."""
    try:
        yield
    except SwapError as error:
        if not zipfile.is_zipfile(packed) and (what := explain(packed)):
            raise SwapError(error.code, f"{name} {what}") from error
        raise


def _find_fault(folder: Path, artifact: Artifact, is_stopped: Callable[[], bool]) -> str:
    """Describe the first difference between a cache entry and `_fill`'s output; empty if there is none.

    The unpacked files are compared with the packed file, which therefore stays beside them, and that with its digest.
    """
    content = folder / "content"
    try:
        with open_plain(folder / "packed" if artifact.is_unpacked else content) as file:
            digest = hashlib.sha256()
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                digest.update(chunk)
                if is_stopped() or file.tell() > artifact.max_bytes:
                    break
            fault = "" if digest.hexdigest() == artifact.sha256 else "it has another digest"
            if not fault and artifact.is_unpacked:
                fault = "its folder is a link" if content.is_symlink() else ""
                fault = fault or find_change(file, content, is_stopped=is_stopped)
    except OSError as error:
        fault = str(error)
    if is_stopped():
        raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, f"{without_secrets(artifact.uri)} was not verified in time")
    return fault


def _download(artifact: Artifact, file: BinaryIO, stop: threading.Event) -> None:
    from hotswap.artifacts.transfer import read  # noqa: PLC0415 - fsspec: not for a client without a download

    digest, size = hashlib.sha256(), 0
    shown = without_secrets(artifact.uri)
    # Closed here: a traceback would keep it, and so its connection.
    with contextlib.closing(read(artifact.uri, artifact.stores, is_patient=artifact.is_patient)) as chunks:
        for chunk in chunks:
            if stop.is_set():
                raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, f"{shown} was abandoned: it did not arrive in time")
            size += len(chunk)
            if size > artifact.max_bytes:
                raise SwapError(
                    SwapCode.ARTIFACT_INVALID, f"{shown} is larger than the {artifact.max_bytes:,} bytes allowed"
                )
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != artifact.sha256:
        raise _mismatch(shown, artifact.sha256, digest.hexdigest())


def _mismatch(name: str, expected: str, actual: str) -> SwapError:
    return SwapError(
        SwapCode.DIGEST_MISMATCH,
        f"{name} has the SHA-256 {actual}, but the command says {expected}: it was changed or damaged after it was "
        "published; publish it again",
    )
