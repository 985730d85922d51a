"""What a model takes and gives, as its runtime knows it before there is any proto: for whoever drafts one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

from hotswap.codec.fields import Column, ColumnType
from hotswap.codec.outputs import Output
from hotswap.host.frames import FrameError, clean

_TOLD: Final = 100  # categories of a column: a draft shows fewer, and a column may have a million
_TOLD_CHARACTERS: Final = 4_000
_FLAGS: Final = ("is_whole", "is_vector", "is_text", "is_object")


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


def parse_interface(facts: Mapping[str, Any]) -> Interface:
    """Read such facts, which a stranger's model may have written. Raises FrameError."""
    try:
        columns, outputs = facts["columns"], facts["outputs"]
        return Interface(
            clean(facts["description"]), columns and [*map(_column, columns)], outputs and [*map(_output, outputs)]
        )
    except (LookupError, TypeError, ValueError) as error:
        raise FrameError("what it says of its model is not whole") from error


def _column(facts: Mapping[str, Any]) -> Column:
    (kind,) = (kind for kind in get_args(ColumnType) if kind == facts["type"])
    return Column(clean(facts["name"]), _texts(facts["categories"]), kind)


def _output(facts: Mapping[str, Any]) -> Output:
    return Output(
        clean(facts["name"]),
        int(facts["start"]),
        int(facts["stop"]),
        aliases=_texts(facts["aliases"]) or (),
        classes=_texts(facts["classes"]),
        keys=_texts(facts["keys"]),
        **{flag: bool(facts[flag]) for flag in _FLAGS},
    )


def _texts(given: Sequence[Any] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(map(clean, given))
