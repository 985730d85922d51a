"""Local Kafkas that start with half the CPU: one that was started before has left what each start would make anew."""

import os
import re
import shutil
import uuid
from base64 import urlsafe_b64encode
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
        if not source.exists():
            super()._format(directory)
            return
        shutil.copytree(source, directory / "data")
        facts = directory / "data" / "meta.properties"
        new = re.sub(r"(?<=\.id=)[\w-]{22}$", lambda _: _new_id(), facts.read_text(), flags=re.MULTILINE)
        facts.write_text(new)


def local_kafka(*, properties: Sequence[str] = (), **options: Any) -> LocalKafka:
    """Make a local Kafka, which starts from what is in the folder of PREPARED, if anything is by now.

    `properties` are options of Java besides LocalKafka's.
    """
    classes = _prepared() / _CLASSES
    mapped = (f"-XX:SharedArchiveFile={classes}", "-Xshare:auto") if classes.exists() else ()
    return _Prepared(jvm=(*_JVM, *mapped, *properties), **options)


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


def _prepared() -> Path:
    return Path(os.environ.get(PREPARED, "-"))


def _new_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
