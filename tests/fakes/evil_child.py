"""A real model host that does harm where a file says so: evil_child.py FILE FD PARENT.

`ready` in FILE: READY with 60 MiB of JSON in it. `setsid`: it starts a process in a session of its own, and writes that
process's id behind the word. Without the file it is a host as any other.
"""

import os
import socket
import struct
import sys
import time
from pathlib import Path

from worker.host import child, frames

_MIB = 60


def _say_too_much(connection):
    while frames.receive(connection)[0] != "load":
        pass
    body = struct.pack("<BI", frames.Kind.READY, 0) + b'{"x": [' + b"0," * (_MIB << 19) + b"0]}"
    connection.sendall(struct.pack("<I", len(body)) + body)
    time.sleep(60)


def _leave_somebody_behind(file):
    pid = os.fork()
    if pid:
        file.write_text(f"setsid {pid}")
        return
    os.setsid()
    for number in range(3, 256):
        try:
            os.close(number)
        except OSError:
            continue
    time.sleep(600)
    os._exit(0)


if __name__ == "__main__":
    flag = Path(sys.argv.pop(1))
    asked = flag.read_text() if flag.exists() else ""
    if asked == "ready":
        _say_too_much(socket.socket(fileno=int(sys.argv[1])))
    elif asked == "setsid":
        _leave_somebody_behind(flag)
    child.main()
