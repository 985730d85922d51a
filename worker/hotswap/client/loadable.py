"""Whether the live workers can load a kind of model, decided before a command is written, from their own reports."""

from collections.abc import Iterable, Mapping
from typing import Final

from hotswap.client.fleet import WorkerView
from hotswap.errors import SwapCode, SwapError
from hotswap.runtimes.kinds import no_runtime

_UNREPORTED: Final[Mapping[str, str]] = dict.fromkeys(("h2o", "java", "spark", "spark-jar"), "")
"""The kinds of a worker whose version reports none."""
_NAMED: Final = 5


def check_kind(kind: str, workers: Iterable[WorkerView], now: float) -> None:
    """Check that each worker that is live at `now` can load models of a kind; a worker's reason is its own verdict.

    Raises SwapError KIND_MISSING, with the workers that cannot and their reasons.
    """
    if lacking := lacking_kind(kind, workers, now):
        raise SwapError(SwapCode.KIND_MISSING, f"nothing was written, since {lacking}")


def lacking_kind(kind: str, workers: Iterable[WorkerView], now: float) -> str:
    """Return which live workers cannot load models of a kind, and their reasons; empty if each of them can."""
    lacking: dict[str, list[str]] = {}
    for view in workers:
        known = view.kinds or _UNREPORTED
        if view.is_live(now) and (why := known.get(kind, no_runtime(kind, known))):
            lacking.setdefault(why, []).append(view.worker)
    if not lacking:
        return ""
    reasons = "; ".join(f"{_named(names)} ({why})" for why, names in lacking.items())
    return f"live workers cannot load models of kind {kind}: {reasons}. One that stops does not count"


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(sorted(names)[:_NAMED]) + (f" and {more} more" if more > 0 else "")
