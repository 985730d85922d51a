"""Hanging transactions: which ones hang, the advice for each, and which may be aborted; decided without I/O.

A reader of committed records stops at the first open transaction of a partition. A coordinator aborts transactions that
exceed their time-out; one that it does not know stays open until somebody ends it (KIP-664).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from hotswap.client.findings import Finding, Level
from hotswap.kafka.transactions.open_transactions import Holder, Open, OpenTransactions
from hotswap.printable import duration
from hotswap.settings import Settings

TRANSACTIONS: Final = "transactions"
_USUAL_MS: Final = 60_000
"""Least silence of a transaction that no coordinator has open: the default time-out of Kafka's own producer."""
_GRACE_MS: Final = 15_000
"""A coordinator looks for transactions past their time-out every 10 s."""
_ENDING: Final = ("PrepareCommit", "PrepareAbort", "PrepareEpochFence")
_REOPEN: Final = "restart the worker that has the partition: it ends it as its transaction ended"


class Hanging(NamedTuple):
    """A transaction that has been open for longer than its time-out."""

    open: Open
    holder: Holder | None
    """Its producer, according to a coordinator; None: no coordinator knows it."""
    is_ours: bool
    """Whether its transactional id is of the deployment."""
    since_ms: int
    refusal: str
    """Why it may not be aborted by an operator; empty: it may."""


def prefix(settings: Settings) -> str:
    """Return the prefix of a deployment's transactional ids."""
    return f"{settings.group_id}-{settings.topics.requests}-"


def hanging(settings: Settings, seen: OpenTransactions, now_ms: int) -> list[Hanging]:
    """Return the transactions that have been open for longer than their time-out."""
    overdue = []
    for one in seen.open:
        holder = seen.holders.get(one.producer_id)
        if (since_ms := _overdue_since(one, holder, now_ms)) is not None:
            is_ours = holder is not None and holder.transactional_id.startswith(prefix(settings))
            refusal = _refusal(one, holder, seen.unseen, is_ours=is_ours)
            overdue.append(Hanging(one, holder, is_ours, since_ms, refusal))
    return overdue


def _has(holder: Holder | None, one: Open) -> bool:
    """Return whether this is the transaction that a coordinator has open."""
    return holder is not None and holder.state == "Ongoing" and (one.topic, one.partition) in holder.partitions


def _overdue_since(one: Open, holder: Holder | None, now_ms: int) -> int | None:
    if holder and _has(holder, one):
        since, longest = holder.started_ms, holder.timeout_ms + _GRACE_MS
    else:
        since, longest = one.last_ms, max(_USUAL_MS, holder.timeout_ms + _GRACE_MS if holder else 0)
    return since if now_ms - since > longest else None


def _refusal(one: Open, holder: Holder | None, unseen: str, *, is_ours: bool) -> str:
    """Return why it must not be aborted: its owner may still commit it, or has done so. Empty: it may be."""
    if holder is None:
        return f"not all coordinators could be checked: {unseen}" if unseen else ""
    name = holder.transactional_id
    if not is_ours:
        return f"{name} is no transactional id of this deployment: its producer must end it"
    if holder.state in _ENDING:
        return f"the coordinator of {name} is ending it ({holder.state}): check the brokers"
    if holder.state == "CompleteCommit":
        return f"the last transaction of {name} was committed, so an abort may lose answers: {_REOPEN}"
    if holder.state == "Ongoing" and not _has(holder, one):
        return f"{name} is in use, by another transaction: {_REOPEN}"
    return ""


def _ends_by_itself(one: Hanging) -> bool:
    """Return whether a coordinator may still end it, as far as is known."""
    if one.holder is None:
        return bool(one.refusal)
    return _has(one.holder, one.open) or one.holder.state in _ENDING


def described(one: Hanging) -> str:
    """Return the transaction, its age and its producer in one line."""
    at, holder = one.open, one.holder
    since = f"since {_time(one.since_ms)}, from offset {at.start} on"
    producer = f"producer {at.producer_id} (epoch {at.epoch})"
    if holder is None:
        owner = "no coordinator knows it" if not one.refusal else "its transactional id is unknown"
    else:
        own = "an id of this deployment" if one.is_ours else "no id of this deployment"
        owner = f"transactional id {holder.transactional_id}, {own}, {_state(one, holder)}"
    return f"{at.topic}, partition {at.partition}: {producer} has a transaction open {since}; {owner}"


def _state(one: Hanging, holder: Holder) -> str:
    if _has(holder, one.open):
        return f"with a time-out of {duration(holder.timeout_ms / 1_000)}"
    return f"whose coordinator does not have it open ({holder.state})"


def _time(ms: int) -> str:
    """Format a timestamp, which a producer may have set beyond the calendar."""
    try:
        return (
            datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if ms >= 0 else "an unknown time"
        )
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def findings(settings: Settings, seen: OpenTransactions, now_ms: int) -> Iterator[Finding]:
    """Yield the findings of `hotswap doctor` on open transactions.

    A fault does not end by itself; a transaction that a coordinator or another owner has open may.
    """
    if seen.unread:
        what = f"may be open on {', '.join(sorted(seen.unread))}: this user may not read there"
        yield Finding(Level.WARNING, TRANSACTIONS, what, "grant Read on the topics to this user")
    overdue = hanging(settings, seen, now_ms)
    for one in overdue:
        at = one.open
        command = (
            f"`hotswap abort-transaction {settings.deployment} --topic {at.topic} --partition {at.partition} "
            f"--producer-id {at.producer_id}` ends it"
        )
        level = Level.WARNING if _ends_by_itself(one) else Level.FAULT
        yield Finding(level, TRANSACTIONS, described(one), one.refusal or _first(one) + command)
    if not overdue and not seen.unread:
        yield Finding(Level.OK, TRANSACTIONS, "none has been open for longer than its time-out")


def _first(one: Hanging) -> str:
    """Return the advice that precedes an abort: a worker knows how its own transaction ended."""
    return f"{_REOPEN}; if that does not help, " if one.is_ours else ""
