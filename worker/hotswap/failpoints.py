"""Named points between two steps, where a test can kill or stop this process, or make its disk full.

Off, at the cost of checking an empty mapping, unless the environment arms them when the process starts:

    HOTSWAP_FAILPOINTS="commit.sent=kill@3,open.fenced=stop@1"

means: the process kills itself the third time it passes `commit.sent`, and stops (SIGSTOP) the first time it passes
`open.fenced`, until it is continued. Such a fault hits exactly the moment between two calls that a kill from outside
would hit only by luck.
"""

import errno
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial

from hotswap.errors import StartError

log = logging.getLogger(__name__)

NAMES = (
    "start.joining",
    "control.received",
    "membership.assigned",
    "membership.revoked",
    "open.begun",
    "open.fenced",
    "open.cleaned",
    "open.read",
    "batch.taken",
    "cut_over.begun",
    "commit.begun",
    "commit.offsets_sent",
    "batch.scored",
    "batch.written",
    "commit.sent",
    "commit.acknowledged",
    "commit.done",
    "stage.begun",
    "stage.fetched",
    "stage.ready",
    "retire.begun",
    "stop.begun",
    "stop.drained",
    "cache.write",
)
"""All failpoints, in the order of a worker's life."""


def _strike(name: str) -> None:
    os.kill(_victim or os.getpid(), signal.Signals[name])  # by its name: Windows has neither, nor failpoints


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_ACTIONS: dict[str, Callable[[], None]] = {
    "kill": partial(_strike, "SIGKILL"),
    "stop": partial(_strike, "SIGSTOP"),
    "full": _full,
}
_armed: dict[tuple[str, int], str] = {}
_passed: Counter[str] = Counter()
_victim = 0  # this process itself


def _parse(text: str) -> dict[tuple[str, int], str]:
    """Parse a specification to (name, nth pass) -> action."""
    armed = {}
    for word in filter(None, text.split(",")):
        name, _, what = word.partition("=")
        action, _, count = what.partition("@")
        if name not in NAMES or action not in _ACTIONS or not (count or "1").isdigit():
            raise StartError(
                f"HOTSWAP_FAILPOINTS: {word} is not NAME=ACTION@COUNT; actions: {', '.join(_ACTIONS)}; names: "
                f"{', '.join(NAMES)}"
            )
        armed[name, int(count or 1)] = action
    return armed


def arm(text: str, *, victim: int = 0) -> None:
    """Arm the failpoints that a text specifies (see above), when a process starts.

    In a process that works for a worker, `victim` is the worker's process id: the worker is killed or stopped.

    Raises:
        StartError: unknown name or action.

    """
    global _victim  # noqa: PLW0603 - process-wide, like the rest of this module
    _victim = victim
    _armed.update(_parse(text))


def failpoint(name: str) -> None:
    """Pass the failpoint `name`, one of NAMES; does nothing unless it is armed.

    Raises:
        OSError: no space left on device, for the action `full`.

    """
    if not _armed:
        return
    _passed[name] += 1
    action = _armed.get((name, _passed[name]))
    if action:
        log.warning("failpoint.hit", extra={"failpoint": name, "action": action, "time_passed": _passed[name]})
        _ACTIONS[action]()
