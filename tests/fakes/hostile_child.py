"""A model host whose model does harm: a real MOJO, but these values in any numeric column make it misbehave.

Run it instead of hotswap.host.child: ModelHost(child=(sys.executable, str(path_of_this_file)), ...).
"""

import os
import signal
import time

import jpype
import numpy as np

from hotswap.errors import ModelError
from hotswap.host import child
from hotswap.runtimes.h2o import runtime as h2o

KILLS = 66601.0
NEVER_RETURNS = 66602.0
EXHAUSTS_JAVA = 66603.0
RAISES = 66604.0
EXHAUSTS_PYTHON = 66605.0
EXITS = 66606.0

_score = h2o.H2OModel.score


def _exhaust_java() -> None:
    hoard = jpype.JClass("java.util.ArrayList")()
    while True:
        hoard.add(jpype.JArray(jpype.JDouble)(1 << 20))


def _exhaust_python() -> None:
    hoard = []
    while True:
        hoard.append(np.ones(1 << 20))


def _sleep_for_ever() -> None:
    while True:
        time.sleep(60)


def _raise() -> None:
    raise ModelError("the model raised java.lang.IllegalStateException: as it was asked to")


_HARM = {
    KILLS: lambda: os.kill(os.getpid(), signal.SIGKILL),
    NEVER_RETURNS: _sleep_for_ever,
    EXHAUSTS_JAVA: _exhaust_java,
    RAISES: _raise,
    EXHAUSTS_PYTHON: _exhaust_python,
    EXITS: lambda: os._exit(0),
}


def _score_hostile(self, table):
    for value, harm in _HARM.items():
        if (table.matrix == value).any():
            harm()
    return _score(self, table)


def _refuse_the_jvm(*_):
    raise h2o.NotFlat("the harm is done in Python")


if __name__ == "__main__":
    h2o.H2OModel.score = _score_hostile
    h2o.FlatPlan = _refuse_the_jvm
    child.main()
