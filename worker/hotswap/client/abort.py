"""The abort of a hanging transaction, if `client/hanging.py` allows it."""

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
    """The key of a transaction, as an operator types it."""

    topic: str
    partition: int
    producer_id: int


async def read_hanging(settings: Settings, which: Which) -> Hanging:
    """Return the hanging transaction, which may be aborted.

    Raises:
        UsageError: it does not hang, or must not be aborted; the message has the reason.
        StartError: no broker answers, or the topic does not exist.
        Doubt: Kafka did not answer in time.
        Denied: this user lacks a right.

    """
    settings = await settled(settings)
    if which.topic not in settings.topics:
        raise UsageError(f"{which.topic} is not a topic of {settings.deployment}: it has {', '.join(settings.topics)}")
    async with Admin.connect(settings) as admin:
        if which.partition >= (count := await admin.partitions(which.topic)):
            raise UsageError(f"{which.topic} has no partition {which.partition}: it has {count}, from 0 on")
    async with Brokers.connect(settings) as brokers:
        return await _read(settings, brokers, which)


async def _read(settings: Settings, brokers: Brokers, which: Which) -> Hanging:
    topic, partition, producer = which
    listed = await look(settings, brokers, [(topic, partition)])
    if topic in listed.unread:
        raise UsageError(f"this user may not read {topic}: grant Read on it")
    if not any(transaction.producer_id == producer for transaction in listed.open):
        others = ", ".join(str(transaction.producer_id) for transaction in listed.open) or "none"
        raise UsageError(
            f"producer {producer} has no transaction open in partition {partition} of {topic} (has: {others})"
        )
    candidates = hanging(settings, listed, _now_ms())
    match = next((each for each in candidates if each.open.producer_id == producer), None)
    if match is None:
        raise UsageError(f"producer {producer} has a transaction open, but not for longer than its time-out: wait")
    if match.refusal:
        raise UsageError(f"not aborted: {match.refusal}")
    return match


def steps(transaction: Hanging) -> list[str]:
    """Return the steps of `abort`, one line each."""
    at = transaction.open
    marker = f"write an abort marker to partition {at.partition} of {at.topic}"
    lost = f"its records from offset {at.start} on are never read by readers of committed records"
    if not transaction.is_ours or not transaction.holder:
        return [f"{marker}: {lost}"]
    first = f"initialize {transaction.holder.transactional_id}: a worker that uses it opens its partition again"
    kept = "answers whose offset is committed are lost with it, but a worker that opens the partition would keep them"
    return [first, f"{marker}, if the transaction is open then: {kept}"]


async def abort(settings: Settings, transaction: Hanging) -> None:
    """Abort a transaction that `read_hanging` returned.

    Raises:
        UsageError: it has changed meanwhile.
        Doubt: Kafka refused, or did not answer in time.
        Denied: this user lacks a right.

    """
    settings = await settled(settings)
    at = transaction.open
    which = Which(at.topic, at.partition, at.producer_id)
    async with Brokers.connect(settings) as brokers:
        if await _read(settings, brokers, which) != transaction:
            raise UsageError("the transaction has changed meanwhile: inspect it again with `hotswap doctor`")
        if transaction.is_ours and transaction.holder:
            # Fence first: the marker would also abort records that a worker writes under this epoch in the meantime.
            await fence(settings, brokers, transaction.holder.transactional_id)
            if at not in (await look(settings, brokers, [which[:2]])).open:
                return
        await write_abort_marker(settings, brokers, at)


def _now_ms() -> int:
    return int(time.time() * 1_000)
