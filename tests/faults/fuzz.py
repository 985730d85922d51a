"""Generated requests of CSV, JSON and protobuf against a real fleet: refused or answered exactly as an oracle says."""

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import Producer
from google.protobuf.message import DecodeError

from faults import oracle_schema, text_oracle, wire_oracle
from faults.fuzz_inputs import inputs
from harness.audit import header, source
from harness.fleet import EXAMPLES
from hotswap.batch import Format, Refusal
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text import wire
from hotswap.generation import Proto, TextOptions

_ROUND = 2_000
_CONTENTS = {"csv": Format.CSV, "json": Format.JSON, "protobuf": Format.PROTOBUF}
_SCHEMA = compile_proto(oracle_schema.PROTO)
_KEPT = 20


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    seed: int
    inputs: Counter = field(default_factory=Counter)
    asked: int = 0
    seconds: float = 0.0
    findings: list = field(default_factory=list)

    def find(self, text):
        if len(self.findings) < _KEPT:
            self.findings.append(text)


async def run(deployment, *, seed, count, say):
    """Publish `count` inputs, each good one beside a clean protobuf request with the same meaning."""
    figures = Figures(seed)
    say(f"fuzz: seed {seed}, {count} inputs")
    await _serve(deployment)
    worker = deployment.workers["w1"]
    began, asked, producer = time.monotonic(), {}, Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    for number in range(0, count, _ROUND):
        made = inputs(seed * 1_000_003 + number, min(_ROUND, count - number))
        for place, item in enumerate(made, number):
            rows = check(item, figures)
            _publish(deployment, producer, asked, (place, item), rows)
        producer.flush(60)
        await deployment.drained(timeout=120)
        say(f"{number + len(made)} inputs, {len(asked)} requests, {len(figures.findings)} findings")
    figures.seconds = round(time.monotonic() - began, 1)
    if worker.poll() is not None:
        figures.find(f"the worker ended with {worker.returncode}: {deployment.log()[-500:]}")
    if "host.died" in deployment.log():
        figures.find("the model host died")
    await _check_answers(deployment, asked, figures)
    if code := await deployment.stop():
        figures.find(f"the worker ended with {code}: {deployment.log()[-500:]}")
    return figures


async def _serve(deployment):
    deployment.start()
    async with deployment.client() as client:
        change = Change(model=EXAMPLES / "models" / "mixed_glm.zip", proto=Proto.inline(oracle_schema.PROTO))
        answer = await client.await_swap(await client.swap(change))
        assert answer.is_good, (answer, deployment.log()[-3000:])


def check(item, figures):
    """Compare the codec with the oracle on an input; return the oracle's rows, None if it refuses."""
    try:
        rows = text_oracle.rows(*item)
    except wire_oracle.Refused:
        rows = None
    figures.inputs[item.content, "refused" if rows is None else "good"] += 1
    try:
        read = _read(item)
    except Exception as error:  # noqa: BLE001 - whatever it is, the host would die of it
        figures.find(f"{item} breaks the codec: {error!r}")
        return rows
    if (read is None) != (rows is None):
        figures.find(f"{item} is {'refused' if read is None else 'taken'}, and should not be")
    elif rows is not None and text_oracle.meaning(read) != text_oracle.meaning(rows):
        figures.find(f"{item} is read as {read}, and is {rows}")
    return rows


def _read(item):
    """Return what the codec reads: the rows in the message that it passes to the model's plan."""
    operation, value = _SCHEMA.operations[item.operation], item.value
    if item.content != "protobuf":
        value = wire.read(value, _CONTENTS[item.content], operation, TextOptions())
        if isinstance(value, Refusal):
            return None
    try:
        message = operation.input.FromString(value)
    except DecodeError:
        return None
    return text_oracle.rows("protobuf", item.operation, message.SerializeToString())


def _publish(deployment, producer, asked, numbered, rows):
    """Return the input and its clean twin; both are answered in protobuf, so that the answers can be compared."""
    number, item = numbered
    headers = {"operation": item.operation, "accept": str(Format.PROTOBUF)}
    requests = [(item.value, headers | {"content-type": str(_CONTENTS[item.content])}, item)]
    if rows is not None:
        message = oracle_schema.ROW if item.operation == "One" else oracle_schema.FRAME
        clean = rows[0] if item.operation == "One" else {"rows": rows}
        requests.append((wire_oracle.write(clean, message), headers, None))

    def note(error, message, what):
        assert error is None, error
        asked[message.partition(), message.offset()] = number, what, rows is not None

    for value, given, what in requests:
        topic, pairs = deployment.settings.topics.requests, list(given.items())
        producer.produce(topic, value, headers=pairs, callback=partial(note, what=what))
    producer.poll(0)


async def _check_answers(deployment, asked, figures):
    audit = await deployment.audit()
    figures.asked = audit.asked
    if audit.faults:
        figures.find(f"requests: { ({name: len(found) for name, found in audit.faults.items()}) }")
    if audit.asked != len(asked):
        figures.find(f"{len(asked)} requests were published, and {audit.asked} are there")
    for letter in audit.dead_letters:
        _, item, is_good = asked[source(letter)]
        code, message = header(letter, "code"), header(letter, "message")
        if is_good or code != "UNDECODABLE" or not message:
            figures.find(f"{item or 'the twin of an input'} is refused, {code}: {message}")
        if item and letter.value() != item.value:
            figures.find(f"{item} is in the dead letters as {letter.value()}")
    answers = {}
    for prediction in audit.predictions:
        number, item, is_good = asked[source(prediction)]
        if not is_good:
            figures.find(f"{item} is answered, and must be refused")
        else:
            answers.setdefault(number, []).append((item, prediction.value()))
    for pair in answers.values():
        if len(pair) != 2 or pair[0][1] != pair[1][1]:
            figures.find(f"not one answer for an input and its clean twin: {pair}")
