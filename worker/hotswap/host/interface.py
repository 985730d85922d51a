"""What a model takes and gives, as its runtime knows it before there is any proto: for whoever drafts one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output

_TOLD: Final = 100  # categories of a column: a draft shows fewer, and a column may have a million
_TOLD_CHARACTERS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Interface:
    """A model's columns and outputs, None where it cannot tell (a jar takes what its code makes of it)."""

    description: str
    columns: Sequence[Column] | None
    outputs: Sequence[Output] | None


def facts_of(model: Any) -> dict[str, Any]:
    """Give the facts of a loaded model, to be sent to the parent; of long lists of texts only the first."""
    columns, outputs = getattr(model, "columns", None), getattr(model, "outputs", None)
    return {
        "description": model.description[:_TOLD_CHARACTERS],
        "columns": columns and [_shortened(column._asdict()) for column in columns],
        "outputs": outputs and [_shortened(asdict(output)) for output in outputs],
    }


def _shortened(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:_TOLD] if isinstance(value, tuple | list) else value for name, value in facts.items()}
