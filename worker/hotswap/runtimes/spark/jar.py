"""Scores with a jar that uses Spark: as java/runtime.py does, but starts a session before any class of the jar loads.

The jar gets it by `SparkSession.active()`; Spark itself is on the class path and need not be in the jar.
"""

from pathlib import Path

from hotswap.generation import Configuration
from hotswap.runtimes.java.classes import Classes
from hotswap.runtimes.java.runtime import JavaModel, read_options
from hotswap.runtimes.spark.session import session


def load(path: Path, configuration: Configuration) -> JavaModel:
    """Load a jar, or a zip of jars. Raises SwapError like java.runtime.load."""
    options = read_options(configuration.runtime)
    session()
    return JavaModel(Classes(path, has_class_path=True), options)


def versions(_: object) -> str:
    """Return the version of Spark."""
    return f"Spark {session().version()}"


def prepare() -> None:
    """Start the session, for a warm standby."""
    session()
