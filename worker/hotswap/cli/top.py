"""`hotswap top`: the fleet live in a terminal, read-only."""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from hotswap.cli.exits import exit_with
from hotswap.cli.late import late, later
from hotswap.cli.shared import fitting, kafka_option, local_time, make_settings, out, run, shortened, styled
from hotswap.errors import Doubt, StartError
from hotswap.printable import duration
from hotswap.swap.command import Outcome

with late:
    import asyncio

    from hotswap.cli.status import headline, overviews
    from hotswap.client.answers import refused
    from hotswap.client.findings import Level, worst
    from hotswap.client.overview import Overview
    from hotswap.kafka.topics.admin import Admin
    from hotswap.kafka.topics.committed import Lag
    from hotswap.kafka.topics.log import LogReader
    from hotswap.local.system import keyboard
    from hotswap.settings import Settings

with later:
    from rich.console import Group
    from rich.live import Live

    from hotswap.cli.generations import lines as generation_lines

_REFRESH_S = 1.0
_REFUSALS = 3
_IN_PROGRESS = (Outcome.STAGING, Outcome.READY)
_KEY = re.compile(r"\x1b\[[A-D]|.", re.DOTALL)
_KEYS = {"\x1b[A": -1, "k": -1, "\x1b[B": 1, "j": 1}
_HELP = "up and down pick a partition, Enter shows its reason, q ends"


@click.command()
@click.argument("deployment", required=False)
@click.option("--once", "is_once", is_flag=True, help="Print one screen after a second, and end.")
@kafka_option
def top(deployment: str | None, kafka: str | None, is_once: bool) -> None:  # noqa: FBT001 - click's
    """Watch deployments live: partitions, lag, rate, latency, the swap under way, the last refusals.

    It is read-only; refusals are shown only with a DEPLOYMENT. The arrows pick a partition, Enter shows why it
    is held and a command that helps, q ends. With --once, exits as `hotswap status` does.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    with contextlib.suppress(KeyboardInterrupt):
        run(_once(settings) if is_once else _watch(settings))


async def _once(settings: Settings) -> None:
    screen = Screen()
    async with _refusals(settings, screen):
        screen.observe(await overviews(settings), time.monotonic())
        await asyncio.sleep(_REFRESH_S)
        screen.observe(await overviews(settings), time.monotonic())
    out().print(screen.render(out().width))
    exit_with(screen.level)


async def _watch(settings: Settings) -> None:
    screen, done = Screen(), asyncio.Event()
    with Live(console=out(), screen=out().is_terminal, auto_refresh=False) as live:

        def draw() -> None:
            live.update(screen.render(live.console.width), refresh=True)

        def press(typed: str) -> None:
            for key in _KEY.findall(typed):
                done.set() if key == "q" else screen.press(key)
                draw()

        async with _refusals(settings, screen):
            with keyboard(press):
                while not done.is_set():
                    screen.observe(await overviews(settings), time.monotonic())
                    draw()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(done.wait(), _REFRESH_S)


@contextlib.asynccontextmanager
async def _refusals(settings: Settings, screen: Screen) -> AsyncIterator[None]:
    """Keep the last refusals of the named deployment on the screen, until the block ends."""
    following = asyncio.create_task(_follow(settings, screen)) if settings.deployment else None
    try:
        yield
    finally:
        if following:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _follow(settings: Settings, screen: Screen) -> None:
    topic = settings.topics.dead_letters
    reader = LogReader(settings, topic, read_committed=True)
    with contextlib.suppress(StartError, Doubt):  # the topic may not exist: the first lines of the screen report it
        try:
            async with Admin.connect(settings) as admin:
                ends = await admin.end_offsets(topic)
            await reader.start({number: max(end - _REFUSALS, 0) for number, end in ends.items()})
            while True:
                for record in await reader.read(_REFRESH_S):
                    why = refused(record)
                    at = local_time(record.timestamp)
                    screen.refusals.append(f"{at}  {why.source}  {why.code}  {shortened(why.message)}")
        finally:
            await reader.stop()


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition on the screen."""

    deployment: str
    lag: Lag
    worker: str
    held: str
    rate: float


