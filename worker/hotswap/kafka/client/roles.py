"""Who uses a deployment, and needs rights for it (acls.py)."""

from enum import StrEnum


class KafkaRole(StrEnum):
    """Whose rights; a user may have several roles."""

    WORKER = "worker"
    PUBLISHER = "publisher"
    """Publishes requests, and encodes them as the serving generation asks for (`hotswap predict`, the gateway)."""
    READER = "reader"
    """Reads predictions and dead letters."""
    CONTROL = "control"
    """Sends commands, and asks for the status."""
