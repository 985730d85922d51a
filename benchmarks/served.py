"""Servers of one model over HTTP, each as an expert runs it for single rows: MLServer and BentoML.

MLServer (V2, JSON) scores in its own process instead of a pool's, and logs no calls; BentoML has one worker, and no
access log. Each is in its own environment, which `make bench-servers` sets up; their libraries have one thread.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from contender import ROOT
from kinds import Contender as Kind
from python_libraries import matrix_of

from hotswap.local.kafka import free_ports
from hotswap.local.lifeline import start_watchdog

HOTSWAP, MLSERVER, BENTOML = "Hotswap", "MLServer", "BentoML"
_FOLDERS = {MLSERVER: ROOT / ".venv-mlserver", BENTOML: ROOT / ".venv-bentoml"}
_RUNTIMES = {
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
    "python": "server_mlserver.Function",
}
"""MLServer has none for ONNX; the function's is ours."""
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server takes a row: its port, its path, and how it wants a row."""

    port: int
    path: str
    is_ours: bool = False
    is_v2: bool = False

    def body(self, row: Mapping[str, Any]) -> bytes:
        """Return the body of a request."""
        if self.is_ours:
            return json.dumps(row).encode()
        values = matrix_of([row])
        if self.is_v2:
            tensor = {"name": "rows", "shape": list(values.shape), "datatype": "FP32", "data": values.tolist()}
            return json.dumps({"inputs": [tensor]}).encode()
        return json.dumps({"rows": values.tolist()}).encode()

    def request(self, row: Mapping[str, Any]) -> bytes:
        """Return a whole request."""
        body = self.body(row)
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def scores(self, row: Mapping[str, Any]) -> list[float]:
        """Return the scores of a row, by a call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", self.path, self.body(row), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        said = reply.read()
        connection.close()
        if reply.status != HTTPStatus.OK:
            raise SystemExit(f"{self.path}: {reply.status} {said!r}")
        return self.parse(said)

    def parse(self, said: bytes) -> list[float]:
        """Return the scores in a reply."""
        document = json.loads(said)
        if self.is_ours:
            return list(document["prediction"].values())
        return np.ravel(document["outputs"][0]["data"] if self.is_v2 else document).tolist()


def are_installed() -> bool:
    """Whether both have their environments."""
    return all(folder.is_dir() for folder in _FOLDERS.values())


def servers_of(kind: str) -> list[str]:
    """Return the servers that have a runtime of this kind."""
    return [name for name in _FOLDERS if name == BENTOML or kind in _RUNTIMES]


def versions(name: str, kind: str) -> str:
    """Return the versions of a server, of its Python and of the library there."""
    module = {"onnx": "onnxruntime", "python": "numpy"}.get(kind, kind)
    program = (
        f"import platform, {module} as library; from importlib.metadata import version; "
        f"print('{name}', version('{name.lower()}'), 'with {module}', library.__version__, end=' ');"
        "print('on Python', platform.python_version())"
    )
    python = str(_FOLDERS[name] / "bin" / "python") if name in _FOLDERS else sys.executable
    return subprocess.run([python, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def served(name: str, model: Kind) -> Iterator[tuple[Endpoint, int]]:
    """A server of a model that is ready: where it is called, and its process id."""
    port = next(free_ports())
    with contextlib.ExitStack() as exits:
        # Short, for BentoML has its sockets there; it may still end when the rest has.
        folder = tempfile.TemporaryDirectory(prefix="hotswap-bench-", ignore_cleanup_errors=True)
        own = Path(exits.enter_context(folder))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(own)}
        program = _FOLDERS[name] / "bin" / name.lower()
        if name == MLSERVER:
            own_runtime = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment |= {"PYTHONPATH": os.pathsep.join(own_runtime)}
            command, ready, path = _mlserver(model, own, port), "/v2/health/ready", "/v2/models/model/infer"
        else:
            environment |= {
                "BENTOML_DO_NOT_TRACK": "True",
                "BENTOML_HOME": str(own),
                "MODEL_KIND": model.kind,
                "MODEL_FILE": str(model.model),
            }
            words = ["serve", "server_bento:Scorer", "--working-dir", str(Path(__file__).parent), "--host", "127.0.0.1"]
            command, ready, path = [*words, "--port", str(port)], "/readyz", "/score"
        log = exits.enter_context((own / "log").open("wb"))
        watchdog = start_watchdog()
        process = subprocess.Popen(
            [str(program), *command], env=environment, cwd=own, stdout=log, stderr=log, process_group=watchdog.pid
        )
        exits.callback(process.wait)
        exits.callback(watchdog.communicate)
        until = time.monotonic() + _READY_S
        while not _is_ready(port, ready):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} is not ready:\n{(own / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield Endpoint(port, path, is_v2=name == MLSERVER), process.pid


def _mlserver(model: Kind, folder: Path, port: int) -> list[str]:
    ports = free_ports()
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": next(ports),
        "metrics_port": next(ports),
        "parallel_workers": 0,
    }
    settings = {"name": "model", "implementation": _RUNTIMES[model.kind], "parameters": {"uri": str(model.model)}}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(settings))
    return ["start", "."]


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    return False
