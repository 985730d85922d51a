"""Publishes a command from the command line, and follows it until every worker's outcome is final."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from hotswap.cli.exits import note
from hotswap.cli.late import later
from hotswap.cli.shared import all_reasons, first_reasons, shortened, styled, table
from hotswap.client.change import Receipt
from hotswap.client.client import Client
from hotswap.client.fleet import FleetAnswer, Told
from hotswap.settings import Settings

with later:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

Publish: TypeAlias = Callable[[Client], Awaitable[Receipt]]
_PHASES = ("fetch", "start", "load", "warm")
_GOOD, _BAD = ("SERVING", "APPLIED"), ("REFUSED", "FAILED", "HELD")
_STYLES = dict.fromkeys(_GOOD, "green") | dict.fromkeys(_BAD, "red") | {"SUPERSEDED": "yellow"}


async def publish_and_follow(
    settings: Settings, publish: Publish, *, is_waiting: bool = True, timeout_s: float | None = None
) -> tuple[Receipt, FleetAnswer | None]:
    """Publish a command and show the fleet's answer on stderr as it arrives; without waiting, the answer is None."""
    async with Client(settings) as client:
        receipt = await publish(client)
        if receipt.incompatible:
            note(f"cut after the backlog, because the proto changes incompatibly: {'; '.join(receipt.incompatible)}")
        if not is_waiting:
            return receipt, None
        shown: dict[str, Told] = {}
        if not sys.stderr.isatty():
            told_by = client.await_swap(receipt, timeout_s, on_told=lambda told: note(_line(told)), on_held_up=note)
            return receipt, _noted(await told_by)
        with Live(console=Console(stderr=True), transient=True) as live:

            def show(told: Told) -> None:
                shown[told.worker] = told
                live.update(outcomes(settings.deployment, receipt, shown))

            answer = await client.await_swap(receipt, timeout_s, on_told=show, on_held_up=note)
        return receipt, _noted(answer)


def _noted(answer: FleetAnswer) -> FleetAnswer:
    """Note what an operator should know of an answer, though it is good."""
    if answer.unverified:
        note(f"the reports are taken as they are, since the committed offsets may not be read: {answer.unverified}")
    if answer.strangers:
        note(f"without a report, and no members of the group, which serves without them: {', '.join(answer.strangers)}")
    return answer


def title_of(receipt: Receipt) -> str:
    """Return what to call the command."""
    return f"generation {receipt.generation}" if receipt.generation else "command"


def _phases(told: Told) -> str:
    known = [phase for phase in _PHASES if phase in told.phase_seconds]
    return "  ".join(f"{phase} {told.phase_seconds[phase]:.2f} s" for phase in known)


def _line(told: Told) -> str:
    why = ": ".join(part for part in (told.code, shortened(told.message)) if part)
    return "  ".join(part for part in (f"{told.worker}: {told.outcome}", _phases(told), why) if part)


def outcomes(deployment: str, receipt: Receipt, told: Mapping[str, Told]) -> Table:
    """Build a table of each worker's outcome; a reason that several give is printed once, and the first ones of many.

    A column that is empty for each worker is left out.
    """
    rows: list[tuple[str, Text, str, str]] = []
    first: dict[str, str] = {}
    for worker, said in sorted(told.items()):
        message = first_reasons(said.message, all_reasons(deployment, receipt.generation))
        same = first.setdefault(f"{said.code}\n{said.message}", worker)
        shown = f"{said.code}\n{message}".strip() if same == worker or not message else f"{said.code}, as {same}"
        rows.append((worker, styled(said.outcome, _STYLES.get(said.outcome, "")), _phases(said), shown))
    columns = ("worker", "outcome", "phases", "why")
    filled = [at for at in range(len(columns)) if any(map(str, (row[at] for row in rows)))]
    cells = [[row[at] for at in filled] for row in rows]
    return table(title_of(receipt), [columns[at] for at in filled], cells)


def what_went_wrong(receipt: Receipt, answer: FleetAnswer) -> str:
    """Return a line with the workers that did not apply the command, and the reasons."""
    reasons: dict[str, list[str]] = {}
    for worker, told in answer.told.items():
        if not told.is_good:
            what = ", ".join(filter(None, (told.outcome.lower(), told.code)))
            reasons.setdefault(f"{what}: {shortened(told.message)}", []).append(worker)
    for worker in answer.missing:
        reasons.setdefault("did not finish in time", []).append(worker)
    total = len(answer.told) + len(answer.missing)
    said = [f"{what} (on {len(by)} of {total}: {', '.join(by)})" for what, by in reasons.items()]
    said += [f"not confirmed in time: {answer.unconfirmed}"] * bool(answer.unconfirmed)
    return f"{title_of(receipt)}: {'; '.join(said)}"
