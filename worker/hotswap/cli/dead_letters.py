"""`hotswap dead-letters`: list refused requests with their reasons, and publish them again."""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    local_time,
    make_settings,
    print_json,
    run,
    show,
)
from hotswap.errors import UsageError
from hotswap.printable import printable, seconds_of

with late:
    from hotswap.client.answers import Outgoing, header_texts, refused
    from hotswap.client.client import Client
    from hotswap.client.refusals import as_request, lacks_value
    from hotswap.kafka.topics.log import LogReader
    from hotswap.settings import Settings

_CHUNK = 500
_READ_S = 0.5


@dataclass(frozen=True, slots=True)
class _Filter:
    since_ms: int
    code: str | None

    def matches(self, record: Any) -> bool:
        return record.timestamp >= self.since_ms and (not self.code or header_texts(record).get("code") == self.code)


@click.command("dead-letters")
@deployment_argument
@click.option("--since", metavar="TIME", help="From then on: 10m, 2h, 3d ago, or 2026-05-01T12:00.")
@click.option("--code", metavar="CODE", help="Only those with this code.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@click.option("--follow", "is_following", is_flag=True, help="Print new ones from now on, until Ctrl-C.")
@click.option("--all", "is_all", is_flag=True, help="With --follow: the existing ones first.")
@click.option("--replay", "is_replaying", is_flag=True, help="Publish their requests again.")
@click.option("--yes", "is_sure", is_flag=True, help="Replay without confirmation.")
@kafka_option
@json_option
def dead_letters(deployment: str, **options: Any) -> None:
    """List the refused requests by time, each with its place, generation and reason.

    --follow prints new refusals; with --since, --limit or --all, earlier ones first.

    --replay publishes the original bytes, key and headers to the requests topic again and keeps the request-id, so that
    a waiting client gets its answer; the header `replay-of` names the refused request.
    """
    settings = make_settings(deployment=deployment, kafka=options["kafka"])
    selection = _Filter(parse_since(options["since"], time.time()) if options["since"] else 0, options["code"])
    if options["is_replaying"]:
        if options["is_following"] or options["is_all"] or options["limit"]:
            raise UsageError(
                "--replay can be combined with --since and --code, but not with --follow, --all or --limit"
            )
        run(_replay(settings, selection, options))
    else:
        run(_list(settings, selection, options))


def parse_since(text: str, now: float) -> int:
    """Parse an age (10m, 2h) or an ISO 8601 time (local without a zone) to ms since the epoch.

    Raises:
        UsageError: the text is neither.

    """
    if (age_s := seconds_of(text)) is not None:
        return int((now - age_s) * 1000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise UsageError(f"--since {text!r} is neither an age (10m, 2h, 3d) nor an ISO 8601 time") from None


@asynccontextmanager
async def _reading(settings: Settings, offsets: Mapping[int, int] | None = None) -> AsyncIterator[LogReader]:
    reader = LogReader(settings, settings.topics.dead_letters, read_committed=True)
    try:
        await reader.start(offsets)
        yield reader
    finally:
        await reader.stop()


async def _read(settings: Settings, selection: _Filter) -> AsyncGenerator[Any, None]:
    """Yield the dead letters up to the current end: a replay refused again must not be replayed for ever."""
    async with _reading(settings) as reader, aclosing(_up_to(reader, await reader.end())) as chunks:
        async for records in chunks:
            for record in filter(selection.matches, records):
                yield record


async def _up_to(reader: LogReader, ends: Mapping[int, int]) -> AsyncGenerator[list[Any], None]:
    while _unread(await reader.positions(), ends):
        yield [record for record in await reader.read(_READ_S) if record.offset < ends[record.partition]]


def _unread(positions: Mapping[int, int], ends: Mapping[int, int]) -> list[int]:
    return [partition for partition, end in ends.items() if positions[partition] < end]


async def _by_time(
    reader: LogReader, ends: Mapping[int, int], selection: _Filter
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield documents of the dead letters below `ends`, merged by time; each partition is in this order already."""
    waiting: list[tuple[int, int, int, dict[str, Any]]] = []
    last_ms = dict.fromkeys(ends, -1)
    async for records in _up_to(reader, ends):
        for record in records:
            last_ms[record.partition] = record.timestamp
            if selection.matches(record):
                heapq.heappush(waiting, (record.timestamp, record.partition, record.offset, _document(record)))
        unread = _unread(await reader.positions(), ends)
        until = min((last_ms[partition] for partition in unread), default=math.inf)
        while waiting and waiting[0][0] <= until:
            yield heapq.heappop(waiting)[-1]


async def _list(settings: Settings, selection: _Filter, options: dict[str, Any]) -> None:
    count = 0
    newest = deque[dict[str, Any]](maxlen=options["limit"] or 0)
    is_only_new = options["is_following"] and not (options["since"] or options["limit"] or options["is_all"])
    async with _reading(settings) as reader:
        ends = await reader.end()
        async with aclosing(_by_time(reader, {} if is_only_new else ends, selection)) as documents:
            async for document in documents:
                if options["limit"]:
                    newest.append(document)
                else:
                    _print(document, options)
                    count += 1
    for document in newest:
        _print(document, options)
    if options["is_following"]:
        await _follow(settings, ends, selection, options)
    note(f"{count + len(newest)} dead letters")


async def _follow(settings: Settings, ends: Mapping[int, int], selection: _Filter, options: dict[str, Any]) -> None:
    """Print the dead letters from these offsets on, until Ctrl-C."""
    async with _reading(settings, ends) as reader:
        while True:
            for record in sorted(await reader.read(_READ_S), key=lambda record: record.timestamp):
                if selection.matches(record):
                    _print(_document(record), options)


def _document(record: Any) -> dict[str, Any]:
    why, headers = refused(record), header_texts(record)
    return {
        "at_ms": record.timestamp,
        "partition": record.partition,
        "offset": record.offset,
        "source": why.source,
        "code": why.code,
        "message": why.message,
        "generation": why.generation,
        "operation": headers.get("operation", ""),
        "request_id": headers.get("request-id", ""),
        "bytes": len(record.value or b""),
        "is_value_kept": not lacks_value(record),
    }


def _print(document: dict[str, Any], options: dict[str, Any]) -> None:
    if options["is_json"]:
        print_json(document)
        return
    missing = "" if document["is_value_kept"] else "  (value not kept)"
    why = "  ".join([document["source"], f"generation {document['generation']}", document["code"], document["message"]])
    show(printable(f"{local_time(document['at_ms'])}  {why}{missing}"))


async def _replay(settings: Settings, selection: _Filter, options: dict[str, Any]) -> None:
    if not options["is_sure"]:
        async with aclosing(_read(settings, selection)) as records:
            count = sum([1 async for record in records if not lacks_value(record)])
        question = f"publish {count} refused requests to {settings.topics.requests} again?"
        if not count or not click.confirm(printable(question), err=True):
            note(f"{count} dead letters, none published again")
            return
    published = not_kept = 0
    async with Client(settings) as client, aclosing(_read(settings, selection)) as records:
        chunk: list[Outgoing] = []
        async for record in records:
            if lacks_value(record):
                not_kept += 1
                note(f"{refused(record).source} cannot be published again: value not kept")
                continue
            chunk.append(as_request(record))
            if len(chunk) == _CHUNK:
                published += len(await client.publish(chunk))
                chunk.clear()
        published += len(await client.publish(chunk))
    if options["is_json"]:
        print_json({"published": published} | ({"not_kept": not_kept} if not_kept else {}))
    else:
        show(f"{published} requests published to {settings.topics.requests} again")
