"""What a model of scikit-learn can be: a pickle, which runs code where it is loaded."""

import asyncio
import contextlib
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

from harness.command import variables

_SAMPLE = Path(__file__).parents[1] / "models" / "sklearn" / "plain.csv"


class _Connects:
    """Its pickle opens a connection to this port."""

    def __init__(self, port):
        self._port = port

    def __reduce__(self):
        return socket.create_connection, (("127.0.0.1", self._port), 2)


async def joblib_that_connects(stage):
    """A joblib that opens a connection where it is loaded: to `hotswap pack`, and as a swap."""
    path = stage.folder / "evil.joblib"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        path.write_bytes(pickle.dumps(_Connects(server.getsockname()[1])))
        pickle.loads(path.read_bytes()).close()
        unconfined = _arrived(server)
        code, said = await asyncio.to_thread(_packed, stage, path)
        command = stage.swap(model=path)
        command.swap.model.kind = "onnx"
        await stage.send(command)
        told = set((await stage.verdicts(command)).values())
        confined = _arrived(server)
    is_good = await stage.is_good(base=1)
    is_refused = code == 1 and "cannot be loaded: PermissionError" in said and told == {"FAILED MODEL_INVALID"}
    seen = (
        f"pack exits {code}{'' if is_refused else f': {said[-300:]}'}, {', '.join(sorted(told)) or 'no verdict'}, "
        f"{confined} connections ({unconfined} without a sandbox), next swap {'READY' if is_good else 'not READY'}"
    )
    return seen, is_refused and (unconfined, confined) == (1, 0) and is_good


def _packed(stage, path):
    """Convert a model by the checkout's command line and this Python; return the exit code and the output."""
    words = ["pack", path, "--sample", _SAMPLE, "--out", stage.folder / "packed", "--python", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", "hotswap", *map(str, words)],
        env=os.environ | variables(stage.deployment), cwd=stage.code / "worker",
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).decode(errors="replace").split())


def _arrived(server):
    """Accept and count the connections that wait."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count
