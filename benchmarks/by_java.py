"""Contenders in Java for the same job: consumer and producer by hand, and Kafka Streams (benchmarks/java).

They are compiled if there is a JDK, and left out otherwise. The model and the proto are hard-coded: scoring with others
takes a redeploy.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hotswap.local.jvm import fetch_jars, find_java

_SOURCES = Path(__file__).with_name("java")
MODEL = Path(__file__).parents[1] / "examples" / "models" / "gbm_50x5.zip"
_THREADS = 2
_TRANSACTION_MS = 200
"""How old a transaction may become under a backlog, as ours."""

BY_HAND = f"Java by hand, {_THREADS} threads"
BY_HAND_AT_BEST = f"{BY_HAND}, lz4, no headers"
PROGRAMS = {
    BY_HAND: ("ByHand", "none", "headers"),
    BY_HAND_AT_BEST: ("ByHand", "lz4", "none"),
    f"Kafka Streams, {_THREADS} threads": ("Streams",),
}
"""The program of each contender, and how it writes: the codec, and whether with the headers that ours have."""


def can_compile() -> bool:
    """Whether there is a JDK."""
    return shutil.which("javac") is not None


def compile_programs(folder: Path) -> None:
    """Compile all of them into a folder."""
    sources = sorted(map(str, _SOURCES.glob("*.java")))
    command = ["javac", "--release", "17", "-Xlint:-options", "-cp", _classpath(), "-d", str(folder), *sources]
    subprocess.run(command, check=True)


def command(name: str, folder: Path, model: Path, *arguments: str) -> Sequence[str]:
    """Return the command that runs one; `arguments` are bootstrap, requests, predictions and group."""
    java, classes = find_java().executable, f"{folder}:{_classpath()}"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    program, *how = PROGRAMS[name]
    more = [*how, str(_TRANSACTION_MS)] if how else []
    return [str(java), quiet, "-cp", classes, program, *arguments, str(model), str(_THREADS), *more]


def _classpath() -> str:
    jars = {jar.name: jar for lock in ("h2o-genmodel", "kafka", "kafka-streams") for jar in fetch_jars(lock)}
    return ":".join(map(str, jars.values()))
