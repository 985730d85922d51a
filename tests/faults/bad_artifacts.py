"""Archives that unpack to far more than their size, models that name foreign files, and stores that never answer."""

import os
import socket
import struct
import zipfile

from faults.storm_commands import MODELS

_CENTRAL = b"PK\x01\x02"
_SIZE_AT = 24
OUTSIDE = ("../../../../../etc/hostname", "/etc/passwd", "..\\secret.txt", "domains/../../secret.txt", "nothing.txt")


def many_inodes(path, *, folders=1_000, deep=128):
    """Write a zip of half a megabyte: each of its empty files is in many folders that only its name implies."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.ini", "")
        for number in range(folders):
            file.writestr(f"{'/'.join([f'd{number}', *['d'] * deep])}/e", "")
    return path


def nested_jars(path, *, count, size):
    """Write a zip of jars full of zeros, a thousandth of their unpacked size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(count):
            file.writestr(f"{number}.jar", bytes(size))
    return path


def claimed_jars(path):
    """Write a zip of three small jars that claim to be 3.5 GB each."""
    nested_jars(path, count=3, size=1_000)
    made = bytearray(path.read_bytes())
    at = made.find(_CENTRAL)
    while at >= 0:
        struct.pack_into("<I", made, at + _SIZE_AT, 3_500_000_000)
        at = made.find(_CENTRAL, at + 1)
    path.write_bytes(made)
    return path


def names_outside(path, name):
    """Write a MOJO with this name in place of one of its own files."""
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
    """Make a FIFO that nobody writes to: opening it blocks."""
    os.mkfifo(path)
    return path


def silent_server(port=0):
    """Start a server that accepts connections and never answers; the caller closes it."""
    return socket.create_server(("127.0.0.1", port))
