"""Options of configuration.runtime."""

from collections.abc import Collection, Iterable

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration


def check_options(options: Iterable[str], kind: str, known: Collection[str]) -> None:
    """Raise SwapError CONFIGURATION_INVALID if the kind does not know one of these options."""
    for name in sorted(options):
        if name not in known:
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID,
                f"the runtime {kind} has no option `{name}`; its options are: {', '.join(known)}",
            )


def whole_number(configuration: Configuration, name: str, default: int, *, least: int, most: int) -> int:
    """Return an option that is a whole number. Raises SwapError CONFIGURATION_INVALID if it is not one in bounds."""
    value = configuration.runtime.get(name, "")
    if not value:
        return default
    if not value.isdecimal() or not least <= int(value) <= most:
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `{name}` is {value!r}; make it a whole number from {least} to {most}",
        )
    return int(value)
