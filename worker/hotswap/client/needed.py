"""The artifacts that a deployment needs, and the consequences of a missing one; decided without I/O."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from hotswap.artifacts.places import without_secrets
from hotswap.swap.timeline import Swap

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
        """The artifact as text: its part and generations."""
        more = len(self.generations) - _MOST_NUMBERS
        numbers = ", ".join(map(str, self.generations[:_MOST_NUMBERS])) + (f" and {more} more" if more > 0 else "")
        return f"the {self.part} of generation {numbers}"


class ArtifactState(StrEnum):
    """Whether an artifact is in its store."""

    THERE = "there"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """The store did not answer."""
    DENIED = "denied"
    """It is outside the stores allowed here, so none was queried."""


class Presence(NamedTuple):
    """The state of an artifact; `why` has the reason if it is missing or unknown."""

    state: ArtifactState
    why: str = ""


class Absence(NamedTuple):
    """A problem with an artifact, and advice; no fault yet: workers keep serving the loaded generations."""

    what: str
    advice: str


def needed_artifacts(swaps: Iterable[Swap], serving: Collection[int], failed: Collection[int]) -> list[Needed]:
    """Return the artifacts that stores must hold: of serving generations first, then for rollbacks, newest first.

    Each place once. `serving` are the generations that score partitions, or are about to; `failed` those that could
    not be staged, and never served: no rollback needs them.
    """
    generations: dict[tuple[str, str, str], list[int]] = {}
    for swap in sorted(swaps, key=lambda swap: -swap.number):
        if swap.number in failed and swap.number not in serving:
            continue
        for part, artifact in (("model", swap.generation.model), ("proto", swap.generation.proto)):
            if artifact.uri:
                generations.setdefault((artifact.uri, artifact.sha256.lower(), part), []).append(swap.number)
    artifacts = [
        Needed(part, uri, sha256, tuple(numbers), serves=not set(serving).isdisjoint(numbers))
        for (uri, sha256, part), numbers in generations.items()
    ]
    return sorted(artifacts, key=lambda one: not one.serves)


def absences(deployment: str, looked: Mapping[Needed, Presence]) -> Iterator[Absence]:
    """Yield the missing and unknown artifacts; skip denied ones, which are up to the settings."""
    for one, (state, why) in looked.items():
        if state is ArtifactState.MISSING:
            for_whom = "a worker that starts cannot load it" if one.serves else "a rollback to it would fail"
            advice = f"{for_whom}: `hotswap store restore {deployment}` puts it back"
            yield Absence(f"{one.title}{' (serves)' * one.serves} {why}: {one.place}", advice)
        elif state is ArtifactState.UNKNOWN:
            advice = f"look again with `hotswap store verify {deployment}`, on a machine of the workers"
            yield Absence(f"{one.title}: it is not known whether it is there: {why}", advice)
