"""The roles that need rights for a deployment (acls.py)."""

from enum import StrEnum


class KafkaRole(StrEnum):
    """A role of a Kafka user; a user may have several."""

    WORKER = "worker"
    PUBLISHER = "publisher"
    """Publishes requests, and encodes them as the serving generation asks for (`hotswap predict`, the gateway)."""
    READER = "reader"
    """Reads predictions and dead letters."""
    CONTROL = "control"
    """Sends commands, and asks for the status."""
    SHADOW = "shadow"
    """Begins a shadow of the deployment, and runs its workers."""
