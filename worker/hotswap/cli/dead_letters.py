"""`hotswap dead-letters`: lists refused requests with the reasons, and publishes them again."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
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
from hotswap.printable import printable

with late:
    from hotswap.client.answers import Outgoing, header_texts, refused
    from hotswap.client.client import Client
    from hotswap.client.refusals import as_request, lacks_value
    from hotswap.kafka.log import LogReader
    from hotswap.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CHUNK = 500
_READ_S = 0.5


@dataclass(frozen=True, slots=True)
class _Wanted:
    since_ms: int
    code: str | None

    def takes(self, record: Any) -> bool:
        return record.timestamp >= self.since_ms and (not self.code or header_texts(record).get("code") == self.code)


@click.command("dead-letters")
@deployment_argument
@click.option("--since", metavar="TIME", help="From then on: 10m, 2h, 3d ago, or 2026-05-01T12:00.")
@click.option("--code", metavar="CODE", help="Only those with this code.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@click.option("--follow", "is_following", is_flag=True, help="Print new ones as they arrive, until Ctrl-C.")
@click.option("--replay", "is_replaying", is_flag=True, help="Publish their requests again.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask before the replay.")
@kafka_option
@json_option
def dead_letters(deployment: str, **given: Any) -> None:
    """List the refused requests: when, where, by which generation, and why.

    --replay publishes the original bytes, key and headers to the requests topic again and keeps the request-id, so that
    a client waiting for it is answered; the header `replay-of` names the request that was refused.
    """
    settings = make_settings(deployment=deployment, kafka=given["kafka"])
    wanted = _Wanted(parse_since(given["since"], time.time()) if given["since"] else 0, given["code"])
    if given["is_replaying"]:
        if given["is_following"] or given["limit"]:
            raise UsageError("--replay can be combined with --since and --code, but not with --follow or --limit")
        run(_replay(settings, wanted, given))
    else:
        run(_list(settings, wanted, given))


def parse_since(text: str, now: float) -> int:
    """Return a time in ms since the epoch, given as an age (10m, 2h) or in ISO 8601 (local time without a zone).

    Raises:
        UsageError: it is neither.

    """
    if match := re.fullmatch(r"(\d+)([smhd])", text):
        return int((now - int(match[1]) * _UNITS[match[2]]) * 1000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise UsageError(f"--since {text!r} is neither an age (10m, 2h, 3d) nor an ISO 8601 time") from None


async def _read(settings: Settings, wanted: _Wanted, *, is_following: bool = False) -> AsyncGenerator[Any, None]:
    """Yield the dead letters up to the current end (a replay that is refused again must not be replayed for ever)."""
    reader = LogReader(settings, settings.topics.dead_letters, read_committed=True)
    try:
        await reader.start()
        ends = await reader.end()
        while is_following or not _is_past(await reader.positions(), ends):
            for record in await reader.read(_READ_S):
                if wanted.takes(record) and (is_following or record.offset < ends[record.partition]):
                    yield record
    finally:
        await reader.stop()


def _is_past(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(positions[partition] >= end for partition, end in ends.items())


async def _list(settings: Settings, wanted: _Wanted, given: dict[str, Any]) -> None:
    count = 0
    if given["limit"]:
        async with aclosing(_read(settings, wanted)) as records:
            newest: list[tuple[int, int, int, Any]] = []
            async for record in records:
                heapq.heappush(newest, (record.timestamp, record.partition, record.offset, record))
                if len(newest) > given["limit"]:
                    heapq.heappop(newest)
        for *_, record in sorted(newest, key=lambda item: item[:3]):
            _print(record, given)
        count = len(newest)
    if given["is_following"] or not given["limit"]:
        if given["is_following"] and given["limit"]:
            wanted = _Wanted(int(time.time() * 1000), wanted.code)
        async with aclosing(_read(settings, wanted, is_following=given["is_following"])) as records:
            async for record in records:
                _print(record, given)
                count += 1
    note(f"{count} dead letters")


def _print(record: Any, given: dict[str, Any]) -> None:
    why = refused(record)
    headers = header_texts(record)
    if given["is_json"]:
        print_json(
            {
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
        )
        return
    gone = "  (value not kept)" if lacks_value(record) else ""
    at = local_time(record.timestamp)
    show(printable(f"{at}  {why.source}  generation {why.generation}  {why.code}  {why.message}{gone}"))


async def _replay(settings: Settings, wanted: _Wanted, given: dict[str, Any]) -> None:
    if not given["is_sure"]:
        async with aclosing(_read(settings, wanted)) as records:
            count = sum([1 async for record in records if not lacks_value(record)])
        question = f"publish {count} refused requests to {settings.topics.requests} again?"
        if not count or not click.confirm(printable(question), err=True):
            note(f"{count} dead letters, none published again")
            return
    published = refused_here = 0
    async with Client(settings) as client, aclosing(_read(settings, wanted)) as records:
        chunk: list[Outgoing] = []
        async for record in records:
            if lacks_value(record):
                refused_here += 1
                note(f"{refused(record).source} cannot be published again: value not kept")
                continue
            chunk.append(as_request(record))
            if len(chunk) == _CHUNK:
                published += len(await client.publish(chunk))
                chunk.clear()
        published += len(await client.publish(chunk))
    if given["is_json"]:
        print_json({"published": published} | ({"not_kept": refused_here} if refused_here else {}))
    else:
        show(f"{published} requests published to {settings.topics.requests} again")
