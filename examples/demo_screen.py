"""The demo's screen: a line for each command, a live progress line, and the count at the end."""

import asyncio
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from demo_count import Count, Moment, gaps, longest_outside, milliseconds, partition_gaps, silences, window
from demo_stream import Stream
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_LIVE_PER_S = 8
_PLAIN_S = 3.0


class Screen:
    """Prints to standard output; `now` is the current activity. Without a terminal, progress is plain lines."""

    def __init__(self) -> None:
        self.now = "starting Kafka"
        self._console = Console(highlight=False)
        self._stream: Stream | None = None
        self._began = time.monotonic()
        self._live = Live(
            console=self._console, transient=True, refresh_per_second=_LIVE_PER_S, get_renderable=self._progress
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _progress(self) -> Text:
        parts = [f"{time.monotonic() - self._began:3.0f} s"]
        if (stream := self._stream) and stream.asked:
            parts.append(f"asked {stream.asked:,}, answered {stream.answered:,}")
            parts.append(f"{stream.rate:.0f}/s by generation {stream.serving}")
        return Text("  " + " · ".join([*parts, self.now]), style="dim", no_wrap=True, overflow="ellipsis")

    def say(self, line: str) -> None:
        """Prints a permanent line; `line` may contain rich's markup."""
        self._console.print(line, soft_wrap=True)

    def said(self, moment: Moment) -> None:
        """Prints the line of a finished command."""
        took = moment.ended_at - moment.sent_at
        mark, what = ("[red]✗[/]", "refused") if moment.reason else ("[green]✓[/]", "serves")
        self.say(f"{mark} {_name(moment):<34} {what} after {took:.1f} s")
        if moment.reason:
            # The file's place in the store is of no interest here: its name is enough.
            reason = re.sub(r"\w+://\S*/", "", moment.reason)
            self._console.print(Padding(Text(reason, style="red"), (0, 0, 0, 4)))

    async def follow(self, stream: Stream) -> None:
        """Shows the progress of the stream, as long as it runs."""
        self._stream = stream
        while not self._console.is_terminal:
            await asyncio.sleep(_PLAIN_S)
            self._console.print(self._progress(), soft_wrap=True)

    def report(self, count: Count, moments: list[Moment], picture: Path) -> None:
        """Prints the count at the end."""
        self._live.stop()
        self.say(
            f"\n[bold]asked {count.asked:,} · answered {len(count.answered):,} · lost {count.lost} · "
            f"answered twice {count.twice} · refused {count.refused}[/]   (counted from the topics)"
        )
        self._console.print(_scores(count))
        self.say("")
        self._console.print(_gaps(count, moments))
        self.say("A swap to another proto is staged first: publishers pause from its cut until all workers know it.")
        verdict = f"[red]✗ {escape(', '.join(count.faults))}[/]" if count.faults else "[green]✓ all as promised[/]"
        shown = picture.relative_to(Path.cwd()) if picture.is_relative_to(Path.cwd()) else picture
        self.say(f"{verdict}, the picture of it is {escape(str(shown))}")

    def complain(self, line: str) -> None:
        """Prints a line on standard error."""
        Console(stderr=True, highlight=False).print(f"hotswap: {line}", markup=False, soft_wrap=True)


def _scores(count: Count) -> Table:
    table = _table("generation", "answered", "right", "offline", "differ")
    for score in count.scores:
        table.add_row(
            f"{score.generation} {score.model}",
            f"{score.answered:,}",
            f"{score.right / score.answered:.2%}",
            f"{score.right_offline / score.answered:.2%}",
            f"{score.differ}",
        )
    return table


def _gaps(count: Count, moments: list[Moment]) -> Table:
    table = _table("longest gap between predictions at", "whole stream", "one partition")
    windows = [window(moment, count) for moment in moments]
    for moment, (begin, end) in zip(moments[1:], windows[1:], strict=True):
        table.add_row(_name(moment), *map(milliseconds, silences(count, begin, end)))
    steady = (longest_outside(found(count.answered), windows) for found in (gaps, partition_gaps))
    table.add_row("no command: the steady stream", *map(milliseconds, steady))
    return table


def _table(first: str, *figures: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first, min_width=34, no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", min_width=8)
    return table


def _name(moment: Moment) -> str:
    return f"{moment.generation} {moment.title}"
