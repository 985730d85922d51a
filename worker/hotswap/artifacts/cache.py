"""A folder of entries that several workers of a machine share: an entry is complete, or does not exist.

Each user of an entry holds a shared `flock` on its folder, which the kernel releases when the process dies, however it
dies. So whatever can be locked exclusively is unused: an old entry that may be pruned, or what a killed worker left
half done.
"""

import contextlib
import errno
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from hotswap.local import system

log = logging.getLogger(__name__)


class Cache:
    """Entries by name, each a folder with one `content`, a file or a folder; the least recently used are pruned first.

    Every path that `get` or `put` returns stays until `release`. Safe for threads and for several processes.
    """

    def __init__(self, root: Path, *, max_bytes: int, needed: Callable[[], Collection[str]] = tuple) -> None:
        """`needed` returns the names of entries that are not pruned, although nobody may hold them."""
        self._root = root
        self._max_bytes = max_bytes
        self._needed = needed
        self._mutex = threading.Lock()
        self._held: dict[Path, list[int]] = {}  # content -> descriptors that lock its entry, one per user

    @property
    def root(self) -> Path:
        """The folder that holds the entries."""
        return self._root

    def get(self, name: str) -> Path | None:
        """Return an entry's content, held; None if there is no such entry. Raises OSError."""
        descriptor = _hold(self._root / name)
        return None if descriptor is None else self._keep(name, descriptor)

    def put(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Make an entry and return its content, held: `fill` gets a new folder, and creates `content` in it.

        Whatever `fill` raises propagates, and nothing is left behind. Raises OSError.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            staging, descriptor = _staging(self._root)
            undo.callback(os.close, descriptor)
            undo.callback(shutil.rmtree, staging, ignore_errors=True)
            fill(staging)
            winner = _publish(staging, self._root / name)
            if winner is None:
                undo.pop_all()
        content = self._keep(name, descriptor if winner is None else winner)
        self._prune()
        return content

    def check(self, name: str, find_fault: Callable[[Path], str]) -> bool:
        """Return whether an entry exists and `find_fault` finds none in its folder; discard a faulty entry.

        Its holders hold the replacement instead, once that exists. Raises OSError.
        """
        entry = self._root / name
        descriptor = _hold(entry)
        if descriptor is None:
            return False
        try:
            fault = find_fault(entry)
            if not fault:
                return True
            log.warning("cache.tampered", extra={"entry": name, "why": fault})
            with contextlib.suppress(FileNotFoundError):
                # Another worker may have been faster: then the entry that exists now is a good one.
                if os.path.samestat(entry.stat(), os.fstat(descriptor)):
                    entry.rename(tempfile.mkdtemp(prefix=".gone-", dir=self._root))
        finally:
            os.close(descriptor)
        return False

    def release(self, content: Path) -> None:
        """Undo one `get` or `put`: an entry without users may be pruned."""
        with self._mutex:
            os.close(self._held[content].pop())
            if not self._held[content]:
                del self._held[content]

    def sweep(self) -> None:
        """Remove unfinished files of killed workers."""
        for leftover in self._root.glob(".*"):
            _remove_unused(leftover)

    def _keep(self, name: str, descriptor: int) -> Path:
        # Sets its place in the order of pruning; the kernel's own clock for "now" moves in steps of milliseconds.
        now = time.time_ns()
        os.utime(descriptor, ns=(now, now))
        content = self._root / name / "content"
        with self._mutex:
            held = self._held.setdefault(content, [])
            for other in held:
                # A descriptor of a discarded entry, which this one replaces.
                if not os.path.sameopenfile(other, descriptor):
                    os.dup2(descriptor, other, inheritable=False)
            held.append(descriptor)
        return content

    def _prune(self) -> None:
        self.sweep()
        entries = sorted((entry for entry in self._root.iterdir() if not entry.name.startswith(".")), key=_used_at)
        sizes = {entry: _size(entry) for entry in entries}
        excess = sum(sizes.values()) - self._max_bytes
        needed = self._needed() if excess > 0 else ()
        for entry in entries:
            if excess > 0 and entry.name not in needed and _remove_unused(entry):
                excess -= sizes[entry]
                log.info("cache.pruned", extra={"entry": entry.name, "bytes": sizes[entry]})


def _hold(entry: Path) -> int | None:
    """Lock an entry against removal; None if it does not exist (any more)."""
    try:
        descriptor = system.open_folder(entry)
    except FileNotFoundError:
        return None
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        system.lock(descriptor)
        # Another worker that prunes may rename it between our open and our lock: then we hold what is being removed.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(entry.stat(), os.fstat(descriptor)):
                undo.pop_all()
                return descriptor
    return None


def _staging(root: Path) -> tuple[Path, int]:
    # Between its creation and its lock, another worker may remove the folder as a leftover: then make another.
    while True:
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=root))
        descriptor = _hold(staging)
        if descriptor is not None:
            return staging, descriptor


def _publish(staging: Path, entry: Path) -> int | None:
    """Make the staged folder the entry; if another worker was first, return the hold on its entry instead."""
    while True:
        try:
            staging.rename(entry)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return None
        winner = _hold(entry)
        if winner is not None:
            return winner


def _remove_unused(entry: Path) -> bool:
    with contextlib.suppress(OSError):
        descriptor = system.open_folder(entry)
        try:
            system.lock(descriptor, is_exclusive=True)
            # Renamed first: a worker killed in the middle of the removal must not leave half an entry.
            gone = entry.rename(Path(tempfile.mkdtemp(prefix=".gone-", dir=entry.parent)))
            shutil.rmtree(gone, ignore_errors=True)
        finally:
            os.close(descriptor)
        return True
    return False


def _used_at(entry: Path) -> int:
    with contextlib.suppress(OSError):
        return entry.stat().st_mtime_ns
    return 0


def _size(entry: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(file.lstat().st_size for file in entry.rglob("*"))
    return 0
