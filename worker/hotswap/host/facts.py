"""Validates a child's reports about itself: untrusted code may have written it.

For the worker only: importing pydantic would make the child's start half as expensive again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hotswap.host.frames import Frame, FrameError, Kind, clean, parse_facts, parse_failure


def _sound(text: str) -> str:
    text.encode()  # raises ValueError for a lone surrogate, which no message of ours could hold
    return text


Told = TypeVar("Told", bound=BaseModel)
Sound = Annotated[str, AfterValidator(_sound)]
Clean = Annotated[str, AfterValidator(clean)]

Item = TypeVar("Item")
MOST_RUNTIME: Final = 300
"""Characters of `Description.runtime` at most: each report of the generation has it."""

Many = Annotated[list[Item], Field(fail_fast=True)]

STRICT: Final = ConfigDict(strict=True, allow_inf_nan=False)


class _Phases(BaseModel):
    model_config = STRICT

    load: float
    warm: float


class _Ready(BaseModel):
    model_config = STRICT

    operations: Many[Sound]
    inputs: dict[Sound, Sound]
    outputs: dict[Sound, Sound]
    columns: Sound
    paths: dict[Sound, Clean]
    reads: dict[Sound, dict[Sound, Many[Sound]]] = {}
    fields: dict[Sound, dict[Sound, Sound]] = {}
    seals: bool = False
    runtime: Clean = ""
    phase_seconds: _Phases


class Shut(BaseModel):
    """How a host of a kind is shut in: the layers in force, and those that this machine lacks, for people to read."""

    model_config = STRICT

    kind: Clean
    holds: Many[Clean]
    missing: Many[Clean]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The operations of a started host. `inputs` and `outputs` map each operation to its message type.

    `paths` tells for each operation how its requests reach the model, `reads` which fields it reads, and the
    values that it knows of each, `fields` the field of each of the model's columns that is called otherwise
    (dispatcher.Plan); `seals`, that it can answer record batches (sealing.py). `runtime` has the versions of what
    scores it: libraries, the model's format, Java.
    """

    operations: tuple[str, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    columns: str
    paths: Mapping[str, str]
    reads: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seals: bool = False
    runtime: str = ""
    phase_seconds: Mapping[str, float] = field(default_factory=dict)


def read(kind: type[Told], payload: bytes, of: str = "itself") -> Told:
    """Parse and validate a frame's JSON. Raises FrameError."""
    # Not parsed by pydantic: each of its errors would copy the bad input, and a hostile child can cause many.
    document = parse_facts(payload)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise FrameError(f"its description of {of} is malformed") from error


def read_shut(payload: bytes) -> Shut:
    """Parse a child's report of its sandbox. Raises FrameError."""
    return read(Shut, payload, "its sandbox")


def read_ready(frame: Frame, total_s: float) -> Description:
    """Read the report of a child that took `total_s` to start and load a generation.

    Raises:
        SwapError: the child could not load the generation, for the reason that it gave.
        FrameError: the frame is malformed.
    """
    if frame.kind is not Kind.READY:
        raise parse_failure(frame.payload)
    ready = read(_Ready, frame.payload)
    phases = ready.phase_seconds
    return Description(
        operations=tuple(ready.operations),
        inputs=ready.inputs,
        outputs=ready.outputs,
        columns=ready.columns,
        paths=ready.paths,
        reads=ready.reads,
        fields=ready.fields,
        seals=ready.seals,
        runtime=ready.runtime[:MOST_RUNTIME],
        phase_seconds={"start": total_s - phases.load - phases.warm, "load": phases.load, "warm": phases.warm},
    )
