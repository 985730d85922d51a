"""Named points between two steps of the work, where a test lets this process die, stand still or run out of disk.

Off, at the cost of one look at an empty mapping, unless the environment asks for them when the process starts:

    HOTSWAP_FAILPOINTS="commit.sent=kill@3,open.fenced=stop@1"

means: the third time that `commit.sent` is passed the process kills itself, the first time that `open.fenced` is passed
it stops until somebody continues it. A fault that is placed so hits the one moment between two calls that a kill from
outside would have to be lucky to find.
"""

import errno
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable

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
"""Every failpoint there is, in the order of a worker's life."""


def _kill() -> None:
    os.kill(_victim or os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(_victim or os.getpid(), signal.SIGSTOP)


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_ACTIONS: dict[str, Callable[[], None]] = {"kill": _kill, "stop": _stop, "full": _full}
_armed: dict[tuple[str, int], str] = {}
_passed: Counter[str] = Counter()
_victim = 0  # this process itself


def _parse(text: str) -> dict[tuple[str, int], str]:
    """(name, which time it is passed) -> action."""
    armed = {}
    for word in filter(None, text.split(",")):
        name, _, what = word.partition("=")
        action, _, count = what.partition("@")
        if name not in NAMES or action not in _ACTIONS or not (count or "1").isdigit():
            raise StartError(
                f"HOTSWAP_FAILPOINTS: {word} is no NAME=ACTION@COUNT; the actions are {', '.join(_ACTIONS)}, the names "
                f"{', '.join(NAMES)}"
            )
        armed[name, int(count or 1)] = action
    return armed


def arm(text: str, *, victim: int = 0) -> None:
    """Arms the failpoints of a text as above; it is for the start of a process.

    In a process that works for a worker, the worker is the `victim` that dies or stands still.

    Raises:
        StartError: a name or an action that there is not.

    """
    global _victim  # noqa: PLW0603 - as the rest of this module it is of the process
    _victim = victim
    _armed.update(_parse(text))


def failpoint(name: str) -> None:
    """Passes the point `name`, of NAMES; does nothing unless it is armed.

    Raises:
        OSError: no space left on the device, where that is asked for.

    """
    if not _armed:
        return
    _passed[name] += 1
    action = _armed.get((name, _passed[name]))
    if action:
        log.warning("failpoint.hit", extra={"failpoint": name, "action": action, "time_passed": _passed[name]})
        _ACTIONS[action]()
