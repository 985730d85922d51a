"""A real single-node Apache Kafka without Docker, for `hotswap dev`, the demo, the tests and the benchmark."""

import fcntl
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hotswap.errors import StartError
from hotswap.local.jvm import fetch_jars, find_java
from hotswap.local.lifeline import start_watchdog

# Below Linux's ephemeral ports: otherwise a client's own connection could take the port of a stopped broker, for good.
_PORTS = range(20_000, 32_768)
_PREFIX = "hotswap-kafka-"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # After a kill the controller rejects the broker until its old session has ended, 9 s by default.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "300",
    # There is only one node; and internal topics of 50 partitions would slow down each start and recovery.
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Sized for a laptop: half the memory of the defaults, and groups that start at once.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "group.initial.rebalance.delay.ms": "0",
}
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")


class LocalKafka:
    """One broker; `stop` and `kill` keep its data and port, so that `start` resumes with both; `close` ends it.

    `directory` keeps the data for the next run; without it, the data is temporary and `close` removes it. `port` 0 or
    None means any free one. `settings` are Kafka's own and override ours; `heap` and `jvm` (options) are Java's. All
    calls block.

    Raises:
        StartError: from `start`, with what is wrong and what to do.

    """

    jars = "kafka"
    """The lock that names its jars; see `fetch_jars`."""
    features: Mapping[str, int] = {}
    """The level of each of Kafka's features (KIP-584) that new data begin with; of all others, the broker's newest."""

    def __init__(
        self,
        *,
        directory: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        heap: str = "256m",
        jvm: Sequence[str] = _JVM,
    ) -> None:
        self._is_temporary = directory is None
        self._directory = directory
        self._given_port = port or 0
        self._settings = dict(settings or {})
        self._java_options = [*jvm, f"-Xmx{heap}"]
        self._port = 0
        self._command: list[str] = []
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the broker; None if none was started."""
        return self._process.pid if self._process else None

    @property
    def bootstrap(self) -> str:
        """Bootstrap server for clients, host:port; valid after `start`."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start or restart the broker, and wait until it serves clients."""
        if self._process and self._process.poll() is None:
            return self
        self.kill()  # reap a broker that died by itself
        if not self._command:
            jars = os.pathsep.join(map(str, fetch_jars(self.jars)))
            self._command = [str(find_java().executable), *self._java_options, "-cp", jars]
        directory = self._take_directory()
        remembered = self._given_port or self._port or _remembered_port(directory)
        for attempts_left in (0,) if remembered else (2, 1, 0):
            self._port, controller = _ports(remembered)
            self._write_settings(directory, controller)
            if not (directory / "data" / "meta.properties").exists():
                self._format(directory)
            try:
                self._launch(directory)
            except StartError:
                self.kill()
                # Another process took the free port first: try another one.
                if not attempts_left or "Address already in use" not in _log(directory):
                    raise
            else:
                return self
        raise AssertionError("the last attempt returns or raises")

    def stop(self) -> None:
        """Shut it down cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it, and remove temporary data."""
        self.stop()
        if self._lock is None or self._directory is None:
            return
        if self._is_temporary:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        self._lock.close()
        self._lock = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_directory(self) -> Path:
        """Lock the directory while this process lives: the kernel releases a dead process's lock, however it died."""
        if self._directory is None:
            _remove_leftovers()
            # Another one that starts just now takes what is not locked for a leftover: lock it before it can be seen.
            hidden = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
            self._lock = _lock(hidden)
            self._directory = hidden.rename(hidden.with_name(hidden.name[1:]))
        if self._lock is None:
            self._lock = _lock(self._directory)
        return self._directory

    def _write_settings(self, directory: Path, controller: int) -> None:
        address = f"PLAINTEXT://{self.bootstrap}"
        settings = _SETTINGS | {
            "listeners": f"{address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": address,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(directory / "data"),
        }
        lines = [f"{name}={value}\n" for name, value in (settings | self._settings).items()]
        (directory / "server.properties").write_text("".join(lines), encoding="utf-8")
        (directory / "port").write_text(str(self._port), encoding="utf-8")

    def _cluster_id(self) -> str:
        return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()

    def _format(self, directory: Path) -> None:
        # As one argument: an id may begin with a dash, and would be parsed as an option.
        words = [f"--cluster-id={self._cluster_id()}", "--config", str(directory / "server.properties")]
        for name, level in self.features.items():
            words += ["--feature", f"{name}={level}"]
        done = subprocess.run(
            [*self._command, "kafka.tools.StorageTool", "format", *words], capture_output=True, check=False, text=True
        )
        if done.returncode:
            raise StartError(f"Kafka cannot format {directory}: {_reason(done.stdout + done.stderr)}")

    def _launch(self, directory: Path) -> None:
        """Start the broker and wait until it answers, for at most a minute."""
        self._watchdog = start_watchdog()
        temporary = directory / "tmp"  # for the native libraries that Kafka unpacks; removed with the directory
        temporary.mkdir(exist_ok=True)
        java = [*self._command, f"-Djava.io.tmpdir={temporary}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        with (directory / "broker.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*java, "kafka.Kafka", str(directory / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=self._watchdog.pid,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                log = directory / "broker.log"
                raise StartError(f"Kafka did not start: {_reason(_log(directory))} (its log: {log})")
            if _answers(self._port):
                return
            time.sleep(0.02)
        raise StartError(f"Kafka did not answer within {_START_TIMEOUT_S:.0f} s: see {directory / 'broker.log'}")

    def _end(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._watchdog:
            self._watchdog.communicate()
            self._watchdog = None


def _lock(directory: Path) -> IO[bytes]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("wb")
    except OSError as error:
        raise StartError(
            f"{directory} cannot hold Kafka's data ({error.strerror}): choose another directory"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        message = f"{directory} is in use by another local Kafka: stop that one, or choose another directory"
        raise StartError(message) from error
    return lock


def _remove_leftovers() -> None:
    """Remove the temporary data of local Kafkas whose owner was killed, which leaves their locks free."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/lock"):
        try:
            with lock.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue  # its owner is alive, or it belongs to another user


def _remembered_port(directory: Path) -> int:
    try:
        return int((directory / "port").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _ports(port: int) -> tuple[int, int]:
    """Return the port for clients, `port` or any free one, and one for the controller."""
    free = free_ports()
    if not port:
        return next(free), next(free)
    if not _is_free(port):
        advice = "stop the program that listens there, or choose another port"
        raise StartError(f"port {port} of 127.0.0.1 is in use: {advice}")
    return port, next(other for other in free if other != port)


def free_ports() -> Iterator[int]:
    """Yield the free ports of this machine that no system hands out by itself, in any order.

    Raises:
        StartError: there is none left.

    """
    yield from filter(_is_free, random.SystemRandom().sample(_PORTS, k=len(_PORTS)))
    raise StartError(f"no port among {_PORTS.start} to {_PORTS.stop - 1} of 127.0.0.1 is free: stop what listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # otherwise ports of just-closed connections count as in use
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    """Whether a broker answers an ApiVersions request (KIP-35), which it does once it serves clients."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            if link.getsockname() == link.getpeername():
                return False  # TCP connected the probe to itself
            # Size; API key 18, version 0, correlation id 1, client id of one letter.
            link.sendall(struct.pack(">ihhih1s", 11, 18, 0, 1, 1, b"h"))
            return len(link.recv(4)) == struct.calcsize(">i")
    except OSError:
        return False


def _log(directory: Path) -> str:
    return (directory / "broker.log").read_text(encoding="utf-8", errors="replace")


def _reason(output: str) -> str:
    """Return the line of a Java program's output that best explains why it ended."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(("\t", " "))]
    errors = [line for line in lines if "Exception: " in line]
    return (errors or lines or ["it gave no reason"])[-1]
