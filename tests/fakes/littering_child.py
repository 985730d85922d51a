"""A model host without a model or Java, whose requests leave things behind: each answer echoes its request.

    littering_child.py FD PARENT

"litter" starts a detached process that shares nothing with this one, not even its parent, and creates a file in
/dev/shm; both are named after the host's folder. "exit" ends this process.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hotswap.batch import ScoredBatch
from hotswap.host import frames
from hotswap.host.frames import Kind

if TYPE_CHECKING:
    from fakes.liar_child import FACTS
else:
    sys.path.append(str(Path(__file__).parent))
    from liar_child import FACTS

SLEEPS = "import os, sys, time; os.write(1, b'.'); time.sleep(1000)"
STARTS = "import subprocess, sys; subprocess.Popen(sys.argv[1:], env={}, start_new_session=True)"


def litter() -> None:
    name = Path(os.environ["TMPDIR"]).name
    Path("/dev/shm", name).write_text("left behind")
    sleeper = (sys.executable, "-c", SLEEPS, name)
    starter = (sys.executable, "-c", STARTS, *sleeper)
    with subprocess.Popen(starter, env={}, start_new_session=True, stdout=subprocess.PIPE) as started:
        assert started.stdout
        started.stdout.read(1)


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    frames.receive(connection)
    connection.sendall(frames.pack_facts(Kind.READY, FACTS))
    while message := frames.receive(connection):
        verb, ticket, _, values = message
        if verb == "one_by_one":
            connection.sendall(frames.pack_announcement(ticket, 0))
        if "exit" in (wishes := [bytes(value).decode() for value in values]):
            os._exit(7)
        if "litter" in wishes:
            litter()
        connection.sendall(frames.pack_answers(ticket, ScoredBatch(list(values), {})))


if __name__ == "__main__":
    main()
