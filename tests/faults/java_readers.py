"""Reads a topic by Kafka's own Java: a consumer that checks checksums, and the dump of a broker's segments."""

import re
import subprocess
import uuid
from collections import Counter
from pathlib import Path

from hotswap.local.jvm import fetch_jars, find_java

_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
_DUMP = "org.apache.kafka.tools.DumpLogSegments"
_SECONDS = 120
_NULL = "none-at-all"
_BATCH = re.compile(r"^baseOffset: .* count: (\d+) .* isControl: (\w+) .* compresscodec: (\w+) .* isvalid: (\w+)$")
_RECORD = "| offset: "


def consume(bootstrap, topic, count):
    """Read the first `count` committed records, fewer if it fails; return those of each partition as `as_printed`."""
    end, printed = f"\n{uuid.uuid4().hex}\n", {"partition", "headers", "key"}
    formatted = {f"print.{what}": "true" for what in printed} | {"line.separator": end, "null.literal": _NULL}
    words = ["--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning", "--max-messages", str(count)]
    words += ["--isolation-level", "read_committed", "--timeout-ms", str(_SECONDS * 1000)]
    words += ["--command-property", "check.crcs=true"]
    for name, value in formatted.items():
        words += ["--formatter-property", f"{name}={value}"]
    found = {}
    for line in _java(_CONSUMER, *words).split(end.encode())[:-1]:
        partition, _, record = line.partition(b"\t")
        found.setdefault(int(partition.removeprefix(b"Partition:")), []).append(record)
    return found


def as_printed(key, value, headers):
    """Return a record as the Java consumer prints it."""
    named = [name.encode() + b":" + _or_null(held) for name, held in headers]
    return b"\t".join([b",".join(named) or b"NO_HEADERS", _or_null(key), _or_null(value)])


def dump(broker_folder: Path, topic):
    """Read all segments of a topic; return the batches by codec, the records, and the lines of what is not valid.

    Transaction markers are not counted.
    """
    segments = sorted(map(str, broker_folder.glob(f"data/{topic}-[0-9]*/*.log")))
    codecs, counted, records, wrong = Counter(), 0, 0, []
    is_control = False
    for line in _java(_DUMP, "--deep-iteration", "--files", ",".join(segments)).decode().splitlines():
        if line.startswith(_RECORD):
            records += not is_control
        elif found := _BATCH.match(line):
            is_control = found[2] == "true"
            if not is_control:
                codecs[found[3]] += 1
                counted += int(found[1])
            wrong += [line] if found[4] != "true" else []
        elif not line.startswith(("Dumping ", "Log starting offset: ", "Starting offset: ")):
            wrong.append(line)
    if counted != records:
        wrong.append(f"the batches of {topic} claim {counted} records, and have {records}")
    return codecs, records, wrong


def _or_null(value):
    return _NULL.encode() if value is None else value


def _java(program, *words):
    jars = ":".join(map(str, [*fetch_jars("kafka"), *fetch_jars("kafka-tools")]))
    quick = ["-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    command = [str(find_java().executable), *quick, "-cp", jars, program, *words]
    done = subprocess.run(command, check=False, capture_output=True, timeout=2 * _SECONDS)
    assert not done.returncode, done.stderr.decode(errors="replace")[-2_000:]
    return done.stdout
