"""A real S3 server on this machine: SeaweedFS, with a bucket, a user who may read and write, and nobody else."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from fsspec.asyn import sync

from hotswap.local.kafka import free_ports
from hotswap.local.lifeline import start_watchdog

BUCKET, KEY, SECRET = "models", "AKIAHOTSWAP", "sesame/s3+open=0"
_WEED = Path(sys.executable).with_name("weed")
_START_S, _STOP_S = 60.0, 15.0
_PARTS = ("master", "volume", "filer", "s3")
_FIXED = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-master.volumeSizeLimitMB=512",
    "-volume.max=8",
    "-filer",
    "-s3",
    "-s3.autoCreateBucket=false",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)


class ObjectStore:
    """The server; `stop` and `kill` keep its data and ports, so that `start` goes on with both; `close` ends it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hotswap-s3-"))
        ports = free_ports()
        self._ports = {f"{part}.port{kind}": next(ports) for part in _PARTS for kind in ("", ".grpc")}
        user = {"accessKey": KEY, "secretKey": SECRET}
        rights = {"name": "hotswap", "credentials": [user], "actions": ["Admin", "Read", "Write", "List"]}
        (self._folder / "users.json").write_text(json.dumps({"identities": [rights]}))
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def environment(self) -> dict[str, str]:
        """What tells the libraries of S3 where it is and who asks."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> Self:
        """Start it, and wait until objects can be written to its bucket, which is made if it is missing."""
        self._watchdog = start_watchdog()
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        kept = [f"-dir={self._folder}", f"-s3.config={self._folder / 'users.json'}"]
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_WEED, "server", *kept, *_FIXED, *ports],
                env=os.environ | {"TMPDIR": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self._watchdog.pid,
            )
        give_up = time.monotonic() + _START_S
        while not self._is_there():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError((self._folder / "weed.log").read_text()[-2_000:])
            time.sleep(0.05)
        return self

    def suspend(self) -> None:
        """Have it accept connections and answer nothing, until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, as a crash would; nothing listens on its ports then."""
        if self._process:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None
        if self._watchdog:
            self._watchdog.communicate()
            self._watchdog = None

    def close(self) -> None:
        """Kill it, and remove its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        for port in self._ports.values():  # its sockets are always there, and it leaves them
            for left in Path("/tmp").glob(f"seaweedfs-*{port}.sock"):
                left.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=1) as answer:
                return bool(answer.status == 200) and self._can_be_written()
        except OSError:
            return False

    def _can_be_written(self) -> bool:
        """Write an object: the gateway answers before the volumes have joined it. Raises OSError."""
        import s3fs  # noqa: PLC0415 - an extra

        given = {"endpoint_url": self.endpoint, "key": KEY, "secret": SECRET}
        system = s3fs.S3FileSystem(skip_instance_cache=True, **given)
        try:
            if not system.exists(BUCKET):
                system.mkdir(BUCKET)
            system.pipe_file(f"{BUCKET}/probe", b"probe")
        finally:
            sync(system.loop, system.s3.close)
        return True


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Start a server with an empty bucket; this process finds it by its environment while in the block."""
    server = ObjectStore()
    before = dict(os.environ)
    try:
        os.environ |= server.start().environment
        yield server
    finally:
        os.environ.clear()
        os.environ |= before
        server.close()
