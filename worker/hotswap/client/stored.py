"""The artifacts of a deployment in their stores: finding them, and restoring the missing ones."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from hotswap.artifacts.cache import Cache
from hotswap.artifacts.detect import as_file
from hotswap.artifacts.transfer import ABSENT, find_absence, read, send_back
from hotswap.client.needed import ArtifactState, Needed, Presence
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.local.system import IS_POSIX
from hotswap.settings import Settings

_AT_ONCE: Final = 20
_LOOK_S: Final = 10.0


class ArtifactOutcome(StrEnum):
    """The outcome for a needed artifact: its `ArtifactState`, or the result of `restore`."""

    THERE = "there"
    RESTORED = "restored"
    MISSING = "missing"
    OCCUPIED = "occupied"
    """Another object is at its place, which is not overwritten."""
    UNKNOWN = "unknown"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Restored:
    """An artifact and its outcome; `what` is the source of the copy, or why it is not there."""

    needed: Needed
    outcome: ArtifactOutcome
    what: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it is in its store now."""
        return self.outcome in (ArtifactOutcome.THERE, ArtifactOutcome.RESTORED)


async def look(settings: Settings, needed: Sequence[Needed]) -> dict[Needed, Presence]:
    """Look up artifacts in their stores, some at once, without fetching them.

    A store that does not answer within 10 s leaves it unknown.
    """
    looked: dict[Needed, Presence] = {}
    for at in range(0, len(needed), _AT_ONCE):
        chunk = needed[at : at + _AT_ONCE]
        looked |= zip(chunk, await asyncio.gather(*(_ask(one, settings.stores) for one in chunk)), strict=True)
    return looked


async def _ask(one: Needed, stores: Sequence[str]) -> Presence:
    # A daemon: a thread that hangs in a dead file system would otherwise keep this process from ending.
    loop, answer = asyncio.get_running_loop(), asyncio.Event()
    result = [Presence(ArtifactState.UNKNOWN, f"{one.place} was not found within {_LOOK_S:g} s")]

    def ask() -> None:
        result[0] = _presence(one, stores)
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(answer.set)

    threading.Thread(target=ask, daemon=True).start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(answer.wait(), _LOOK_S)
    return result[0]


def _presence(one: Needed, stores: Sequence[str]) -> Presence:
    try:
        why = find_absence(one.uri, stores)
    except SwapError as error:
        return Presence(
            ArtifactState.DENIED if error.code is SwapCode.URI_DENIED else ArtifactState.UNKNOWN, error.message
        )
    return Presence(ArtifactState.MISSING, why) if why else Presence(ArtifactState.THERE)


class Restorer:
    """Puts missing artifacts back from `files`, or else from this machine's cache; use it in a `with` block."""

    def __init__(self, settings: Settings, files: Iterable[Path]) -> None:
        """Raise UsageError if a file cannot be read."""
        self._stores = settings.stores
        self._root = settings.artifacts
        # Without locks, as on Windows, nothing is cached.
        self._cache = Cache(self._root, max_bytes=settings.cache_max_bytes) if IS_POSIX else None
        self._files = files
        self._sources: dict[str, tuple[Path, Path]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            for path in self._files:
                file = undo.enter_context(as_file(path))
                self._sources[_digest(file)] = path, file
            self._stack = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def unneeded(self, needed: Iterable[Needed]) -> Iterator[str]:
        """Yield a message for each of the files that is not a needed artifact."""
        wanted = {one.sha256 for one in needed}
        for sha256, (path, _) in self._sources.items():
            if sha256 not in wanted:
                yield f"{path} (SHA-256 {sha256}) is not one of the needed artifacts"

    def restore(self, looked: Mapping[Needed, Presence]) -> Iterator[Restored]:
        """Restore missing artifacts, each verified by its digest first; nothing is overwritten."""
        for one, (state, why) in looked.items():
            try:
                yield self._restore(one, state, why)
            except SwapError as error:
                yield Restored(one, ArtifactOutcome(state), error.message)

    def _restore(self, one: Needed, state: ArtifactState, why: str) -> Restored:
        if state is ArtifactState.THERE:
            if one.sha256 in self._sources and (digest := self._digest_of(one)) != one.sha256:
                return _occupied(one, f"has the SHA-256 {digest}, and not {one.sha256}")
            return Restored(one, ArtifactOutcome.THERE)
        if state is not ArtifactState.MISSING:
            return Restored(one, ArtifactOutcome(state), why)
        if why != ABSENT:
            return _occupied(one, why)
        with self._copies(one.sha256) as copies:
            for name, path in copies:
                if _sent_back(path, one, self._stores):
                    return Restored(one, ArtifactOutcome.RESTORED, name)
        return Restored(
            one, ArtifactOutcome.MISSING, f"neither the files nor {self._root} have its SHA-256, {one.sha256}"
        )

    @contextlib.contextmanager
    def _copies(self, sha256: str) -> Iterator[Iterator[tuple[str, Path]]]:
        """Yield possible copies, each with its name and path; those of the cache are held meanwhile."""
        with ExitStack() as held:
            yield self._candidates(sha256, held)

    def _candidates(self, sha256: str, held: ExitStack) -> Iterator[tuple[str, Path]]:
        if sha256 in self._sources:
            path, file = self._sources[sha256]
            yield str(path), file
        for name in ("file", "unpacked"):
            if self._cache and (content := self._cache.get(f"{sha256}.{name}")):
                held.callback(self._cache.release, content)
                yield f"the cache, {self._root}", content if name == "file" else content.parent / "packed"

    def _digest_of(self, one: Needed) -> str:
        digest = hashlib.sha256()
        with contextlib.closing(read(one.uri, self._stores)) as chunks:
            for chunk in chunks:
                digest.update(chunk)
        return digest.hexdigest()


def _sent_back(path: Path, one: Needed, stores: Sequence[str]) -> bool:
    """Write a file to an artifact's place if it has its digest, and return whether it has. Raises SwapError."""
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != one.sha256:
                return False
            file.seek(0)
            send_back(file, one.uri, stores)
    except OSError as error:
        raise SwapError(SwapCode.CACHE_FAILED, f"{path} cannot be read: {error.strerror}") from error
    return True


def _occupied(one: Needed, why: str) -> Restored:
    return Restored(one, ArtifactOutcome.OCCUPIED, f"the object at its place {why}: move it away, and restore again")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
