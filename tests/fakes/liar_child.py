"""A model host without a model: it echoes each request, but sends a malformed answer to the first batch.

It says that it can answer record batches, and answers an order to do so with other frames.

    liar_child.py FILE FD PARENT

FILE says how, and is deleted before the lie: the next process is honest. It does not lie in a one-by-one retry, unless
the lie is "not in turn".
"""

import pickle
import socket
import struct
import sys
import threading
from pathlib import Path

from hotswap.batch import ScoredBatch
from hotswap.host import frames
from hotswap.host.frames import Kind

FACTS = {
    "operations": ["echo"],
    "inputs": {},
    "outputs": {},
    "columns": "",
    "paths": {},
    "seals": True,
    "phase_seconds": {"load": 0, "warm": 0},
}


def framed(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def lie(how: str, ticket: int, values: list[bytes]) -> bytes:
    head = struct.pack("<BI", Kind.ANSWER, ticket)
    if how == "sleeps":
        threading.Event().wait()
    return {
        "too few": frames.pack_answers(ticket, ScoredBatch(values[1:], {})),
        "too many": frames.pack_answers(ticket, ScoredBatch([*values, b""], {})),
        "no frame": framed(b"\xff" * 100),
        "a huge frame": struct.pack("<I", 0xFFFFFFFF) + head,
        "a pickle": framed(head + pickle.dumps(values)),
        "another kind": framed(struct.pack("<BI", Kind.READY, ticket) + b"{}"),
        "no such code": framed(head + struct.pack("<4I", 20, 2, 8, 0) + b"MADE_UP " + struct.pack("<2I", 1, 0) + b"{}"),
        "not in turn": frames.pack_announcement(ticket, 1),
    }[how]


def main() -> None:
    file, connection = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    frames.receive(connection)
    connection.sendall(frames.pack_facts(Kind.READY, FACTS))
    while message := frames.receive(connection):
        verb, ticket, _, values = message
        values = [] if verb == "seal" else list(values)
        if verb == "seal":
            connection.sendall(frames.pack_answers(ticket, ScoredBatch([], {})))
        elif file.exists():
            how = file.read_text()
            file.unlink()
            connection.sendall(lie(how, ticket, values))
        elif verb == "score":
            connection.sendall(frames.pack_answers(ticket, ScoredBatch(values, {})))
        else:
            for index, value in enumerate(values):
                connection.sendall(frames.pack_announcement(ticket, index))
                connection.sendall(frames.pack_answers(ticket, ScoredBatch([value], {})))


if __name__ == "__main__":
    main()
