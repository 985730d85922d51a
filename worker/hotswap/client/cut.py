"""Where a generation takes over: a part of a change, for those that need no more of it."""

from enum import StrEnum


class Cut(StrEnum):
    """Where the new generation takes over."""

    AUTO = "auto"
    """After the backlog if the proto changes incompatibly, otherwise at once."""
    AT_ONCE = "at-once"
    """On each partition at its next batch once the generation is ready."""
    AFTER_BACKLOG = "after-backlog"
    """The old generation answers what was published before the command, the new one what comes after."""
