"""What a child says of itself, checked: a stranger's code may have written it.

For the worker's side alone: pydantic would add half as much again to what the child's start costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hotswap.host.frames import Frame, FrameError, Kind, clean, parse_facts, parse_failure


def _sound(text: str) -> str:
    text.encode()  # what is no UTF-8 raises a ValueError: no message of ours could hold it
    return text


Told = TypeVar("Told", bound=BaseModel)
Sound = Annotated[str, AfterValidator(_sound)]
Clean = Annotated[str, AfterValidator(clean)]

Item = TypeVar("Item")
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
    phase_seconds: _Phases


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a started host serves. `inputs` and `outputs` are the message types of each operation.

    `paths` say for each how requests go to the model (host.dispatcher.Plan.path).
    """

    operations: tuple[str, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    columns: str
    paths: Mapping[str, str]
    phase_seconds: Mapping[str, float] = field(default_factory=dict)


def read(kind: type[Told], payload: bytes, of: str = "itself") -> Told:
    """Read the JSON that such a frame has. Raises FrameError."""
    # Not by pydantic: each of its errors would hold what is wrong anew, and a stranger may make many.
    told = parse_facts(payload)
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        raise FrameError(f"what it says of {of} is not whole") from error


def read_ready(frame: Frame, total_s: float) -> Description:
    """Read what a child says that has loaded a generation, within `total_s` in all.

    Raises SwapError: it says why it could not. Raises FrameError.
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
        phase_seconds={"start": total_s - phases.load - phases.warm, "load": phases.load, "warm": phases.warm},
    )
