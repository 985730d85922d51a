"""Signals of a worker's or gateway's process."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, Protocol

from pydantic import ValidationError

from hotswap import logs
from hotswap.errors import UsageError
from hotswap.settings import Settings

log = logging.getLogger(__name__)


class Looking(Protocol):
    """An owner of a trust file."""

    def look(self) -> None: ...  # noqa: D102 - see `service.Worker`, `gateway.deployment.Deployment`


class Running(Looking, Protocol):
    """A worker of this process."""

    def kill(self) -> None: ...  # noqa: D102 - see `service.Worker`


class Signals:
    """SIGTERM and SIGINT stop the worker, and a second one kills it; SIGHUP reloads log level and trust file."""

    def __init__(self, workers: Sequence[Running], *, stop_timeout_s: float) -> None:
        """`workers` are those that this process has run; the last one runs."""
        self._workers = workers
        self._stop_timeout_s = stop_timeout_s
        self.stopping = asyncio.Event()

    def listen(self, *, is_in_terminal: bool) -> None:
        """Handle them from now on; `is_in_terminal`: SIGHUP says that the terminal is closed, and ends the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if not is_in_terminal:
            listen_for_changes(lambda: self._workers[-1:])

    def _stop(self) -> None:
        if self.stopping.is_set():
            self._kill("a second signal")
        log.info("worker.stopping")
        self.stopping.set()
        asyncio.get_running_loop().call_later(self._stop_timeout_s, self._kill, "the clean stop took too long")

    def _kill(self, why: str) -> NoReturn:
        log.error("worker.killed", extra={"why": why})
        for worker in self._workers[-1:]:
            worker.kill()
        os._exit(1)


def listen_for_changes(looking: Callable[[], Iterable[Looking]]) -> None:
    """Have SIGHUP reload the log level, and the trust file of each of these."""

    def read_again() -> None:
        read_log_level()
        for one in looking():
            one.look()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, read_again)


def read_log_level() -> None:
    """Read the log level again: of the sources of settings, files may have changed."""
    unchanged: dict[str, Any] = {}
    try:
        level = Settings(**unchanged).log_level
    except (ValidationError, UsageError) as error:
        log.warning("settings.reload_rejected", extra={"why": str(error)})
        return
    logs.set_level(level)
    log.warning("log_level.read", extra={"log_level": level})