class Screen:
    """The state of the screen: the last overviews, the rates since the previous ones, the selection."""

    def __init__(self) -> None:
        self.refusals: deque[str] = deque(maxlen=_REFUSALS)
        self._views: Sequence[Overview] = ()
        self._rows: list[PartitionRow] = []
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}
        self._selected = 0
        self._is_open = False

    def observe(self, views: Sequence[Overview], now: float) -> None:
        """Take new overviews; `now` in seconds, for the rates."""
        rows, seen = [], {}
        for view in views:
            owners = {part.partition: (worker.worker, part.held) for worker in view.live for part in worker.partitions}
            for lag in view.lags:
                place = view.deployment, lag.partition
                then, committed = self._seen.get(place, (now, lag.committed))
                rate = (lag.committed - committed) / (now - then) if now > then else 0.0
                worker, held = owners.get(lag.partition, ("nobody", "no live worker has it"))
                rows.append(PartitionRow(view.deployment, lag, worker, held, max(rate, 0.0)))
                seen[place] = now, lag.committed
        self._views, self._rows, self._seen = views, rows, seen
        self._selected = min(self._selected, max(len(rows) - 1, 0))

    @property
    def level(self) -> Level:
        """The level of the worst finding."""
        return worst(finding for view in self._views for finding in view.findings)

    def press(self, key: str) -> None:
        """Move the selection, or open or close the selected partition's reason."""
        self._selected = min(max(self._selected + _KEYS.get(key, 0), 0), max(len(self._rows) - 1, 0))
        self._is_open ^= key in "\r\n"

    def render(self, width: int) -> Group:
        """Render the screen in `width` columns."""
        lines = [styled(_summary(view, self._rows)) for view in self._views]
        problems = [styled(shortened(line), "bold red") for view in self._views for line in view.problems[:2]]
        warnings = [styled(shortened(line), "yellow") for view in self._views for line in view.warnings[:2]]
        divided = [styled(line) for view in self._views for line in generation_lines(view)]
        in_progress = [styled(line, "cyan") for view in self._views for line in _in_progress(view)]
        parts: list[Any] = [*lines, *problems, *warnings, *divided, *in_progress, self._table(width)]
        if self._is_open and self._rows:
            parts += [styled(line, "bold") for line in _reason(self._rows[self._selected])]
        parts += [styled(line[:width], "yellow") for line in self.refusals]
        return Group(*parts, styled(_HELP, "dim"))

    def _table(self, width: int) -> Any:
        rows = self._rows
        columns = {
            " ": [">" if number == self._selected else "" for number in range(len(rows))],
            "deployment": [row.deployment for row in rows] if len(self._views) > 1 else [],
            "partition": [str(row.lag.partition) for row in rows],
            "worker": [row.worker for row in rows],
            "generation": [str(row.lag.generation) for row in rows],
            "lag": [str(row.lag.requests) for row in rows],
            "answers/s": [f"{row.rate:,.0f}" for row in rows],
            "held": ["yes" if row.held else "" for row in rows],
        }
        return fitting("partitions", columns, ("worker", "generation"), width)


def _summary(view: Overview, rows: Sequence[PartitionRow]) -> str:
    ours = [row for row in rows if row.deployment == view.deployment]
    rate, lag = sum(row.rate for row in ours), sum(row.lag.requests for row in ours)
    slowest = max((worker.latency_p99_s for worker in view.live), default=0.0)
    latency = f", p99 within {slowest:g} s" if slowest else ""
    oldest = f" (the oldest {duration(view.oldest_s)} old)" if view.oldest_s >= 1 else ""
    return f"{headline(view)}, lag {lag:,}{oldest}, {rate:,.0f} answers/s{latency}"


def _in_progress(view: Overview) -> Iterator[str]:
    """Yield the newest command while a live worker stages it, with each worker's phases."""
    live = {worker.worker for worker in view.live}
    for command in view.commands[-1:]:
        reports = [report for report in command.told.values() if report.worker in live]
        if any(report.outcome in _IN_PROGRESS for report in reports):
            phases = [
                " ".join([one.worker, one.outcome, *(f"{name} {s:.1f} s" for name, s in one.phase_seconds.items())])
                for one in reports
            ]
            yield f"{command.title}: {'; '.join(phases)}"


def _reason(row: PartitionRow) -> list[str]:
    """Return the reason why a partition is held, and a command that helps."""
    name = row.deployment
    if not row.held:
        return [f"partition {row.lag.partition} is served by {row.worker}"]
    advice = f"hotswap status {name}"
    if "paused" in row.held:
        advice = f"hotswap resume {name}"
    elif row.worker == "nobody":
        advice = f"hotswap run {name}"
    return [f"partition {row.lag.partition}: {row.held}", f"try: {advice}"]
