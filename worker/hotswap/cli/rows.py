"""`hotswap encode`, `predict` and `score`: input messages of a CSV or JSON file's rows, and predictions."""

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
    compile_proto,
    downloaded,
    open_rows,
    package_option,
    parts_of,
    read_served,
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
    Reading,
    RowPrediction,
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
    from hotswap.cli.follow import failure_of, publish_and_follow, title_of
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
@click.option("--deployment", metavar="NAME", help="Instead of --proto: use the one served by this deployment.")
@operation_option
@allow_missing_option
@click.option("--per-message", type=click.IntRange(min=1), metavar="N", help="Rows per message. [default: all]")
@click.option("--out", "target", type=local_file, metavar="FILE", help="The output file. [default: stdout]")
@text_options
@kafka_option
@json_option
def encode(file: Path, **options: Any) -> None:
    """Write the rows of a CSV or JSON file as serialized input messages; predict nothing.

    A single message is written without framing; several are each preceded by their length (a varint, as in protobuf's
    delimited streams). A message without repeated fields holds one row, any other all of them.
    """
    served = _served(options)
    operation = find_operation(served.schema, options["operation"])
    with open_rows(file, operation, options_of(options, served.table(operation))) as rows:
        reads = dict.fromkeys(served.reads.get(operation.name, ()), ())  # without known values: nothing is scored
        reading = Reading(rows, reads, may_lack=options["may_lack"])
        count = _encode(reading, options["target"], options["per_message"])
    report = {"messages": count, "rows": reading.good, "refused": reading.bad, "is_delimited": count > 1}
    if options["is_json"]:
        print_json(report) if options["target"] else note(str(report))
    else:
        form = "each preceded by its length" if count > 1 else "without framing"
        note(f"rows: {reading.good}, messages: {count} ({form})")
    end(reading.bad)


def _served(options: dict[str, Any]) -> Served:
    if bool(options["proto"]) == bool(options["deployment"]):
        raise UsageError("name the proto: --proto FILE, or --deployment NAME for its serving one")
    if options["proto"]:
        return Served(compile_file(options["proto"]), "", {})
    return run(read_served(make_settings(deployment=options["deployment"], kafka=options["kafka"])))


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
@click.option(
    "--proto", type=local_file, metavar="FILE", help="A .proto, or a descriptor set. [default: the serving one]"
)
@operation_option
@allow_missing_option
@format_options
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="The maximum rate in requests per second."
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="The maximum number of requests in flight.",
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
def predict(deployment: str, file: Path, **options: Any) -> None:
    """Publish each row of a CSV or JSON file as a request, and print the predictions in the order of the rows.

    Refused rows are listed on stderr with the reasons, and make the exit code 1.
    """
    check_order(deployment, file)
    settings = make_settings(deployment=deployment, kafka=options["kafka"])
    run(_predict(settings, file, options))


async def _predict(settings: Settings, file: Path, options: dict[str, Any]) -> None:
    served = await _serving(settings, options["proto"])
    if served.is_paused:
        name = settings.deployment
        note(f"hotswap: {name} is paused: the requests wait until it is resumed (`hotswap resume {shlex.quote(name)}`)")
    schema = served.schema
    # If another proto serves, or starts to serve in between, the rows are refused, not misread.
    headers = [("proto-digest", served.proto_sha256.encode())]
    operation = find_operation(schema, options["operation"])
    if schema.default is None:
        headers.append(("operation", operation.name.encode()))
    with open_rows(file, operation, options_of(options, served.table(operation))) as rows:
        reading = Reading(rows, served.reads.get(operation.name, {}), may_lack=options["may_lack"])
        numbers: deque[int] = deque()

        def requests() -> Iterator[Outgoing]:
            for of, values in reading.encoded():
                numbers.extend(of)
                yield from map(Outgoing, values, repeat(None), repeat(headers))

        async def predictions() -> AsyncGenerator[RowPrediction, None]:
            async with Client(settings) as client:
                answers = client.predict(
                    requests(), window=options["window"], per_second=options["rate"], timeout_s=options["timeout_s"]
                )
                async with aclosing(answers):
                    async for answer in answers:
                        number = numbers.popleft()
                        if isinstance(answer, Refused):
                            reading.refuse(f"row {number}: refused, {answer.code}: {answer.message}")
                        else:
                            yield number, {"generation": answer.generation}, answer.value

        await print_answers(predictions(), operation, options["style"], count_rows(file))
    end(reading.bad)


