"""Aborts a transaction that hangs, where `client/hanging.py` allows it."""

import time
from typing import NamedTuple

from hotswap.client.hanging import Hanging, hanging
from hotswap.errors import UsageError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.transactions.open_transactions import fence, look, write_abort_marker
from hotswap.kafka.wire.brokers import Brokers
from hotswap.settings import Settings


class Which(NamedTuple):
    """A transaction as an operator names it."""

    topic: str
    partition: int
    producer_id: int


async def read_hanging(settings: Settings, which: Which) -> Hanging:
    """Return the transaction, which hangs and may be aborted.

    Raises:
        UsageError: it does not, or may not; the message says why.
        StartError: no broker answers, or the topic does not exist.
        Doubt: Kafka did not answer in time.
        Denied: this user lacks a right.

    """
    settings = await settled(settings)
    if which.topic not in settings.topics:
        raise UsageError(f"{which.topic} is no topic of {settings.deployment}: it has {', '.join(settings.topics)}")
    async with Admin.connect(settings) as admin:
        if which.partition >= (count := await admin.partitions(which.topic)):
            raise UsageError(f"{which.topic} has no partition {which.partition}: it has {count}, from 0 on")
    async with Brokers.connect(settings) as brokers:
        return await _read(settings, brokers, which)


async def _read(settings: Settings, brokers: Brokers, which: Which) -> Hanging:
    topic, partition, producer = which
    seen = await look(settings, brokers, [(topic, partition)])
    if topic in seen.unread:
        raise UsageError(f"this user may not look at {topic}: grant Read on it")
    if not any(one.producer_id == producer for one in seen.open):
        others = ", ".join(str(one.producer_id) for one in seen.open) or "none"
        raise UsageError(
            f"producer {producer} has no transaction open in partition {partition} of {topic} (has: {others})"
        )
    found = next((each for each in hanging(settings, seen, _now_ms()) if each.open.producer_id == producer), None)
    if found is None:
        raise UsageError(f"producer {producer} has a transaction open, but not for longer than its time-out: wait")
    if found.refusal:
        raise UsageError(f"not aborted: {found.refusal}")
    return found


def steps(one: Hanging) -> list[str]:
    """Return what `abort` does, a line each."""
    at = one.open
    marker = f"write an abort marker to partition {at.partition} of {at.topic}"
    lost = f"its records from offset {at.start} on are never read by readers of committed records"
    if not one.is_ours or not one.holder:
        return [f"{marker}: {lost}"]
    first = f"initialize {one.holder.transactional_id}: a worker that has it opens its partition again"
    kept = "answers whose offset is committed are lost with it, which a worker that opens the partition would keep"
    return [first, f"{marker}, if the transaction is open then: {kept}"]


async def abort(settings: Settings, one: Hanging) -> None:
    """Abort what `read_hanging` has returned.

    Raises:
        UsageError: it has changed meanwhile.
        Doubt: Kafka did not answer in time, or refuses.
        Denied: this user lacks a right.

    """
    settings = await settled(settings)
    which = Which(one.open.topic, one.open.partition, one.open.producer_id)
    async with Brokers.connect(settings) as brokers:
        if await _read(settings, brokers, which) != one:
            raise UsageError("the transaction has changed meanwhile: look at it again with `hotswap doctor`")
        if one.is_ours and one.holder:
            # So that no worker writes under this epoch while the marker is on its way, which would abort that, too.
            await fence(settings, brokers, one.holder.transactional_id)
            if one.open not in (await look(settings, brokers, [which[:2]])).open:
                return
        await write_abort_marker(settings, brokers, one.open)


def _now_ms() -> int:
    return int(time.time() * 1_000)
