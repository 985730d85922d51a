"""A model host whose model does harm: a real MOJO, but these values in any numeric column make it misbehave.

Run it instead of hotswap.host.child: ModelHost(child=(sys.executable, str(path_of_this_file)), ...).
"""

import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

import jpype
import numpy as np

from hotswap.codec.values import Table
from hotswap.errors import ModelError
from hotswap.host import child, warm
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.h2o import runtime as h2o

KILLS = 66601.0
NEVER_RETURNS = 66602.0
EXHAUSTS_JAVA = 66603.0
RAISES = 66604.0
EXHAUSTS_PYTHON = 66605.0
EXITS = 66606.0


def _exhaust_java() -> None:
    hoard = jpype.JClass("java.util.ArrayList")()
    while True:
        hoard.add(jpype.JArray(jpype.JDouble)(1 << 20))


def _exhaust_python() -> None:
    hoard = []
    while True:
        hoard.append(np.empty(1 << 20))  # what is mapped counts, and takes no time to write


def _sleep_for_ever() -> None:
    while True:
        time.sleep(60)


def _raise() -> None:
    raise ModelError("the model raised java.lang.IllegalStateException: as it was asked to")


_HARM: dict[float, Callable[[], None]] = {
    KILLS: lambda: os.kill(os.getpid(), signal.SIGKILL),
    NEVER_RETURNS: _sleep_for_ever,
    EXHAUSTS_JAVA: _exhaust_java,
    RAISES: _raise,
    EXHAUSTS_PYTHON: _exhaust_python,
    EXITS: lambda: os._exit(0),
}


class _Hostile(h2o.H2OModel):
    def score(self, table: Table) -> Table:
        for value, harm in _HARM.items():
            if (table.matrix == value).any():
                harm()
        return super().score(table)


def _refuse_the_jvm(*_: object, **__: object) -> NoReturn:
    raise NotFlat("the harm is done in Python")


if __name__ == "__main__":
    vars(h2o).update(H2OModel=_Hostile, SealingFlatPlan=_refuse_the_jvm)
    # It is started often.
    vars(warm)["_SIZES"] = (1, 50)
    vars(child)["_JVM_FLAGS"] += ("-XX:TieredStopAtLevel=1",)
    child.main()
