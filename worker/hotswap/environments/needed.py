"""The environments that each consumer group needs on this machine, also while its worker is down: they are not pruned.

One file for each group, beside the cache, with a name on each line. What was written more than 30 days ago no longer
counts: its worker does not come back.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

_FOR_SECONDS: Final = 30 * 86_400
_LONGEST_NAME: Final = 200  # bytes
_MAX_BYTES: Final = 1 << 20


class NeededEnvironments:
    """What is needed, by owner; safe for threads and for several processes."""

    def __init__(self, folder: Path) -> None:
        """`folder` has the files; it need not exist."""
        self._folder = folder

    @classmethod
    def beside(cls, root: Path) -> "NeededEnvironments":
        """Return the one of the cache in the folder `root`."""
        return cls(root.with_name(f"{root.name}-needed"))

    def keep(self, owner: str, names: Iterable[str]) -> None:
        """Write which environments an owner needs now, in place of what it needed before. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(prefix=".writing-", dir=self._folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{name}\n" for name in sorted(set(names)))
                file.flush()
                os.fsync(file.fileno())
            Path(path).replace(self._folder / _file_name(owner))
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise

    def names(self) -> frozenset[str]:
        """Return the names of all environments that some owner needs. Raises OSError: what is needed is not known."""
        since = time.time() - _FOR_SECONDS
        needed: set[str] = set()
        for path in self._folder.glob("[!.]*"):
            try:
                if path.stat().st_mtime >= since:
                    with path.open(encoding="utf-8", errors="replace") as file:
                        needed.update(file.read(_MAX_BYTES).split())
            except FileNotFoundError:
                continue  # removed by hand meanwhile
        return frozenset(needed)


def _file_name(owner: str) -> str:
    name = quote(owner, safe="").replace(".", "%2E") or "%"
    return name if len(name) <= _LONGEST_NAME else f"%{hashlib.sha256(owner.encode()).hexdigest()}"
