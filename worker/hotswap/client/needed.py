"""The artifacts that a deployment needs, and what it means that one of them is not there; decided without I/O."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from hotswap.artifacts.places import without_secrets
from hotswap.swap import Swap

_MOST_NUMBERS: Final = 5


@dataclass(frozen=True, slots=True)
class Needed:
    """An artifact in a store, and the generations that it is a part of, newest first.

    `serves`: one of them serves, so that a worker that starts fetches it; otherwise only a rollback does.
    """

    part: str
    uri: str
    sha256: str
    generations: tuple[int, ...]
    serves: bool

    @property
    def place(self) -> str:
        """Its URI, as it may be shown."""
        return without_secrets(self.uri)

    @property
    def title(self) -> str:
        """What to call it."""
        more = len(self.generations) - _MOST_NUMBERS
        numbers = ", ".join(map(str, self.generations[:_MOST_NUMBERS])) + (f" and {more} more" if more > 0 else "")
        return f"the {self.part} of generation {numbers}"


class ArtifactState(StrEnum):
    """Whether an artifact is in its store."""

    THERE = "there"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """The store did not tell."""
    DENIED = "denied"
    """It lies outside of the stores that are allowed here, so nobody was asked."""


class Presence(NamedTuple):
    """Whether an artifact is in its store; `why` says why it is not, or is not known to be."""

    state: ArtifactState
    why: str = ""


class Absence(NamedTuple):
    """What is wrong with an artifact, and what to do; no fault yet: workers go on with what they have loaded."""

    what: str
    advice: str


def needed_artifacts(swaps: Iterable[Swap], serving: Collection[int], failed: Collection[int]) -> list[Needed]:
    """Return what is to be in a store: what serves first, then what a rollback could need, the newest first.

    Each place once. `serving` are the generations that score partitions, or are about to; `failed` those that could
    not be staged, and never served: nobody goes back to them.
    """
    generations: dict[tuple[str, str, str], list[int]] = {}
    for swap in sorted(swaps, key=lambda swap: -swap.number):
        if swap.number in failed and swap.number not in serving:
            continue
        for part, artifact in (("model", swap.generation.model), ("proto", swap.generation.proto)):
            if artifact.uri:
                generations.setdefault((artifact.uri, artifact.sha256.lower(), part), []).append(swap.number)
    found = [
        Needed(part, uri, sha256, tuple(numbers), serves=not set(serving).isdisjoint(numbers))
        for (uri, sha256, part), numbers in generations.items()
    ]
    return sorted(found, key=lambda one: not one.serves)


def absences(deployment: str, looked: Mapping[Needed, Presence]) -> Iterator[Absence]:
    """Yield what is wrong with artifacts that were looked for; but not those that are denied, which settings decide."""
    for one, (state, why) in looked.items():
        if state is ArtifactState.MISSING:
            for_whom = "a worker that starts cannot load it" if one.serves else "a rollback to it would fail"
            advice = f"{for_whom}: `hotswap store restore {deployment}` puts it back"
            yield Absence(f"{one.title}{' (serves)' * one.serves} {why}: {one.place}", advice)
        elif state is ArtifactState.UNKNOWN:
            advice = f"look again with `hotswap store verify {deployment}`, on a machine of the workers"
            yield Absence(f"{one.title}: it is not known whether it is there: {why}", advice)
