"""Starts a gateway or a console that notes its event loop's pauses; see `Gateway`.

    python -m harness.pauses FILE gateway DEPLOYMENT …

FILE has the longest pause, in seconds; to empty it begins anew. A pause is from one look for what is ready to the next:
nobody is served meanwhile. What counts is the process's own CPU time, in any thread, for that may hold Python's lock:
another process on the same core makes a pause no longer.
"""

import asyncio
import selectors
import sys
import threading
import time
from pathlib import Path

_LEAST_S = 0.001


def watch(file: Path) -> None:
    """Note the pauses of the main thread's loop from now on."""
    select, main = selectors.DefaultSelector.select, threading.main_thread()
    since = 0.0

    def noting(self: selectors.DefaultSelector, timeout: float | None = None) -> object:
        nonlocal since
        if threading.current_thread() is not main:
            return select(self, timeout)
        now = time.process_time()
        if since and now - since > _LEAST_S:
            longest = float(file.read_text() or 0)
            if now - since > longest:
                file.write_text(str(now - since))
        try:
            return select(self, timeout)
        finally:
            since = time.process_time()

    selectors.DefaultSelector.select = noting  # type: ignore[assignment,method-assign]


def main() -> None:
    """Note the pauses, and be what is asked for."""
    file = Path(sys.argv.pop(1))
    file.touch()
    assert asyncio.SelectorEventLoop is not None
    watch(file)
    from hotswap.__main__ import main as hotswap  # noqa: PLC0415 - watched from its start

    hotswap()


if __name__ == "__main__":
    main()
