"""Commands to the control topic: written, signed if there is a key, and read back with their verdicts."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from hotswap.batch import Headers
from hotswap.client import overview
from hotswap.client.answers import PAUSE_S
from hotswap.client.history import History
from hotswap.commands import encode_command
from hotswap.errors import Doubt, StartError, SwapCode, SwapError, UsageError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.topics.topics import untimely
from hotswap.kafka.topics.writer import LogWriter
from hotswap.settings import Settings
from hotswap.swap.command import RULES, Command, Verdict, out_of_reach
from hotswap.trust.file import Trust
from hotswap.trust.keys import Signer


async def write_command(
    settings: Settings,
    writer: LogWriter,
    command: Command,
    signer: Signer | None,
    trust: Trust | None = None,
    complete: Callable[[], Awaitable[Command]] | None = None,
) -> Verdict:
    """Write a command and return its verdict, which is that of every worker; `trust` as for `History.of`.

    `complete` returns the command as it is to be written, and is called right before.

    Raises:
        SwapError: OUT_OF_RANGE, its number would leave too few above it; nothing was written.
        TooOld: the log has a command of a later version; nothing was written, unless that one came meanwhile.
        Doubt: it may have been written.

    """
    settings = await settled(settings)
    topic, number = settings.topics.control, getattr(command, "generation", 0)
    history = History.of(settings, trust)
    async with overview.control_log(settings, history) as reader:
        async for records in reader.to_end():
            history.receive(records)
        history.check()
        value, headers = record_of(history, await complete() if complete else command, signer)
        key = f"{settings.deployment}/{number}".encode()
        _, offset = await writer.append(topic, value, key=key, headers=headers, partition=0)
        deadline = time.monotonic() + settings.call_timeout_s
        while (verdict := history.verdict_at(offset)) is None:
            history.check()
            if time.monotonic() > deadline:
                raise Doubt("the command was written, but could not be read back in time: check `hotswap status`")
            history.receive(await reader.read(PAUSE_S))
    return verdict


def record_of(history: History, command: Command, signer: Signer | None) -> tuple[bytes, Headers]:
    """Return the value and the headers of the record by which a command follows these ones.

    Raises:
        SwapError: OUT_OF_RANGE, its number would leave too few above it.

    """
    newest, number, guard = history.timeline.newest, getattr(command, "generation", 0), history.fold.guard
    # Check before writing: a log without a mark would accept such a number, as its last one.
    if number and (why_not := out_of_reach(max(number, newest + 1), newest)):
        raise SwapError(SwapCode.OUT_OF_RANGE, why_not)
    value = encode_command(history.deployment, replace(command, rules=RULES))
    return value, signer.headers(value, topic=guard.topic, cluster=guard.cluster) if signer else ()


async def check_trust(settings: Settings, signer: Signer | None, revoked: Sequence[str]) -> None:
    """Check that a Trust command can be verified and obeyed; once written, it cannot be undone.

    Raises:
        UsageError: there is no signing key or trust file, the file lacks a key, or a live worker lacks the file.
        StartError: the control topic keeps its publishers' timestamps.

    """
    settings = await settled(settings)
    if signer is None or settings.trust is None:
        raise UsageError("this needs a trust file (HOTSWAP_TRUST) and one of its keys to sign with (--sign-with)")
    trust = Trust.read(settings.trust)
    if unknown := [key for key in (signer.id, *revoked) if key not in trust.keys]:
        raise UsageError(f"the trust file has no key {unknown[0]}: it has {', '.join(trust.keys)}")
    if not revoked:  # a revocation may be urgent, and reports may be forged
        await _check_workers(settings, trust)
    control = settings.topics.control
    async with Admin.connect(settings) as admin:
        topic_settings = await admin.topic_settings([control])
    if fault := untimely(control, topic_settings[control]):
        raise StartError(fault[0])


async def _check_workers(settings: Settings, trust: Trust) -> None:
    fleet, now = await overview.read_fleet(settings), time.time()
    views = sorted(fleet.workers.items())
    if others := [name for name, view in views if view.is_live(now) and view.trust_sha256 != trust.sha256]:
        raise UsageError(
            f"{', '.join(others)}: no trust file, or another one than {settings.trust}, so they would decide "
            "commands differently: restart these workers with it (HOTSWAP_TRUST), then require signatures"
        )
