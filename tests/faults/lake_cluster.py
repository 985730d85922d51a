"""A standalone Spark cluster on this machine, each part a process of its own; and the CPU that processes take."""

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pyspark

from hotswap.local.jvm import find_java
from hotswap.local.kafka import free_ports

HOME = Path(pyspark.__file__).parent
EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
_PACKAGE = "org.apache.spark.deploy"
_HOST = "hotswap.host.child"
_READY_S = 180


class Cluster:
    """A master, and workers that have an executor each; `with` ends them, and what they have started."""

    def __init__(self, folder: Path, *, workers: int = 2, cores: int = 1, memory: str = "2g"):
        self._folder, self._count, self._cores, self._memory = folder, workers, cores, memory
        self._port = next(free_ports())
        self.url = f"spark://127.0.0.1:{self._port}"
        self.master = None
        self.workers = []

    def __enter__(self):
        where = ("--host", "127.0.0.1", "--webui-port", "0")
        self.master = self._start("master", "master.Master", *where, "--port", str(self._port))
        self._await("master", "I have been elected leader")
        for number in range(self._count):
            self.start_worker(number)
        for number in range(self._count):
            self._await(f"worker{number}", "Successfully registered with master")
        return self

    def __exit__(self, *_):
        for process in [*self.workers, self.master]:
            end(process)

    def start_worker(self, number):
        work = self._folder / f"work{number}"
        size = ("--cores", str(self._cores), "--memory", self._memory, "--work-dir", str(work))
        where = ("--host", "127.0.0.1", "--webui-port", "0")
        self.workers.append(self._start(f"worker{number}", "worker.Worker", *where, *size, self.url))

    def scoring(self):
        """Return the executors that have a model host, in the order of their workers."""
        found = []
        for worker in self.workers:
            for child in children_of(psutil.Process(worker.pid)):
                is_executor = EXECUTOR in command_of(child)
                if is_executor and any(_HOST in command_of(one) for one in children_of(child, recursive=True)):
                    found.append(child)
        return found

    def kill_worker(self, scoring):
        """Kill the first worker with one of these executors, which then ends by itself; return whether there is one."""
        for worker in self.workers:
            if any(child in scoring for child in children_of(psutil.Process(worker.pid))):
                self.workers.remove(worker)
                worker.kill()
                worker.wait()
                return True
        return False

    def _start(self, name, of, *words):
        environment = {
            "JAVA_HOME": str(find_java().home),
            "SPARK_HOME": str(HOME),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self._folder / "local"),
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [HOME / "bin" / "spark-class", f"{_PACKAGE}.{of}", *words],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _await(self, name, line):
        path, end_at = self._folder / f"{name}.log", time.monotonic() + _READY_S
        while line not in path.read_text(errors="replace"):
            assert time.monotonic() < end_at, path.read_text(errors="replace")[-3000:]
            time.sleep(0.1)


def children_of(process, *, recursive=False):
    """Return the children of a process that may be gone."""
    try:
        return process.children(recursive=recursive)
    except psutil.Error:
        return []


def command_of(process):
    """Return the command line of a process that may be gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def end(process):
    """Kill a process and all that it has started."""
    if process is None:
        return
    tree = children_of(psutil.Process(process.pid), recursive=True) if process.poll() is None else []
    process.kill()
    for one in tree:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait()


class Meter(threading.Thread):
    """Adds up the CPU seconds of processes and their descendants from `start` on, several times a second."""

    def __init__(self, processes):
        super().__init__(daemon=True)
        self._roots = [psutil.Process(process.pid) for process in processes]
        self._first, self._last = {}, {}
        self._is_over = threading.Event()
        self._look(self._first)

    def run(self):
        while not self._is_over.wait(0.2):
            self._look(self._last)

    def stop(self):
        """Return the CPU seconds."""
        self._is_over.set()
        self._look(self._last)
        return sum(used - self._first.get(process, 0.0) for process, used in self._last.items())

    def _look(self, into):
        for root in self._roots:
            with contextlib.suppress(psutil.Error):
                for process in [root, *root.children(recursive=True)]:
                    self._add(process, into)

    @staticmethod
    def _add(process, into):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            into[process] = times.user + times.system
