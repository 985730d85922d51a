"""Contenders in Java for the same job: consumer and producer by hand, and Kafka Streams (benchmarks/java).

They are compiled if there is a JDK, and left out otherwise; Spark's only where Spark is installed. The model and the
proto are hard-coded: scoring with others takes a redeploy.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from hotswap.local.jvm import fetch_jars, find_java, installed_jars
from hotswap.runtimes.kinds import runtime_of

_SOURCES = Path(__file__).with_name("java")
_TESTS = Path(__file__).parents[1] / "tests" / "jars"
_SPARK = "Pipeline"
MODEL = Path(__file__).parents[1] / "examples" / "models" / "gbm_50x5.zip"
_THREADS = 2
_TRANSACTION_MS = 200
"""How old a transaction may become under a backlog, as ours."""

BY_HAND = f"Java by hand, {_THREADS} threads"
BY_HAND_AT_BEST = f"{BY_HAND}, lz4, no headers"
STREAMS = f"Kafka Streams, {_THREADS} threads"
PROGRAMS = {
    BY_HAND: ("ByHand", "none", "headers"),
    BY_HAND_AT_BEST: ("ByHand", "lz4", "none"),
    f"{STREAMS}, as shipped": ("Streams",),
    f"{STREAMS}, leaves the group, commits every 100 ms": ("Streams", "100"),
    f"{STREAMS}, leaves the group, commits every 10 ms": ("Streams", "10"),
}
"""The program of each contender, and how: by hand, the codec, and whether with the headers that ours have; Kafka
Streams, its commit.interval.ms where an expert sets it, who also has close() leave the group."""


class Task(NamedTuple):
    """What a program by hand scores: a class of benchmarks/java, and the model that it gets."""

    scorer: str = "Rows"
    model: Path = MODEL

    @property
    def needs_spark(self) -> bool:
        """Whether it runs on Spark."""
        return self.scorer == _SPARK


def can_compile() -> bool:
    """Whether there is a JDK."""
    return shutil.which("javac") is not None


def compile_programs(folder: Path) -> None:
    """Compile all of them into a folder."""
    has_spark = find_spec("pyspark") is not None
    sources = [str(path) for path in sorted(_SOURCES.glob("*.java")) if has_spark or path.stem != _SPARK]
    classpath = ":".join(map(str, [*_jars(), *(_spark_jars() if has_spark else ())]))
    command = [
        "javac",
        "--release",
        "17",
        "-Xlint:-options",
        "-proc:none",
        "-cp",
        classpath,
        "-d",
        str(folder),
        *sources,
    ]
    subprocess.run(command, check=True)


def command(name: str, folder: Path, task: Task, *arguments: str) -> Sequence[str]:
    """Return the command that runs one; `arguments` are bootstrap, requests, predictions and group."""
    java, classes = find_java().executable, [folder, *(_spark_jars() if task.needs_spark else ()), *_jars()]
    options = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    if task.needs_spark:
        runtime = runtime_of("spark")
        options = [*runtime.jvm_options, *(f"--add-modules={name}" for name in runtime.java_modules)]
    program, *how = PROGRAMS[name]
    more = [*how, str(_TRANSACTION_MS), task.scorer] if program == "ByHand" else how
    where = ":".join(map(str, classes))
    return [str(java), *options, "-cp", where, program, *arguments, str(task.model), str(_THREADS), *more]


def _jars() -> Iterator[Path]:
    yield from {
        jar.name: jar for lock in ("h2o-genmodel", "kafka", "kafka-streams") for jar in fetch_jars(lock)
    }.values()
    yield from (_TESTS / f"{name}.jar" for name in ("numbers", "texts"))


def _spark_jars() -> list[Path]:
    return installed_jars("pyspark", "spark")
