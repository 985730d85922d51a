"""A gateway or a console as a process, and calls by a client that costs little: it must not be what is measured."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Self

from harness.fleet import ROOT, Deployment

_STARTS_S = 60
_CODE = os.pathsep.join([str(ROOT / "worker"), str(ROOT / "tests")])


class Reply(NamedTuple):
    """The reply to a call."""

    status: int
    document: dict[str, Any]


class CutOff(Exception):
    """The connection ended before the reply did."""


class Gateway:
    """A gateway of a deployment, or its console (`command`), which can be killed and started again on its port.

    `code` is the checkout whose gateway it is.
    """

    def __init__(
        self, deployment: Deployment, name: str, *options: str, command: str = "gateway", code: Path = ROOT
    ) -> None:
        self.deployment = deployment
        self.name = name
        self.port = 0
        self._command = command
        self._code = code
        self._options = options
        self._log = deployment.folder / f"{name}.log"

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Self:
        """Start it, and wait until it serves."""
        self._launch()
        try:
            async with asyncio.timeout(_STARTS_S):
                while not (started := [line for line in self.lines() if line["event"] == f"{self._command}.started"]):
                    assert self.process.poll() is None, self._log.read_text()
                    await asyncio.sleep(0.05)
        except BaseException:
            self.kill()
            raise
        self.port = int(started[0]["address"].rpartition(":")[2])
        return self

    def _launch(self) -> None:
        given = self.deployment.settings.model_dump(mode="json", include=self.deployment.settings.model_fields_set)
        variables = {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()}
        command = [sys.executable, "-m", "hotswap", self._command, self.deployment.name, "--port", str(self.port)]
        environment = os.environ | variables | {"PYTHONPATH": str(self._code / "worker"), "HOTSWAP_LOG_FORMAT": "json"}
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            launched = self._launched([*command, *self._options])
            self.process = subprocess.Popen(launched, env=environment, stderr=log)

    def _launched(self, command: list[str]) -> list[str]:
        return command

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged since its last start."""
        whole = self._log.read_text().split("\n")[:-1]  # the last line may not be written to its end
        return [json.loads(line) for line in whole if line.startswith("{")]

    async def ended(self, timeout_s: float = 60) -> int:
        """Wait for its end, and return its exit code."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Connection:
    """A connection that is kept, and opened again after it was cut off."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> Reply:
        """Post a JSON document.

        Raises:
            CutOff: whether the call was carried out is not known.

        """
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._gateway.port}\r\nContent-Type: application/json\r\n"
        try:
            if self._reader is None or self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
            self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            reply = await self._reader.readuntil(b"\r\n\r\n")
            lines = reply.lower().split(b"\r\n")
            size = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
            return Reply(int(reply.split(b" ", 2)[1]), json.loads(await self._reader.readexactly(size)))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise CutOff(repr(error)) from error

    def close(self) -> None:
        if self._writer:
            with contextlib.suppress(OSError):
                self._writer.close()
        self._reader = self._writer = None
