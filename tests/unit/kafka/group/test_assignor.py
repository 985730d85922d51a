"""Who gets which partitions of a group: all are given out, once, evenly, and as few as possible move."""

from types import SimpleNamespace

import pytest
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.kafka.group.assignor import NOTHING, Claim, KeepingAssignor, share_out

TOPIC = "d.requests"
MEMBERS = st.sampled_from([f"member {letter}" for letter in "abcdefg"])
CLAIMS = st.builds(Claim, st.integers(-1, 5), st.frozensets(st.integers(-2, 45)))


def cluster(partitions):
    return SimpleNamespace(partitions_for_topic=lambda topic: set(range(partitions)) if topic == TOPIC else None)


def member(claim=NOTHING, on_assigned=None):
    return KeepingAssignor(TOPIC, claim=lambda: claim, on_assigned=on_assigned)


def sent(claim):
    """What a member with this claim sends, as the leader gets it."""
    return ConsumerProtocolMemberMetadata.decode(member(claim).metadata([TOPIC]).encode())


def numbers(assignment):
    told = ConsumerProtocolMemberAssignment.decode(assignment.encode())
    return sorted(key.partition for key in told.partitions())


def passed(assignment):
    """What a member that gets this is told: what is its own, and what it is to give up."""
    told = []
    member(on_assigned=lambda *given: told.append(given)).on_assignment(
        ConsumerProtocolMemberAssignment.decode(assignment.encode())
    )
    return told[0]


@settings(deadline=None)
@given(partitions=st.integers(0, 40), claims=st.dictionaries(MEMBERS, CLAIMS, min_size=1))
def test_whatever_is_claimed_each_partition_goes_to_one_member_evenly_and_as_few_as_possible_move(partitions, claims):
    shares = share_out(range(partitions), claims)
    assert sorted(number for share in shares.values() for number in share) == list(range(partitions))
    sizes = [len(share) for share in shares.values()]
    assert shares.keys() == claims.keys()
    assert max(sizes) - min(sizes) <= 1
    newest = {
        number: max((claim.membership, name) for name, claim in claims.items() if number in claim.partitions)[1]
        for number in range(partitions)
        if any(number in claim.partitions for claim in claims.values())
    }
    owned = sorted((list(newest.values()).count(name) for name in claims), reverse=True)
    least, more = divmod(partitions, len(claims))
    may_stay = sum(min(count, least + (place < more)) for place, count in enumerate(owned))
    assert sum(newest.get(number) == name for name, share in shares.items() for number in share) == may_stay


@settings(deadline=None)
@given(partitions=st.integers(1, 40), names=st.lists(MEMBERS, min_size=2, unique=True), data=st.data())
def test_when_one_dies_only_its_partitions_move_and_when_one_joins_only_its_share_does(partitions, names, data):
    before = share_out(range(partitions), dict.fromkeys(names, NOTHING))
    dead = data.draw(st.sampled_from(names))
    left = {name: Claim(7, frozenset(before[name])) for name in names if name != dead}
    after = share_out(range(partitions), left)
    assert all(set(before[name]) <= set(after[name]) for name in left)
    back = {name: Claim(8, frozenset(after[name])) for name in left} | {dead: Claim(7, frozenset(before[dead]))}
    shares = share_out(range(partitions), back)
    assert all(set(shares[name]) <= set(after[name]) for name in left)


def test_a_partition_that_two_claim_stays_with_the_one_that_was_given_it_later():
    claims = {"a zombie": Claim(4, frozenset({0, 1})), "its heir": Claim(5, frozenset({0, 1})), "new": NOTHING}
    assert share_out(range(3), claims) == {"a zombie": [1], "its heir": [0], "new": [2]}


def test_a_claim_arrives_and_what_is_assigned_is_passed_on():
    told = {"a": sent(Claim(3, frozenset({1, 3}))), "b": sent(Claim(3, frozenset({0, 2, 9})))}
    assigned = member().assign(cluster(5), told)
    assert {name: numbers(assignment) for name, assignment in assigned.items()} == {"a": [1, 3, 4], "b": [0, 2]}
    assert passed(assigned["a"]) == ({1, 3, 4}, set())


