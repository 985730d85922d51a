"""Which commands a key may sign, and of which deployments."""

from enum import StrEnum

EVERY = "*"
"""Instead of a deployment's name: all of them."""


class SigningRole(StrEnum):
    """Which commands a key may sign; none includes another."""

    SWAP = "swap"
    """A new generation."""
    ROLLBACK = "rollback"
    """A new generation with the parts of an older one."""
    PROMOTE = "promote"
    """Cut a staged generation over, or abandon it."""
    PAUSE = "pause"
    """Pause and resume."""
    SKIP = "skip"
    """Refuse the requests of a damaged batch."""
    TRUST = "trust"
    """Require signatures from here on, and end keys."""
