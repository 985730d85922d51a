"""The process that compiles a proto (protos.py), and contains its cost and its crashes.

    python -m hotswap.client.protoc CPU_SECONDS MEMORY_BYTES text|set < source
    python -m hotswap.client.protoc CPU_SECONDS MEMORY_BYTES file PATH

It prints a FileDescriptorSet for which protobuf could create classes, or a SwapError: `+` or `-`, and the bytes.
It inherits no environment, and bounds its own time and memory. Without a parent it ends by these bounds.
"""

import os
import sys
from pathlib import Path
from typing import Final

from hotswap.local.system import bound_process

OUT_OF_MEMORY: Final = 3
"""The exit code."""


def main() -> None:
    """Compile one proto."""
    cpu_s, memory_bytes, *arguments = sys.argv[1:]
    bound_process(cpu_s=int(cpu_s), memory_bytes=int(memory_bytes))
    try:
        sys.stdout.buffer.write(_compile(*arguments))
        sys.stdout.buffer.flush()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    os._exit(0)  # freeing the pools of a large proto takes long


def _compile(kind: str, path: str = "") -> bytes:
    from hotswap.codec import bounds, proto  # noqa: PLC0415 - within the bounds
    from hotswap.errors import SwapError  # noqa: PLC0415

    try:
        if kind == "file":
            described = proto.gather(Path(path))
        else:
            source = sys.stdin.buffer.read()
            (bounds.check_bytes if kind == "set" else bounds.check_text)(source)
            described = proto.describe(source, kind == "set")
        bounds.check_files(described)
        if kind != "file":
            proto.load(described)
    except SwapError as error:
        return f"-{error.code}\n{error.message}".encode(errors="replace")
    return b"+" + described.SerializeToString()


if __name__ == "__main__":
    main()
