"""The minimal ACLs of a worker, and of the clients of a deployment."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from hotswap.kafka.client.credentials import principal
from hotswap.kafka.client.roles import KafkaRole
from hotswap.settings import OWN_SHADOW, Settings


class Right(NamedTuple):
    """An operation on a resource, in Kafka's words; reading and writing include Describe."""

    operation: Literal["Create", "Read", "Write", "Describe", "DescribeConfigs"]
    kind: Literal["topic", "group", "transactional_id"]
    name: str
    is_prefix: bool = False
    """Whether `name` is the beginning of the resources' names."""

    @property
    def resource(self) -> str:
        """The resource, for a person."""
        return f"{self.kind.replace('_', ' ')} {self.name}{'*' * self.is_prefix}"

    def __str__(self) -> str:
        return f"{self.operation} of {self.resource}"


def rights_of(role: KafkaRole, settings: Settings) -> list[Right]:
    """Return the minimal rights of a role in a deployment."""
    of = {KafkaRole.WORKER: _worker, KafkaRole.CONTROL: _control, KafkaRole.SHADOW: _shadow}
    return list(dict.fromkeys(of.get(role, _outside)(role, settings)))


def to_see(topic: str, settings: Settings) -> Right:
    """Return the right to see a topic: Read for the log topics, which every viewer reads, else Describe."""
    is_log = topic in (settings.topics.control, settings.topics.status)
    return Right("Read" if is_log else "Describe", "topic", topic)


def _worker(_: KafkaRole, settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    yield Right("Read", "topic", topics.requests)
    for topic in (topics.predictions, topics.dead_letters):
        yield Right("Read", "topic", topic)  # the last answer tells how far a partition was answered (tail.py)
        yield Right("Write", "topic", topic)
    yield Right("DescribeConfigs", "topic", topics.dead_letters)  # whether they take the largest request
    yield Right("Read", "topic", topics.control)
    yield Right("Write", "topic", topics.status)
    yield Right("Read", "group", settings.group_id)
    if settings.delivery == "exactly_once":
        # With the topic's name: the group's alone would cover another group whose name begins like it.
        yield Right("Write", "transactional_id", f"{settings.group_id}-{topics.requests}-", is_prefix=True)


def _outside(role: KafkaRole, settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    if role is KafkaRole.PUBLISHER:
        yield Right("Write", "topic", topics.requests)  # all that a producer of one's own needs
        yield Right("Read", "topic", topics.control)
        yield Right("Read", "topic", topics.status)
        yield Right("Describe", "group", settings.group_id)  # its committed offsets, which confirm what workers report
    else:
        yield Right("Read", "topic", topics.predictions)
        yield Right("Read", "topic", topics.dead_letters)


def _control(_: KafkaRole, settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    yield Right("Read", "topic", topics.control)
    yield Right("Write", "topic", topics.control)
    yield Right("Read", "topic", topics.status)
    for topic in (topics.requests, topics.predictions, topics.dead_letters):
        yield Right("Describe", "topic", topic)
    yield Right("Describe", "group", settings.group_id)  # its committed offsets: the lag, and what confirms reports


def _shadow(_: KafkaRole, settings: Settings) -> Iterator[Right]:
    """Yield what the shadow called `<deployment>.shadow` needs: it writes to none of the deployment's own topics."""
    own = settings.topics
    name = f"{settings.deployment}{OWN_SHADOW}"
    shadow = settings.named(name).model_copy(update={"control_topic": "", "requests_topic": own.requests})
    yield from _worker(KafkaRole.WORKER, shadow)
    yield Right("Create", "topic", f"{name}.", is_prefix=True)
    yield Right("Write", "topic", shadow.topics.control)
    yield Right("Read", "topic", own.control)  # the parts that it has from the generation that serves
    yield Right("Read", "topic", own.status)
    yield Right("Describe", "group", settings.group_id)
    for topic in (own.predictions, own.dead_letters):
        yield Right("DescribeConfigs", "topic", topic)  # its answers may be as large


def lacking(settings: Settings, rights: Sequence[Right]) -> str:
    """Return one line with the principal and its missing rights; empty if none is missing."""
    if not rights:
        return ""
    who = principal(settings)
    name = who if who.startswith("User:") else "User:NAME"
    return (
        f"{who} lacks the right {', '.join(map(str, rights))}: grant it (`hotswap acls "
        f"{settings.deployment or 'DEPLOYMENT'} --principal '{name}'` prints what each role needs)"
    )
