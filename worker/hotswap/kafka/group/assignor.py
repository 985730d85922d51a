"""Shares the partitions out among the members of a group: each keeps what it has, as far as all then have as many."""

from collections.abc import Callable, Collection, Mapping
from itertools import cycle
from typing import Any, Final, NamedTuple

from aiokafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyAssignorUserDataV1


class Claim(NamedTuple):
    """The partitions that a member was assigned last, and in which generation of the group (-1: never)."""

    membership: int
    partitions: frozenset[int]


NOTHING = Claim(-1, frozenset())
_IDS: Final = "transactional ids"
"""Stands for a topic in what is told, and is none: names of topics have no spaces."""
BOTH_IDS: Final[Mapping[str, Collection[int]]] = {_IDS: (2,)}
"""What says that both ids of a partition are known."""


def owners_of(partitions: Collection[int], claims: Mapping[str, Claim]) -> dict[int, str]:
    """Return whose each partition is: of several who claim it, the one with the newest claim."""
    owners: dict[int, str] = {}
    for member, claim in sorted(claims.items(), key=lambda item: (item[1].membership, item[0])):
        owners |= dict.fromkeys(claim.partitions.intersection(partitions), member)
    return owners


def share_out(partitions: Collection[int], claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Return who of the members (at least one) is to have which partitions.

    Everybody has as many as the others, or one more. As few partitions move as that takes.
    """
    owners = owners_of(partitions, claims)
    shares: dict[str, list[int]] = {member: [] for member in sorted(claims)}
    for partition in sorted(owners):
        shares[owners[partition]].append(partition)
    least, more = divmod(len(partitions), len(shares))
    # One more is for those who have most.
    most_first = sorted(shares, key=lambda member: -len(shares[member]))
    room = {member: least + (place < more) for place, member in enumerate(most_first)}
    for member, share in shares.items():
        del share[room[member] :]
    turns = cycle(shares)
    for partition in sorted(set(partitions).difference(*shares.values())):
        shares[next(member for member in turns if len(shares[member]) < room[member])].append(partition)
    return shares


class KeepingAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """An assignor of one consumer, which tells the group's leader what its member has.

    A partition that is to move is given to nobody at first. Its owner is told to give it up, and joins again once it
    has; then it is given out (as in KIP-429). So who gets a partition interrupts nobody who lives.

    It goes by the name of Kafka's round robin, whose members are told what they get, and send no claims: so workers of
    this release and older ones are members of one group, whoever leads it. Under a name of its own it would need to be
    offered beside round robin, and aiokafka joins once for each assignor that it offers. What is told in either
    direction has the format of Kafka's sticky assignor, version 1. (aiokafka's own shares its state among consumers,
    and never tells the generation of the group: issues 1175 and 1176.)

    Members tell besides that they know both transactional ids of a partition, and the leader tells them if all do:
    workers of 0.2 know one, say nothing, and lead without saying anything.
    """

    name = "roundrobin"

    def __init__(
        self, topic: str, *, claim: Callable[[], Claim], on_assigned: Callable[[frozenset[int], frozenset[int]], None]
    ) -> None:
        """`on_assigned` is given the partitions that are ours now, and those that we are to give up."""
        self._topic = topic
        self.knows_both_ids = True
        """Whether this member tells that it knows both transactional ids of a partition."""
        self.all_know_both_ids = False
        """Whether each member of the group does, as of the last assignment."""
        self._claim = claim
        self._on_assigned = on_assigned

    def metadata(self, topics: Collection[str]) -> Any:
        """Return what this member tells the leader: the topics, and its claim."""
        membership, partitions = self._claim()
        return ConsumerProtocolMemberMetadata(
            0, list(topics), encoded({self._topic: partitions, **(BOTH_IDS if self.knows_both_ids else {})}, membership)
        )

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """Share out the partitions of each topic among those who ask for it, as the leader of the group."""
        given: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        withheld: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        for topic in sorted({topic for told in members.values() for topic in told.subscription}):
            claims = {member: _claimed(told, topic) for member, told in members.items() if topic in told.subscription}
            partitions = cluster.partitions_for_topic(topic) or ()
            owners = owners_of(partitions, claims)
            for member, share in share_out(partitions, claims).items():
                given[member][topic] = sorted(number for number in share if owners.get(number, member) == member)
                for number in set(share).difference(given[member][topic]):
                    withheld[owners[number]].setdefault(topic, []).append(number)
        known = BOTH_IDS if all(map(_knows_both_ids, members.values())) else {}
        return {
            member: ConsumerProtocolMemberAssignment(
                0, list(given[member].items()), encoded(told) if (told := {**withheld[member], **known}) else b""
            )
            for member in members
        }

    def on_assignment(self, assignment: Any) -> None:
        """Pass on what this member gets. The consumer has changed its own assignment just now, and nothing else ran."""
        ours = frozenset(key.partition for key in assignment.partitions() if key.topic == self._topic)
        self.all_know_both_ids = _knows_both_ids(assignment)
        self._on_assigned(ours, _claimed(assignment, self._topic).partitions - ours)


def encoded(partitions: Mapping[str, Collection[int]], membership: int = -1) -> bytes:
    """Return what is told of partitions, topic by topic, as bytes."""
    listed = [(topic, sorted(numbers)) for topic, numbers in partitions.items()]
    encoded: bytes = StickyAssignorUserDataV1(listed, membership).encode()
    return encoded


def _claimed(told: Any, topic: str) -> Claim:
    """Return what is said of a topic's partitions; nothing if that cannot be read: older workers say nothing."""
    try:
        data = StickyAssignorUserDataV1.decode(told.user_data or b"")
        owned = [
            number for name, numbers in data.previous_assignment or () if name == topic for number in numbers or ()
        ]
    except ValueError:
        return NOTHING
    return Claim(data.generation, frozenset(owned))


def _knows_both_ids(told: Any) -> bool:
    return 2 in _claimed(told, _IDS).partitions  # noqa: PLR2004 - so many ids
