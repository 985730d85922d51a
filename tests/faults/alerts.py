"""Plays the fault of each alert against a real Prometheus with the shipped rules: when it fires, when it resolves."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from faults.alert_faults import FAULTS, Labels
from faults.alert_field import Field

LONGEST_S = 19 * 60  # and a minute to end what still lasts
_LOOK_S = 2.0


@dataclass
class Course:
    """What became of one alert: seconds since its fault had begun; None: not yet."""

    alert: str
    fault: str
    labels: Labels
    began: float
    exits: AsyncExitStack
    fired_s: float | None = None
    over_s: float | None = None
    resolved_s: float | None = None

    def __str__(self) -> str:
        told = [f"{word} {s:.0f} s" for word, s in (("fired after", self.fired_s), ("over after", self.over_s)) if s]
        return ", ".join([*told, f"resolved after {self.resolved_s:.0f} s" if self.resolved_s else "not resolved"])

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        """Its row in the table."""
        times = (f"{s:.0f} s" if s else "never" for s in (self.fired_s, self.over_s, self.resolved_s))
        return self.alert, *times, self.fault


async def run(folder: Path, *, say: Callable[[str], None]) -> tuple[list[str], dict[str, str]]:
    """Let all faults begin side by side, end each once its alert has fired; return the findings and the timeline."""
    ends = time.monotonic() + LONGEST_S
    async with Field(folder) as field:
        courses = [await _begin(field, alert, say) for alert in FAULTS]
        while time.monotonic() < ends and not all(course.resolved_s for course in courses):
            firing = await field.firing()
            for course in courses:
                await _look(course, firing, say)
            await asyncio.sleep(_LOOK_S)
        for course in courses:
            await course.exits.aclose()
    say(_table(courses))
    findings = [f"{course.alert}: {course}" for course in courses if not course.resolved_s]
    return findings, {course.alert: str(course) for course in courses}


async def _begin(field: Field, alert: str, say: Callable[[str], None]) -> Course:
    exits = AsyncExitStack()
    labels = await exits.enter_async_context(FAULTS[alert](field))
    fault = (FAULTS[alert].__doc__ or "").strip()
    say(f"{alert}: {fault}")
    return Course(alert, fault, labels, time.monotonic(), exits)


async def _look(course: Course, firing: list[tuple[str, dict[str, str]]], say: Callable[[str], None]) -> None:
    is_firing = any(name == course.alert and course.labels.items() <= labels.items() for name, labels in firing)
    since = time.monotonic() - course.began
    if course.fired_s is None and is_firing:
        course.fired_s = since
        await course.exits.aclose()
        course.over_s = time.monotonic() - course.began
        say(f"{course.alert}: fires after {since:.0f} s; the fault is over now")
    elif course.fired_s is not None and course.resolved_s is None and not is_firing:
        course.resolved_s = since
        say(f"{course.alert}: {course}")


def _table(courses: Sequence[Course]) -> str:
    rows = [("alert", "fired", "fault over", "resolved", "fault"), *(course.row for course in courses)]
    width = max(len(alert) for alert, *_ in rows)
    return "\n".join(
        f"{alert:{width}}" + "".join(f"  {at:>10}" for at in times) + f"  {fault}" for alert, *times, fault in rows
    )
