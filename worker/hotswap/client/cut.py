"""The cut of a change, in a module with few imports."""

from enum import StrEnum


class Cut(StrEnum):
    """The offsets at which the new generation takes over."""

    AUTO = "auto"
    """After the backlog if the proto changes incompatibly, otherwise at once."""
    AT_ONCE = "at-once"
    """On each partition at its next batch once the generation is ready."""
    AFTER_BACKLOG = "after-backlog"
    """The old generation answers the requests published before the command, the new one the later requests."""
