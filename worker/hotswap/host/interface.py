"""A model's columns and outputs as its runtime knows them without a proto, from which one can be drafted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output

Fields: TypeAlias = Sequence[tuple[str, str, bool]]
_MAX_CATEGORIES: Final = 100  # of a column: a draft shows fewer, and a column may have a million
_MAX_DESCRIPTION: Final = 4_000  # characters


@dataclass(frozen=True, slots=True)
class Interface:
    """A model's columns and outputs; None if the model does not declare them (a jar's code may read anything).

    `functions`: those of a Python model, each with its columns and its answers: name, type (runtimes/python/guest.py)
    and whether it may be missing; None: not known. `unoffered` describes what the model returns beside its outputs, and
    no answer can hold; `advice` is for one who has other columns than these.
    """

    description: str
    columns: Sequence[Column] | None
    outputs: Sequence[Output] | None
    unoffered: Sequence[str] = ()
    advice: str = ""
    functions: Mapping[str, tuple[Fields | None, Fields | None]] = field(default_factory=dict)


def facts_of(model: Any) -> dict[str, Any]:
    """Return the facts of a loaded model for the parent; long lists are cut to their first 100 texts."""
    columns, outputs = getattr(model, "columns", None), getattr(model, "outputs", None)
    return {
        "description": model.description[:_MAX_DESCRIPTION],
        "columns": columns and [_shortened(column._asdict()) for column in columns],
        "outputs": outputs and [_shortened(asdict(output)) for output in outputs],
        "unoffered": list(getattr(model, "unoffered", ()))[:_MAX_CATEGORIES],
        "advice": getattr(model, "advice", "")[:_MAX_DESCRIPTION],
        "functions": getattr(model, "functions", {}),
    }


def _shortened(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value[:_MAX_CATEGORIES] if isinstance(value, tuple | list) else value for name, value in facts.items()
    }
