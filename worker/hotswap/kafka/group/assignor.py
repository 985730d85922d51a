"""Assigns partitions evenly to the members of a group, and moves as few as possible."""

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
"""A key in place of a topic in user data; names of topics have no spaces."""
BOTH_IDS: Final[Mapping[str, Collection[int]]] = {_IDS: (2,)}
"""User data of a member that knows both ids of a partition."""


def owners_of(partitions: Collection[int], claims: Mapping[str, Claim]) -> dict[int, str]:
    """Return the owner of each partition: the member with the newest claim to it."""
    owners: dict[int, str] = {}
    for member, claim in sorted(claims.items(), key=lambda item: (item[1].membership, item[0])):
        owners |= dict.fromkeys(claim.partitions.intersection(partitions), member)
    return owners


def share_out(partitions: Collection[int], claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Return the partitions that each of the members (at least one) is to have.

    Each has as many as the others, or one more, and as few partitions move as possible.
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
    """An assignor of one consumer, which reports its member's partitions to the group's leader.

    A partition that is to move is at first assigned to no member. Its owner gives it up on request and joins again;
    then it is assigned (as in KIP-429). So no live member is interrupted by the next owner.

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
        """`on_assigned` receives the partitions that are ours now, and those that we are to give up."""
        self._topic = topic
        self.knows_both_ids = True
        """Whether this member reports that it knows both transactional ids of a partition."""
        self.all_know_both_ids = False
        """Whether each member of the group does, as of the last assignment."""
        self._claim = claim
        self._on_assigned = on_assigned

    def metadata(self, topics: Collection[str]) -> Any:
        """Return this member's metadata for the leader: the topics, and its claim."""
        membership, partitions = self._claim()
        return ConsumerProtocolMemberMetadata(
            0, list(topics), encoded({self._topic: partitions, **(BOTH_IDS if self.knows_both_ids else {})}, membership)
        )

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """Assign the partitions of each topic to its subscribers, as the leader of the group."""
        assignments: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        withheld: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        for topic in sorted({topic for metadata in members.values() for topic in metadata.subscription}):
            claims = {
                member: _claimed(metadata, topic)
                for member, metadata in members.items()
                if topic in metadata.subscription
            }
            partitions = cluster.partitions_for_topic(topic) or ()
            owners = owners_of(partitions, claims)
            for member, share in share_out(partitions, claims).items():
                assignments[member][topic] = sorted(number for number in share if owners.get(number, member) == member)
                for number in set(share).difference(assignments[member][topic]):
                    withheld[owners[number]].setdefault(topic, []).append(number)
        known = BOTH_IDS if all(map(_knows_both_ids, members.values())) else {}
        return {
            member: ConsumerProtocolMemberAssignment(
                0,
                list(assignments[member].items()),
                encoded(moves) if (moves := {**withheld[member], **known}) else b"",
            )
            for member in members
        }

    def on_assignment(self, assignment: Any) -> None:
        """Pass on this member's assignment. The consumer has just changed its own, and nothing else ran."""
        ours = frozenset(key.partition for key in assignment.partitions() if key.topic == self._topic)
        self.all_know_both_ids = _knows_both_ids(assignment)
        self._on_assigned(ours, _claimed(assignment, self._topic).partitions - ours)


def encoded(partitions: Mapping[str, Collection[int]], membership: int = -1) -> bytes:
    """Return partitions by topic, encoded as user data."""
    listed = [(topic, sorted(numbers)) for topic, numbers in partitions.items()]
    encoded: bytes = StickyAssignorUserDataV1(listed, membership).encode()
    return encoded


def _claimed(message: Any, topic: str) -> Claim:
    """Return a message's claim on a topic; NOTHING if it has none, as of older workers, or is unreadable."""
    try:
        data = StickyAssignorUserDataV1.decode(message.user_data or b"")
        owned = [
            number for name, numbers in data.previous_assignment or () if name == topic for number in numbers or ()
        ]
    except ValueError:
        return NOTHING
    return Claim(data.generation, frozenset(owned))


def _knows_both_ids(message: Any) -> bool:
    return 2 in _claimed(message, _IDS).partitions  # noqa: PLR2004 - so many ids
