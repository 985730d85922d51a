"""The storage of a Spark session, through the Hadoop file systems that Spark itself uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from hotswap.artifacts.places import without_secrets
from hotswap.errors import UsageError
from hotswap.lake.plan import File

_SUFFIXES: Final = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv"}
_HIDDEN: Final = ("_", ".")


class Storage:
    """The files that a session can reach."""

    def __init__(self, spark: SparkSession) -> None:
        java: Any = spark._jvm  # noqa: SLF001 - Hadoop's own objects
        context: Any = spark.sparkContext._jsc  # noqa: SLF001 - the same
        self._path = java.org.apache.hadoop.fs.Path
        self._read = java.org.apache.commons.io.IOUtils.toString
        self._configuration = context.hadoopConfiguration()
        if self._configuration.get("fs.s3.impl") is None:  # Hadoop's own client of S3 goes by s3a
            self._configuration.set("fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")

    def list(self, place: str) -> tuple[list[File], bool]:
        """Return the Parquet and CSV files of a glob or a folder, and whether it is a folder.

        Raises:
            UsageError: there are no such files, or they are unreadable.

        """
        with _translated(place):
            path = self._path(place)
            system = path.getFileSystem(self._configuration)
            matches = list(system.globStatus(path) or [])
            files = [file for status in matches for file in self._walk(system, status)]
            is_folder = len(matches) == 1 and bool(matches[0].isDirectory())
        if not files:
            raise UsageError(f"{without_secrets(place)} has no files with the suffix {' or '.join(_SUFFIXES)}")
        return sorted(files), is_folder

    def _walk(self, system: Any, status: Any) -> Iterator[File]:
        path = status.getPath()
        if status.isDirectory():
            for inner in system.listStatus(path):
                if not inner.getPath().getName().startswith(_HIDDEN):
                    yield from self._walk(system, inner)
        elif path.getName().endswith((*_SUFFIXES,)):
            yield File(path.toString(), status.getLen(), status.getModificationTime())

    def read(self, place: str) -> str | None:
        """Return a text written by `write`; None: it does not exist. Raises UsageError if it is unreadable."""
        with _translated(place):
            for path in (self._path(place), self._path(f"{place}.new")):
                system = path.getFileSystem(self._configuration)
                if system.exists(path):
                    stream = system.open(path)
                    try:
                        return str(self._read(stream, "UTF-8"))
                    finally:
                        stream.close()
        return None

    def write(self, place: str, text: str) -> None:
        """Write a small text atomically: a reader sees the old or the new one. Raises UsageError if that fails."""
        with _translated(place):
            path, new = self._path(place), self._path(f"{place}.new")
            system = path.getFileSystem(self._configuration)
            stream = system.create(new, True)
            stream.write(text.encode())
            stream.close()
            # Not every storage can replace a file. If we die between the two calls, `read` finds the new one.
            system.delete(path, False)
            system.rename(new, path)

    def exists(self, place: str) -> bool:
        """Return whether a file or folder exists. Raises UsageError if the storage does not answer."""
        with _translated(place):
            path = self._path(place)
            return bool(path.getFileSystem(self._configuration).exists(path))


def format_of(files: list[File]) -> str:
    """Return the format of the files, by their suffixes. Raises UsageError if it is not the same."""
    formats = {of: file.path for file in files for end, of in _SUFFIXES.items() if file.path.endswith(end)}
    if len(formats) > 1:
        raise UsageError(
            f"the input has Parquet and CSV files ({', '.join(formats.values())}): name files of one format"
        )
    return next(iter(formats))


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except Py4JJavaError as error:
        why = str(error.java_exception)
        if "S3AFileSystem not found" in why:
            why = "Spark has no S3 client here: add --conf spark.jars.packages=org.apache.hadoop:hadoop-aws:VERSION"
        raise UsageError(f"{without_secrets(place)} cannot be read or written: {why}") from error
