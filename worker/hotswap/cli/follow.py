"""Publication of a command, followed until every worker's outcome is final."""

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
    """Publish a command and show the fleet's answer on stderr as it arrives; without waiting it is None."""
    async with Client(settings) as client:
        receipt = await publish(client)
        if receipt.incompatible:
            how = "staged on all workers first" if receipt.rollout else "cut after the backlog"
            note(f"{how}, because the proto changes incompatibly: {'; '.join(receipt.incompatible)}")
        for line in receipt.notes:
            note(line)
        if not is_waiting:
            return receipt, None
        shown: dict[str, Told] = {}
        if not sys.stderr.isatty():
            answer = await client.await_swap(
                receipt, timeout_s, on_told=lambda one: note(_line(one)), on_held_up=note, on_step=note
            )
            return receipt, _noted(answer)
        with Live(console=Console(stderr=True), transient=True) as live:

            def show(report: Told) -> None:
                shown[report.worker] = report
                live.update(outcomes(settings.deployment, receipt, shown))

            answer = await client.await_swap(receipt, timeout_s, on_told=show, on_held_up=note, on_step=note)
        return receipt, _noted(answer)


def _noted(answer: FleetAnswer) -> FleetAnswer:
    """Note the reservations of an answer, even a good one."""
    if answer.unverified:
        note(f"the reports could not be verified, since the committed offsets are unreadable: {answer.unverified}")
    if answer.strangers:
        note(f"no reports from workers outside the group, which serves without them: {', '.join(answer.strangers)}")
    return answer


def title_of(receipt: Receipt) -> str:
    """Return the title of the command."""
    return f"generation {receipt.generation}" if receipt.generation else "command"


def _phases(report: Told) -> str:
    known = [phase for phase in _PHASES if phase in report.phase_seconds]
    return "  ".join(f"{phase} {report.phase_seconds[phase]:.2f} s" for phase in known)


def _line(report: Told) -> str:
    why = ": ".join(part for part in (report.code, shortened(report.message)) if part)
    return "  ".join(part for part in (f"{report.worker}: {report.outcome}", _phases(report), why) if part)


def outcomes(deployment: str, receipt: Receipt, reports: Mapping[str, Told]) -> Table:
    """Build a table of each worker's outcome; a shared reason is printed once, and of many reasons the first ones.

    Empty columns are left out.
    """
    rows: list[tuple[str, Text, str, str]] = []
    first: dict[str, str] = {}
    for worker, report in sorted(reports.items()):
        message = first_reasons(report.message, all_reasons(deployment, receipt.generation))
        same = first.setdefault(f"{report.code}\n{report.message}", worker)
        shown = f"{report.code}\n{message}".strip() if same == worker or not message else f"{report.code}, as {same}"
        rows.append((worker, styled(report.outcome, _STYLES.get(report.outcome, "")), _phases(report), shown))
    columns = ("worker", "outcome", "phases", "why")
    filled = [at for at in range(len(columns)) if any(map(str, (row[at] for row in rows)))]
    cells = [[row[at] for at in filled] for row in rows]
    return table(title_of(receipt), [columns[at] for at in filled], cells)


def failure_of(receipt: Receipt, answer: FleetAnswer) -> str:
    """Return a line with the workers that did not apply the command, and their reasons."""
    reasons: dict[str, list[str]] = {}
    for worker, report in answer.told.items():
        if not report.is_good:
            outcome = ", ".join(filter(None, (report.outcome.lower(), report.code)))
            reasons.setdefault(f"{outcome}: {shortened(report.message)}", []).append(worker)
    for worker in answer.missing:
        reasons.setdefault("did not finish in time", []).append(worker)
    total = len(answer.told) + len(answer.missing)
    failures = [f"{reason} (on {len(by)} of {total}: {', '.join(by)})" for reason, by in reasons.items()]
    failures += [f"not confirmed in time: {answer.unconfirmed}"] * bool(answer.unconfirmed)
    return f"{title_of(receipt)}: {'; '.join(failures)}"
