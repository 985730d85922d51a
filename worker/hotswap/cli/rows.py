"""`hotswap encode`, `predict` and `score`: rows of a CSV or JSON file to input messages, and to predictions."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO

import click

from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.files import (
    Parts,
    compile_given,
    open_rows,
    package_option,
    parts_of,
    what_serves,
)
from hotswap.cli.late import late
from hotswap.cli.shared import (
    check_order,
    deployment_argument,
    json_option,
    kafka_option,
    kind_option,
    local_file,
    local_model,
    make_settings,
    print_json,
    run,
)
from hotswap.cli.table import (
    CHUNK,
    Answered,
    Reading,
    allow_missing_option,
    chunks,
    count_rows,
    end,
    format_options,
    operation_option,
    options_of,
    print_answers,
    text_options,
)
from hotswap.errors import StartError, UsageError
from hotswap.printable import counted

with late:
    from google.protobuf.message import Message

    from hotswap.batch import Ask, Refusal
    from hotswap.cli.follow import publish_and_follow, title_of, what_went_wrong
    from hotswap.client.answers import Outgoing, Refused
    from hotswap.client.change import MOST_SAMPLES, Change, as_samples, compile_file, read_proto
    from hotswap.client.client import Client
    from hotswap.client.serving import Served, find_operation
    from hotswap.codec.messages import serialize
    from hotswap.codec.packed import varint
    from hotswap.generation import Configuration
    from hotswap.settings import Settings


@click.command()
@click.argument("file", type=local_file)
@click.option("--proto", type=local_file, metavar="FILE", help="A .proto, or a descriptor set.")
@click.option("--deployment", metavar="NAME", help="Instead of --proto: use the one that this deployment serves.")
@operation_option
@allow_missing_option
@click.option("--per-message", type=click.IntRange(min=1), metavar="N", help="Rows per message. [default: all]")
@click.option("--out", "target", type=local_file, metavar="FILE", help="Where to write. [default: stdout]")
@text_options
@kafka_option
@json_option
def encode(file: Path, **given: Any) -> None:
    """Write the rows of a CSV or JSON file as serialized input messages; predict nothing.

    One message is written as it is; several are each preceded by their length (a varint, as in protobuf's own streams).
    A message without repeated fields holds one row, any other all of them.
    """
    served = _served(given)
    operation = find_operation(served.schema, given["operation"])
    with open_rows(file, operation, options_of(given, served.table(operation))) as rows:
        reads = dict.fromkeys(served.reads.get(operation.name, ()), ())  # the fields alone: nothing is scored
        reading = Reading(rows, reads, may_lack=given["may_lack"])
        count = _encode(reading, given["target"], given["per_message"])
    report = {"messages": count, "rows": reading.good, "refused": reading.bad, "is_delimited": count > 1}
    if given["is_json"]:
        print_json(report) if given["target"] else note(str(report))
    else:
        form = "each preceded by its length" if count > 1 else "as it is"
        note(f"rows: {reading.good}, messages: {count} ({form})")
    end(reading.bad)


def _served(given: dict[str, Any]) -> Served:
    if bool(given["proto"]) == bool(given["deployment"]):
        raise UsageError("name the proto: --proto FILE, or --deployment NAME for the one that it serves")
    if given["proto"]:
        return Served(compile_file(given["proto"]), "", {})
    return run(what_serves(make_settings(deployment=given["deployment"], kafka=given["kafka"])))


def _encode(reading: Reading, target: Path | None, per_message: int | None) -> int:
    layout = reading.rows.layout
    size = (per_message or sys.maxsize) if layout.holds_many else 1
    messages = (layout.pack(row.message for row in chunk) for chunk in chunks(reading, size))
    if target is None:
        if sys.stdout.isatty():
            raise UsageError("messages are binary, not for a terminal: send them to a pipe, or name a file with --out")
        return _write(messages, sys.stdout.buffer)
    try:
        with target.open("wb") as output:
            return _write(messages, output)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error


def _write(messages: Iterator[Message], output: BinaryIO) -> int:
    first, second = next(messages, None), next(messages, None)
    if first is None:
        return 0
    if second is None:
        output.write(serialize(first))
        return 1
    count = 0
    for message in chain((first, second), messages):
        value = serialize(message)
        output.write(varint(len(value)) + value)
        count += 1
    return count


@click.command()
@deployment_argument
@click.argument("file", type=local_file)
@click.option("--proto", type=local_file, metavar="FILE", help="A .proto, or a descriptor set. [default: what serves]")
@operation_option
@allow_missing_option
@format_options
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="The most requests per second.")
@click.option(
    "--window",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="The most requests in flight.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=60.0,
    show_default=True,
    metavar="S",
    help="Give up after this many seconds without an answer.",
)
@text_options
@kafka_option
def predict(deployment: str, file: Path, **given: Any) -> None:
    """Publish each row of a CSV or JSON file as a request, and print the predictions in the order of the rows.

    Rows that are refused, here or by the fleet, are listed on stderr with the reasons, and the exit code is then 1.
    """
    check_order(deployment, file)
    settings = make_settings(deployment=deployment, kafka=given["kafka"])
    run(_predict(settings, file, given))


async def _predict(settings: Settings, file: Path, given: dict[str, Any]) -> None:
    served = await _serving(settings, given["proto"])
    if served.is_paused:
        name = settings.deployment
        note(f"hotswap: {name} is paused: the requests wait until it is resumed (`hotswap resume {shlex.quote(name)}`)")
    schema = served.schema
    # If another proto serves, or starts to serve in between, the rows are refused, not misread.
    headers = [("proto-digest", served.proto_sha256.encode())]
    operation = find_operation(schema, given["operation"])
    if schema.default is None:
        headers.append(("operation", operation.name.encode()))
    with open_rows(file, operation, options_of(given, served.table(operation))) as rows:
        reading = Reading(rows, served.reads.get(operation.name, {}), may_lack=given["may_lack"])
        numbers: deque[int] = deque()

        def requests() -> Iterator[Outgoing]:
            for of, values in reading.encoded():
                numbers.extend(of)
                yield from map(Outgoing, values, repeat(None), repeat(headers))

        async def answered() -> AsyncGenerator[Answered, None]:
            async with Client(settings) as client:
                answers = client.predict(
                    requests(), window=given["window"], per_second=given["rate"], timeout_s=given["timeout_s"]
                )
                async with aclosing(answers):
                    async for answer in answers:
                        number = numbers.popleft()
                        if isinstance(answer, Refused):
                            reading.refuse(f"row {number}: refused, {answer.code}: {answer.message}")
                        else:
                            yield number, {"generation": answer.generation}, answer.value

        await print_answers(answered(), operation, given["style"], count_rows(file))
    end(reading.bad)


async def _serving(settings: Settings, proto: Path | None) -> Served:
    """Return what serves; if a proto is given that does not serve, or nothing does, that proto and nothing else."""
    if proto is None:
        return await what_serves(settings)
    digest = read_proto(proto).sha256
    try:
        served = await what_serves(settings)
    except (UsageError, StartError):  # nothing serves, or this user may not read the log
        served = None
    return served if served and served.proto_sha256 == digest else Served(compile_file(proto), digest, {})


@click.command()
@click.argument("file", type=local_file)
@click.option("--model", type=local_model, metavar="FILE", help="The model, a file or a folder.")
@kind_option
@click.option("--proto", type=local_file, metavar="FILE", help="A .proto, or a descriptor set.")
@click.option("--config", type=local_file, metavar="FILE", help="The configuration: JSON, or modelConfig.properties.")
@package_option
@operation_option
@allow_missing_option
@click.option("--activate", metavar="DEPLOYMENT", help="If no row is refused, swap this deployment to the same model.")
@format_options
@text_options
@kafka_option
def score(file: Path, **given: Any) -> None:
    """Score the rows of a CSV or JSON file locally, without Kafka, with a given model and proto.

    With --activate, a deployment is then swapped to the model, the proto and the configuration, with the first rows as
    the samples that each of its workers must score first; if a row is refused, nothing changes.
    """
    settings = make_settings(deployment=given["activate"], kafka=given["kafka"])
    with parts_of(given) as parts:
        run(_score(settings, file, given, parts))


async def _score(settings: Settings, file: Path, given: dict[str, Any], parts: Parts) -> None:
    model, proto, configuration = parts.model, parts.proto, parts.configuration or Configuration()
    if not isinstance(model, Path) or proto is None:
        raise UsageError("a model and a proto are needed: add --model and --proto, or a --package that has both")
    schema = compile_given(proto)
    operation = find_operation(schema, given["operation"])
    samples: list[bytes] = []
    unknown = Counter[str]()
    options = partial(options_of, given)
    options()  # what is wrong with them is said before the model is loaded
    hosting = partial(_own_host, settings, model, parts.kind, proto, configuration)
    began = time.monotonic()
    note(f"starting a model host and loading {model} ...")
    async with hosting(on_unknown=partial(_add, unknown), on_restart=_tell_restart) as (host, description):
        note(f"loaded after {time.monotonic() - began:.1f} s; scoring")
        table = configuration.table(description.fields.get(operation.name))
        with open_rows(file, operation, options(table)) as rows:
            reading = Reading(rows, description.reads.get(operation.name, {}), may_lack=given["may_lack"])

            async def answered() -> AsyncGenerator[Answered, None]:
                for chunk in chunks(reading, CHUNK):
                    values = [serialize(rows.layout.pack([row.message])) for row in chunk]
                    samples.extend(values[: MOST_SAMPLES - len(samples)])
                    answers = await host.score(values, [Ask(operation.name)] * len(values))
                    for row, answer in zip(chunk, answers, strict=True):
                        if isinstance(answer, Refusal):
                            reading.refuse(f"row {row.number}: refused, {answer.code}: {answer.message}")
                        else:
                            yield row.number, {}, answer

            await print_answers(answered(), operation, given["style"], count_rows(file))
    reading.unknown.note_untold(unknown)
    end(reading.bad)
    if given["activate"]:
        if not samples:
            raise Failure("no row was scored, so nothing is activated", REFUSED)
        # Samples are for the first operation: messages of another one would be refused.
        is_first = operation is next(iter(schema.operations.values()))
        change = Change(model=model, kind=parts.kind, proto=proto, configuration=configuration)
        await _activate(settings, replace(change, samples=as_samples(samples) if is_first else ()))


def _own_host(*given: Any, **more: Any) -> Any:
    from hotswap.client.scoring import own_host  # noqa: PLC0415 - not to be had on Windows; see cli/main.py

    return own_host(*given, **more)


def _add(unknown: Counter[str], column: str, count: int) -> None:
    unknown[column] += count


def _tell_restart(why: str) -> None:
    note(f"the model host was restarted: it {why.replace('_', ' ')}")


async def _activate(settings: Settings, change: Change) -> None:
    receipt, answer = await publish_and_follow(settings, lambda client: client.swap(change))
    if answer is None or not answer.is_good:
        raise Failure(what_went_wrong(receipt, answer) if answer else "no worker has answered", REFUSED)
    note(f"{title_of(receipt)} of {settings.deployment} serves on {counted(len(answer.told), 'worker')}")