async def _serving(settings: Settings, proto: Path | None) -> Served:
    """Return the serving generation; if `proto` is set and does not serve, that proto alone."""
    if proto is None:
        return await read_served(settings)
    digest = read_proto(proto).sha256
    try:
        served = await read_served(settings)
    except (UsageError, StartError):  # nothing serves, or this user cannot read the log
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
@click.option("--activate", metavar="DEPLOYMENT", help="If no row is refused, swap this deployment to the model.")
@format_options
@text_options
@kafka_option
def score(file: Path, **options: Any) -> None:
    """Score the rows of a CSV or JSON file locally, without Kafka, with a model and a proto from files.

    --activate then swaps a deployment to the model, the proto and the configuration, with the first rows as samples,
    which each worker must score first; if a row is refused, nothing changes.
    """
    settings = make_settings(deployment=options["activate"], kafka=options["kafka"])
    with downloaded(options) as found, parts_of(found) as parts:
        run(_score(settings, file, options, parts))


async def _score(settings: Settings, file: Path, options: dict[str, Any], parts: Parts) -> None:
    model, proto, configuration = parts.model, parts.proto, parts.configuration or Configuration()
    if not isinstance(model, Path) or proto is None:
        raise UsageError("a model and a proto are needed: add --model and --proto, or a --package that has both")
    schema = compile_proto(proto)
    operation = find_operation(schema, options["operation"])
    samples: list[bytes] = []
    unknown = Counter[str]()
    read_options = partial(options_of, options)
    read_options()  # report an error in them before the model is loaded
    hosting = partial(_own_host, settings, model, parts.kind, proto, configuration)
    began = time.monotonic()
    note(f"starting a model host and loading {model} ...")
    async with hosting(on_unknown=partial(_add, unknown), on_restart=_note_restart) as (host, description):
        note(f"loaded after {time.monotonic() - began:.1f} s; scoring")
        table = configuration.table(description.fields.get(operation.name))
        with open_rows(file, operation, read_options(table)) as rows:
            reading = Reading(rows, description.reads.get(operation.name, {}), may_lack=options["may_lack"])

            async def predictions() -> AsyncGenerator[RowPrediction, None]:
                for chunk in chunks(reading, CHUNK):
                    values = [serialize(rows.layout.pack([row.message])) for row in chunk]
                    samples.extend(values[: MOST_SAMPLES - len(samples)])
                    answers = await host.score(values, [Ask(operation.name)] * len(values))
                    for row, answer in zip(chunk, answers, strict=True):
                        if isinstance(answer, Refusal):
                            reading.refuse(f"row {row.number}: refused, {answer.code}: {answer.message}")
                        else:
                            yield row.number, {}, answer

            await print_answers(predictions(), operation, options["style"], count_rows(file))
    reading.unknown.note_host_counts(unknown)
    end(reading.bad)
    if options["activate"]:
        if not samples:
            raise Failure("no row was scored, so nothing is activated", REFUSED)
        # Samples are for the first operation: messages of another one would be refused.
        is_first = operation is next(iter(schema.operations.values()))
        change = Change(model=model, kind=parts.kind, proto=proto, configuration=configuration)
        await _activate(settings, replace(change, samples=as_samples(samples) if is_first else ()))


def _own_host(*args: Any, **kwargs: Any) -> Any:
    from hotswap.client.scoring import own_host  # noqa: PLC0415 - unavailable on Windows; see cli/main.py

    return own_host(*args, **kwargs)


def _add(unknown: Counter[str], column: str, count: int) -> None:
    unknown[column] += count


def _note_restart(why: str) -> None:
    note(f"the model host was restarted: it {why.replace('_', ' ')}")


async def _activate(settings: Settings, change: Change) -> None:
    receipt, answer = await publish_and_follow(settings, lambda client: client.swap(change))
    if answer is None or not answer.is_good:
        raise Failure(failure_of(receipt, answer) if answer else "no worker has answered", REFUSED)
    note(f"{title_of(receipt)} of {settings.deployment} serves on {counted(len(answer.told), 'worker')}")
