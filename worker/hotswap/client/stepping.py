"""The partitions of each promotion of a rollout; decided without I/O."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from hotswap.client.change import Rollout
from hotswap.client.shares import Window
from hotswap.errors import UsageError
from hotswap.printable import numbers

if TYPE_CHECKING:
    from fractions import Fraction


def steps_of(rollout: Rollout, window: Window) -> tuple[frozenset[int] | None, ...]:
    """Return the partitions of each promotion, None: all that are left. Raises UsageError: there is no such part."""
    partitions = sorted(window.gained)
    if rollout.canary is not None:
        return (canary(rollout.canary, window),)
    size = rollout.stagger or len(partitions)
    groups = [frozenset(partitions[at : at + size]) for at in range(0, len(partitions), size)]
    return (*groups[:-1], None)


def canary(part: "Fraction", window: Window) -> frozenset[int]:
    """Return as many partitions as are this part of all: neighbours by their requests, with the share nearest to it.

    Raises:
        UsageError: it is no whole number of them, or none, or all.

    """
    total = len(window.gained)
    count = part * total
    if count.denominator != 1 or not 0 < count < total:
        possible = f"1/{total} to {total - 1}/{total}" if total > 1 else "none, as there is one partition"
        raise UsageError(f"{part} of {total} partitions is no whole number of them, not all: possible are {possible}")
    by_size = sorted(window.gained, key=lambda partition: (window.gained[partition], partition))
    choices = [frozenset(by_size[at : at + int(count)]) for at in range(total - int(count) + 1)]
    return min(choices, key=lambda one: (abs((window.share(one) or 0.0) - part), sorted(one)))


def forecast(partitions: Collection[int], window: Window, who: str = "the canary") -> str:
    """Return, for a person, which partitions a canary has, or somebody else, and their share of the requests."""
    share = window.share(partitions)
    of = f"{share:.1%} of the requests of {window}" if share is not None else "no request has been published yet"
    return f"{who} has {len(partitions)} of {len(window.gained)} partitions ({numbers(partitions)}): {of}"
