"""A Spark session for a batch, and the distribution of the model and its jars to the executors."""

import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from hotswap.errors import StartError, UsageError
from hotswap.lake.hosting import JARS
from hotswap.lake.origin import ScoringSpec
from hotswap.local.jvm import find_java, maven_repository
from hotswap.runtimes.kinds import runtime_of

_ENVIRONMENT: Final = "environment"


@contextmanager
def session(
    name: str, master: str, conf: Mapping[str, str], environment: Path | None, max_batch: int
) -> Iterator[SparkSession]:
    """Yield a session named `name` on the cluster `master`; `conf` are Spark settings.

    `environment` is an archive of the Python environment for executors; None: they have the driver's, at the same path.
    `max_batch`: the maximum rows of a record batch.

    Raises:
        UsageError: `environment` with a local master.
        StartError: no suitable Java, or the cluster cannot be reached.

    """
    if environment and is_local(master):
        raise UsageError(f"--environment is for remote executors: {master} uses this process's environment")
    java = find_java()
    if not java.has_module("jdk.incubator.vector"):
        raise StartError(f"Spark needs a full JDK, and {java.executable} is not one: install one, or set JAVA_HOME")
    os.environ["JAVA_HOME"] = str(java.home)
    os.environ["PYSPARK_PYTHON"] = f"./{_ENVIRONMENT}/bin/python" if environment else sys.executable
    builder = SparkSession.builder.appName(name).master(master)
    ours = {
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.caseSensitive": "true",  # otherwise, of columns `Age` and `age`, it renames those of a CSV
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(max_batch),
    }
    if environment:
        ours["spark.archives"] = f"{environment.resolve()}#{_ENVIRONMENT}"
    for key, value in {**ours, **conf}.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except (Py4JError, PySparkException, RuntimeError) as error:
        raise StartError(f"Spark does not start at {master}: {_first(error)}") from error
    try:
        yield spark
    finally:
        spark.stop()


@contextmanager
def distribute(spark: SparkSession, spec: ScoringSpec, model: Path) -> Iterator[None]:
    """Distribute the model and the jars of its runtime to executors, until the block ends."""
    context, repository = spark.sparkContext, maven_repository()
    jars = [jar for jar in runtime_of(spec.kind).jars() if jar.is_relative_to(repository)]
    with TemporaryDirectory(prefix="hotswap-batch-") as folder:
        # Spark identifies a file by its name alone, and serves it in place.
        context.addFile(str(shutil.copyfile(model, Path(folder, spec.model))))
        if jars:
            packed = Path(folder, f"{JARS}.zip")
            with zipfile.ZipFile(packed, "w") as archive:
                for jar in jars:
                    archive.write(jar, jar.relative_to(repository))
            context.addArchive(f"{packed}#{JARS}")
        yield


def is_local(master: str) -> bool:
    """Return whether a master runs its executors on the driver's machine: local, local[4], local-cluster[2,1,1024]."""
    return master.startswith("local")


def _first(error: Exception) -> str:
    java = getattr(error, "java_exception", None)
    return str(java or error).partition("\n")[0]
