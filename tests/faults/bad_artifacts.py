"""Archives that ask for more than they weigh, models that name files of others, and stores that never answer."""

import os
import socket
import struct
import zipfile

from faults.storm_commands import MODELS

_CENTRAL = b"PK\x01\x02"
_SIZE_AT = 24
OUTSIDE = ("../../../../../etc/hostname", "/etc/passwd", "..\\secret.txt", "domains/../../secret.txt", "nothing.txt")


def many_inodes(path, *, folders=1_000, deep=128):
    """A zip of half a megabyte: each of its empty files lies in so many folders, which only its name implies."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.ini", "")
        for number in range(folders):
            file.writestr(f"{'/'.join([f'd{number}', *['d'] * deep])}/e", "")
    return path


def nested_jars(path, *, count, size):
    """A zip of jars of so many zeros, a thousandth of that in size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(count):
            file.writestr(f"{number}.jar", bytes(size))
    return path


def claimed_jars(path):
    """A zip of three small jars that are said to be 3.5 GB each."""
    nested_jars(path, count=3, size=1_000)
    made = bytearray(path.read_bytes())
    at = made.find(_CENTRAL)
    while at >= 0:
        struct.pack_into("<I", made, at + _SIZE_AT, 3_500_000_000)
        at = made.find(_CENTRAL, at + 1)
    path.write_bytes(made)
    return path


def names_outside(path, name):
    """A MOJO with this name where one of its own files is named."""
    with zipfile.ZipFile(MODELS["iris_glm"]) as good, zipfile.ZipFile(path, "w") as bad:
        for entry in good.infolist():
            content = good.read(entry)
            if entry.filename == "model.ini":
                head, domains, rest = content.partition(b"[domains]\n")
                line, end, others = rest.partition(b"\n")
                words = line.split(b" ")
                content = head + domains + b" ".join([*words[:-1], name.encode()]) + end + others
            bad.writestr(entry, content)
    return path


def fifo(path):
    """A file that nobody ever writes to: whoever opens it waits."""
    os.mkfifo(path)
    return path


def silent_server():
    """A server that takes connections and never says a word; to be closed."""
    return socket.create_server(("127.0.0.1", 0))
