"""Local Kafkas that start with less than half the CPU: what each start would make anew, one before has left."""

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hotswap.local.kafka import _JVM, LocalKafka

PREPARED = "HOTSWAP_TEST_KAFKA_PREPARED"
"""Names the folder of what a broker has left: its classes, as Java has read and verified them, and its empty data."""
_CLASSES, _DATA = "classes.jsa", "data"
_FORMATTED = ("meta.properties", "bootstrap.checkpoint")


class _Prepared(LocalKafka):
    """A local Kafka whose data begin as a copy: Kafka's own tool would start a Java to write the same two files."""

    def _format(self, directory: Path) -> None:
        source = _prepared() / _DATA
        if self.features or not source.exists():
            super()._format(directory)
            return
        shutil.copytree(source, directory / "data")
        facts = directory / "data" / "meta.properties"
        # Of the cluster and of the folder: 16 bytes each. The node's is a number, and stays.
        renewed = re.sub(
            r"(?<=\.id=)[\w-]{22}$", lambda _: secrets.token_urlsafe(16), facts.read_text(), flags=re.MULTILINE
        )
        facts.write_text(renewed)


def local_kafka(*, properties: Sequence[str] = (), **options: Any) -> LocalKafka:
    """Make a local Kafka, which starts from what is in the folder of PREPARED, if anything is by now.

    `properties` are options of Java besides LocalKafka's.
    """
    return _Prepared(jvm=(*_JVM, *_mapped(), *properties), **options)


def of_prepared_classes() -> dict[str, str]:
    """Return the environment of a program whose local Kafka starts from the same classes."""
    return {"JDK_JAVA_OPTIONS": " ".join(mapped)} if (mapped := _mapped()) else {}


def prepare(folder: Path) -> None:
    """Start a broker and stop it, and leave in a folder what later ones start from (classes by JEP 350)."""
    making = folder / "making"
    making.mkdir()
    with LocalKafka(directory=making / "kafka", jvm=(*_JVM, f"-XX:ArchiveClassesAtExit={making / _CLASSES}")):
        (making / _DATA).mkdir()
        for name in _FORMATTED:
            shutil.copy(making / "kafka" / "data" / name, making / _DATA)
        (making / _DATA).replace(folder / _DATA)
    if (making / _CLASSES).exists():  # not with a Java that has no archive of its own classes
        (making / _CLASSES).replace(folder / _CLASSES)


def _mapped() -> tuple[str, ...]:
    """Return Java's options to start from the prepared classes, if they are there by now."""
    classes = _prepared() / _CLASSES
    return (f"-XX:SharedArchiveFile={classes}", "-Xshare:auto") if classes.exists() else ()


def _prepared() -> Path:
    return Path(os.environ.get(PREPARED, "-"))