@settings(deadline=None)
@given(partitions=st.integers(0, 40), claims=st.dictionaries(MEMBERS, CLAIMS, min_size=1))
def test_what_is_to_move_is_withheld_until_its_owner_has_given_it_up_and_then_all_are_given_out(partitions, claims):
    told = {name: sent(claim) for name, claim in claims.items()}
    first = {name: passed(share) for name, share in member().assign(cluster(partitions), told).items()}
    ours = [number for numbers, _ in first.values() for number in numbers]
    moving = [number for _, numbers in first.values() for number in numbers]
    assert sorted(ours + moving) == list(range(partitions))
    for name, (kept, given_up) in first.items():
        assert given_up <= claims[name].partitions
        assert not any(
            kept & claim.partitions for other, claim in claims.items() if claim.membership > claims[name].membership
        )
    told = {name: sent(Claim(6, numbers)) for name, (numbers, _) in first.items()}
    second = {name: passed(share) for name, share in member().assign(cluster(partitions), told).items()}
    assert all(first[name][0] <= second[name][0] and not second[name][1] for name in claims)
    assert sorted(number for numbers, _ in second.values() for number in numbers) == list(range(partitions))


def test_an_older_worker_and_a_newer_one_are_members_of_one_group_whichever_leads_it():
    older, newer = RoundRobinPartitionAssignor, member(Claim(3, frozenset({0, 1, 2, 3})))
    told = {"newer": newer.metadata([TOPIC]), "older": older.metadata([TOPIC])}
    assert newer.name == older.name
    assert {name: numbers(share) for name, share in newer.assign(cluster(4), told).items()} == {
        "newer": [0, 1],
        "older": [],
    }
    told["newer"] = member(Claim(4, frozenset({0, 1}))).metadata([TOPIC])
    assert numbers(newer.assign(cluster(4), told)["older"]) == [2, 3]
    assert passed(older.assign(cluster(4), told)["newer"]) == ({0, 2}, set())


GARBLED = [
    st.binary(max_size=60),
    st.just(None),
    st.just(b"\0\0\0\1\0\x0ad.requests\xff\xff\xff\xff\0\0\0\5"),  # no array
    st.just(b"\xff\xff\xff\xff\0\0\0\5"),
    st.just(b"\0\0\0\1\xff\xff\0\0\0\1\0\0\0\0\0\0\0\5"),  # no name
    st.just(b"\x7f\xff\xff\xff" + b"\0\x01t\x7f\xff\xff\xff"),
]


@settings(deadline=None)
@given(user_data=st.one_of(GARBLED), others=st.lists(st.text(max_size=3), max_size=2))
def test_no_claim_of_another_member_can_keep_the_leader_from_giving_all_out(user_data, others):
    told = {"hostile": ConsumerProtocolMemberMetadata(9, [*others, TOPIC], user_data), "sound": sent(NOTHING)}
    for turn in range(2):  # it may have to give up something first
        assigned = {name: passed(share) for name, share in member().assign(cluster(3), told).items()}
        told = {name: sent(Claim(turn, ours)) for name, (ours, _) in assigned.items()}
    assert sorted(number for ours, _ in assigned.values() for number in ours) == [0, 1, 2]


@pytest.mark.parametrize("partitions", [0, 3])
def test_a_member_that_asks_for_another_topic_gets_none_of_ours(partitions):
    told = {"ours": sent(NOTHING), "strange": ConsumerProtocolMemberMetadata(0, ["another"], b"")}
    assert numbers(member().assign(cluster(partitions), told)["ours"]) == list(range(partitions))


def members(*knowing):
    """What members tell: some know both ids of a partition, and others, as workers of 0.2, say nothing of them."""
    told = {}
    for name, knows in enumerate(knowing):
        made = member()
        made.knows_both_ids = knows
        told[name] = ConsumerProtocolMemberMetadata.decode(made.metadata([TOPIC]).encode())
    return told


@pytest.mark.parametrize(("knowing", "all_know"), [((True, True), True), ((True, False), False), ((False,), False)])
def test_both_ids_of_a_partition_are_used_once_the_leader_tells_that_each_member_knows_them(knowing, all_know):
    for assignment in member().assign(cluster(4), members(*knowing)).values():
        got = member(on_assigned=lambda *_: None)
        got.on_assignment(ConsumerProtocolMemberAssignment.decode(assignment.encode()))
        assert got.all_know_both_ids is all_know


def test_a_leader_that_says_nothing_may_be_of_a_version_that_knows_one_id():
    got = member(on_assigned=lambda *_: None)
    got.all_know_both_ids = True
    told = RoundRobinPartitionAssignor.assign(cluster(2), members(True))
    got.on_assignment(ConsumerProtocolMemberAssignment.decode(told[0].encode()))
    assert not got.all_know_both_ids
