"""The process that converts a model of scikit-learn. It is shut in as a model host is, since a pickle runs code.

    python -I -B -X utf8 child.py ORDER FD PARENT

It runs in the environment that has scikit-learn and skl2onnx, by its file: only the code of this package that needs
Python's library alone, or what is in that environment, is imported here. ORDER is a file (conversion.py: Order), FD an
end of a socket pair that carries a model host's frames to the parent: SHUT_IN; then FAILED, or READY with the report
and SEALED with the ONNX file.
"""

import json
import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any, Final

_CODE: Final = str(Path(__file__).parents[3])
_MEMORY_BYTES: Final = 4 << 30
_CPU_SECONDS: Final = 1200


def main() -> None:
    """Convert one model."""
    order_file, descriptor, parent = sys.argv[1], *map(int, sys.argv[2:])
    connection = socket.socket(fileno=descriptor)
    sys.path.append(_CODE)  # the last one: the libraries are those of the environment
    from hotswap.errors import SwapError  # noqa: PLC0415
    from hotswap.host import frames  # noqa: PLC0415
    from hotswap.local.lifeline import die_with  # noqa: PLC0415

    die_with(parent)
    order = json.loads(Path(order_file).read_text(encoding="utf-8"))
    try:
        report, content = _convert(order, connection)
        connection.sendall(frames.pack_facts(frames.Kind.READY, report))
        connection.sendall(frames.pack_sealed(0, content))
    except SwapError as error:
        facts = {"code": error.code, "message": error.message[: frames.MAX_REASON]}
        connection.sendall(frames.pack_facts(frames.Kind.FAILED, facts))
    except MemoryError:
        os._exit(frames.OUT_OF_MEMORY)
    os._exit(0)  # what the model started may keep the process alive


def _convert(order: dict[str, Any], connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Return the report (conversion.py: _Report) and the ONNX file. Raises SwapError."""
    from hotswap.errors import SwapCode, SwapError  # noqa: PLC0415
    from hotswap.host import frames  # noqa: PLC0415
    from hotswap.host.sandbox import Enclosure, Sandbox  # noqa: PLC0415

    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    enclosure = Enclosure(Sandbox(folder_mb=order["most_mb"]), needs_loopback=False)
    enclosure.enter([order["model"]])
    _bound()
    try:
        from hotswap.packages.sklearn import working  # noqa: PLC0415 - in the sandbox, and after it is entered
    except ImportError as error:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"{sys.executable} cannot convert models of scikit-learn ({error}): install scikit-learn, skl2onnx>=1.20, "
            "onnxruntime, pandas and skops there",
        ) from error
    sys.path.remove(_CODE)  # what is missing in the environment is not to be found beside this package
    enclosure.close()
    shut = {"kind": "scikit-learn", "holds": enclosure.holds, "missing": enclosure.missing}
    connection.sendall(frames.pack_facts(frames.Kind.SHUT_IN, shut))
    if enclosure.missing and not order["trusts_pickle"]:
        raise SwapError(
            SwapCode.HOST_FAILED,
            f"loading the model runs code that comes with it, and this machine has no sandbox for that "
            f"({'; '.join(enclosure.missing)}): convert it on Linux 5.13 or newer, or pass --trust-pickle if you made "
            "the file yourself",
        )
    return working.work(order)


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 1))
    if sys.platform == "linux":  # elsewhere the limit does not cover mapped memory
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))


if __name__ == "__main__":
    main()
