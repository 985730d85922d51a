"""A consumer's part in its group, beyond aiokafka's documented interface; internals.py says how that is checked."""

from aiokafka import AIOKafkaConsumer


def member_id(consumer: AIOKafkaConsumer) -> str:
    """Return the consumer's member id in its group; empty if it will join as a new member."""
    known: str = consumer._coordinator.member_id
    return known


def join_as(consumer: AIOKafkaConsumer, member: str) -> None:
    """Make the consumer join next time as `member`, if aiokafka has forgotten its member id."""
    if not consumer._coordinator.member_id:
        consumer._coordinator.member_id = member


def membership_number(consumer: AIOKafkaConsumer) -> int:
    """Return the consumer-group generation (Kafka's own) that the consumer has joined last."""
    known: int = consumer._coordinator.generation
    return known


def rejoin(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer join its group again, which shares the partitions out anew."""
    consumer._coordinator.request_rejoin()


def read_on(consumer: AIOKafkaConsumer) -> None:
    """Let `getmany` go on with the partitions at hand until the consumer has others; aiokafka's waits for these."""
    consumer._subscription.begin_reassignment = lambda: None


def leave_at_stop(consumer: AIOKafkaConsumer) -> None:
    """Let `stop` leave the group with a static member too, which aiokafka's never does (KIP-1092: LEAVE_GROUP).

    aiokafka sends the member id only (LeaveGroup version 1), and the broker removes the name with it.
    """
    if consumer._coordinator:  # none before `start`
        consumer._coordinator._group_instance_id = None
