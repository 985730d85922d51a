"""Reads YAML that strangers wrote: plain data, and bounded before anything is built of it."""

from typing import Any, Final

import yaml

MOST_BYTES: Final = 256 << 10
_MOST_ALIASES: Final = 8
"""Each may repeat what the others repeat: eight of them make at most a few dozen copies of the text, thirty a bomb."""


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which stops at the ninth alias."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._aliases += self.check_event(yaml.AliasEvent)
        if self._aliases > _MOST_ALIASES:
            raise ValueError(f"it has more than {_MOST_ALIASES} aliases")
        return super().compose_node(parent, index)


def parse(raw: bytes) -> Any:
    """Return what a document in YAML holds. Raises ValueError, with what is wrong of it."""
    if len(raw) > MOST_BYTES:
        raise ValueError(f"it has more than the {MOST_BYTES:,} bytes allowed")
    try:
        return yaml.load(raw.decode(), _BoundedLoader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"it is not YAML ({getattr(error, 'problem', None) or type(error).__name__}{place})") from None
