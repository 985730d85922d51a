"""Local Kafkas that start with half the CPU: Java maps the classes that another broker has loaded and stored."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hotswap.local.kafka import _JVM, LocalKafka

CLASSES = "HOTSWAP_TEST_KAFKA_CLASSES"


def local_kafka(*, properties: Sequence[str] = (), **options: Any) -> LocalKafka:
    """Make a local Kafka, which maps the classes that are stored in the file of CLASSES, if they are by now.

    `properties` are options of Java besides LocalKafka's.
    """
    stored = Path(os.environ.get(CLASSES, "-"))
    mapped = (f"-XX:SharedArchiveFile={stored}", "-Xshare:auto") if stored.exists() else ()
    return LocalKafka(jvm=(*_JVM, *mapped, *properties), **options)


def store_classes(path: Path) -> None:
    """Start a broker and stop it, and store in a file what classes it has loaded (JEP 350), as read and verified."""
    new = path.with_suffix(".new")
    with LocalKafka(jvm=(*_JVM, f"-XX:ArchiveClassesAtExit={new}")):
        pass
    if new.exists():  # not with a Java that has no archive of its own classes
        new.replace(path)
