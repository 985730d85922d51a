"""The demo's Kafka, and its workers as processes; nothing is left at the end."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Self

from demo_domains import EXAMPLES

from hotswap.cli.shared import make_settings
from hotswap.errors import StartError
from hotswap.local.kafka import LocalKafka
from hotswap.local.lifeline import start_watchdog
from hotswap.settings import Settings

_STOP_S = 15.0
_WATCH_S = 0.2


@contextmanager
def kafka() -> Iterator[str]:
    """Yields the bootstrap servers of HOTSWAP_KAFKA's Kafka, otherwise of a new local one."""
    given = os.environ.get("HOTSWAP_KAFKA")
    with nullcontext() if given else LocalKafka() as local:
        yield local.bootstrap if local else str(given)


def settings_for(bootstrap: str, folder: Path, name: str = "") -> Settings:
    """Returns settings for a deployment (by default with a unique name) with its own store, cache and topics."""
    name = name or f"demo-{uuid.uuid4().hex[:8]}"
    # Set one by one, so that the environment's settings for another deployment have no effect.
    topics = {
        f"{kind}_topic": f"{name}.{kind}" for kind in ("requests", "predictions", "dead_letters", "control", "status")
    }
    return make_settings(
        kafka=bootstrap,
        deployment=name,
        group=name,
        **topics,
        delivery="exactly_once",
        store=(folder / "store").as_uri(),
        cache=folder / "cache",
        log_level="WARNING",
    )


class Workers:
    """Processes of `hotswap run`, for a with-block; each has a log in the folder, and its own port for HTTP."""

    def __init__(self, settings: Settings, folder: Path, ports: Sequence[int] = (0, 0)) -> None:
        self._settings = settings
        self._ports = {f"worker-{number}": port for number, port in enumerate(ports, 1)}
        self._logs = {name: folder / f"{name}.log" for name in self._ports}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self._logs)

    def __enter__(self) -> Self:
        given = self._settings.model_dump(mode="json", include=self._settings.model_fields_set)
        environment = os.environ | {f"HOTSWAP_{name.upper()}": str(value) for name, value in given.items()}
        self._watchdog = start_watchdog()
        for name, path in self._logs.items():
            with path.open("wb") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "hotswap", "run", self._settings.deployment],
                    env=environment | {"HOTSWAP_WORKER_ID": name, "HOTSWAP_HTTP_PORT": str(self._ports[name])},
                    cwd=EXAMPLES.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Not the demo's process group: Ctrl-C goes to the demo alone, which then stops its workers cleanly.
                    process_group=self._watchdog.pid,
                )
        return self

    async def watch(self) -> None:
        """Raises StartError, with the worker's last log line, as soon as one has ended."""
        while True:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    why = _last_word(self._logs[name])
                    raise StartError(f"{name} has ended with exit code {process.returncode}: {why}")
            await asyncio.sleep(_WATCH_S)

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._watchdog:
            self._watchdog.communicate()


def _last_word(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("hotswap: ") if lines else "it gave no reason"
