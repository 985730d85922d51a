"""The session that a model host leads, which stands behind others at first.

Where Linux has autogroups (sched(7)) it divides the CPU among sessions, and nice values count within one only: those of
a host's threads (child.py) would not keep it from what serves. So its supervisor starts it with a nice session; it
comes forward before it serves, or if it takes long. In a container there are none: its processes are one group, and
nice values count.
"""

import contextlib
import os
import re
import time
from typing import Final

_AUTOGROUP: Final = "/proc/self/autogroup"
_AGAIN_S: Final = 0.02


class Session:
    """This process's session; to be opened before the sandbox closes /proc."""

    def __init__(self) -> None:
        """Find out whether it stands behind others."""
        self._file: int | None = None
        with contextlib.suppress(OSError):
            file = os.open(_AUTOGROUP, os.O_RDWR | os.O_CLOEXEC)
            if re.search(rb"nice 0$", os.read(file, 100).rstrip()):
                os.close(file)
            else:
                self._file = file

    def come_forward(self) -> None:
        """Let it have as much CPU as others, if it has not already: unprivileged, as no session may go before others.

        Linux changes one session's value each 0.1 s, whosever it is: it may take that long.
        """
        if self._file is None:
            return
        while True:
            try:
                os.write(self._file, b"0")
                break
            except BlockingIOError:
                time.sleep(_AGAIN_S)
            except OSError:
                break  # forbidden here: better behind others than not at all
        os.close(self._file)
        self._file = None
