"""A real model host that does harm if a file says so: evil_child.py FILE FD PARENT.

`ready` in FILE: it sends READY with 60 MiB of JSON. `setsid`: it starts a process in its own session, which has
`left-behind` and the name of the file in its command line. `loops`: its model does not return from a batch once FILE
contains `loops now`. Without the file it is a normal host.
"""

import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

from hotswap.codec.values import Table
from hotswap.host import child, frames
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.h2o import runtime as h2o

_MIB = 60


def _say_too_much(connection: socket.socket) -> None:
    while (message := frames.receive(connection)) and message[0] != "load":
        pass
    assert message, "the parent is gone"
    body = struct.pack("<BI", frames.Kind.READY, 0) + b'{"x": [' + b"0," * (_MIB << 19) + b"0]}"
    connection.sendall(struct.pack("<I", len(body)) + body)
    time.sleep(60)


def _leave_somebody_behind(file: Path) -> None:
    if not os.fork():
        os.setsid()
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "left-behind", str(file)])


def _loop_when_told(file: Path) -> None:
    class Looping(h2o.H2OModel):
        def score(self, table: Table) -> Table:
            while file.exists() and file.read_text() == "loops now":
                time.sleep(0.1)
            return super().score(table)

    def refuse_the_jvm(*_: object, **__: object) -> NoReturn:
        raise NotFlat("the harm is done in Python")

    vars(h2o).update(H2OModel=Looping, SealingFlatPlan=refuse_the_jvm)


if __name__ == "__main__":
    flag = Path(sys.argv.pop(1))
    asked = flag.read_text() if flag.exists() else ""
    if asked == "ready":
        _say_too_much(socket.socket(fileno=int(sys.argv[1])))
    elif asked == "setsid":
        _leave_somebody_behind(flag)
    elif asked == "loops":
        _loop_when_told(flag)
    child.main()
