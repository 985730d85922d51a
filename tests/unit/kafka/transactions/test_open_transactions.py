"""What is asked to find open transactions and who holds them, and what is made of the answers."""

from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from fakes.transactions import FakeBrokers
from hotswap.errors import Denied, Doubt
from hotswap.kafka.transactions.open_transactions import Holder, Open, OpenTransactions, fence, look, write_abort_marker
from hotswap.kafka.wire.hanging import DescribeProducers, DescribeTransactions, ListTransactions, WriteMarkers
from hotswap.kafka.wire.messages import InitProducerId
from hotswap.settings import Settings

SETTINGS = Settings(deployment="d", call_timeout_s=5.0)
PARTITIONS = [("d.predictions", 0), ("d.predictions", 1), ("d.requests", 0)]
STUCK = Open("d.predictions", 1, 7, 3, 17, 1_000, 2)
DENIED_TOPIC, DENIED_CLUSTER, DENIED_ID, LOADING, OLDER_EPOCH, NO_LEADER = 29, 31, 53, 14, 47, 6
NAME = "d-d.requests-1"


class FakeCluster:
    """Two brokers: the second one leads the second partitions and coordinates what is open."""

    def __init__(self, codes=()):
        self.codes, self.asked = dict(codes), []

    async def leader(self, key):
        return 1 + key.partition

    def nodes(self):
        return [1, 2]

    async def any(self):
        return 1

    async def ask(self, node, request):
        self.asked.append((node, request))
        code = self.codes.get((node, type(request)), 0)
        if isinstance(code, Exception):
            raise code
        return {
            DescribeProducers: self.producers,
            ListTransactions: self.listed,
            DescribeTransactions: self.described,
            WriteMarkers: self.written,
        }[type(request)](node, request, code)

    def producers(self, node, request, code):
        of = {1: [(9, 0, 5, 900, 1, -1, {})], 2: [(7, 3, 5, 1_000, 2, 17, {})]}[node]
        topics = [
            (topic, [(at, code, None, None if code else of, {}) for at in found], {})
            for topic, found, _ in request.topics
        ]
        return SimpleNamespace(topics=topics)

    def listed(self, node, _, code):
        return SimpleNamespace(error=code, transactions=[(NAME, 7, "Ongoing", {})] * (node == 2))

    def described(self, _, request, code):
        topics = [("d.predictions", [1], {})]
        return SimpleNamespace(
            transactions=[(code, name, "Ongoing", 30_000, 500, 7, 3, topics, {}) for name in request.transactional_ids]
        )

    def written(self, _, request, code):
        ((producer, _, _, ((topic, (number,), _),), _, _),) = request.markers
        return SimpleNamespace(markers=[(producer, [(topic, [(number, code, {})], {})], {})])


async def seen(codes=()):
    return await look(SETTINGS, FakeCluster(codes), PARTITIONS)


async def test_leaders_are_asked_who_writes_and_coordinators_who_holds_what_is_open():
    cluster = FakeCluster()
    holder = Holder(NAME, "Ongoing", 30_000, 500, frozenset({("d.predictions", 1)}))
    assert await look(SETTINGS, cluster, PARTITIONS) == OpenTransactions((STUCK,), {7: holder})
    described = [(node, request.topics) for node, request in cluster.asked if isinstance(request, DescribeProducers)]
    assert described == [
        (1, [("d.predictions", [0], {}), ("d.requests", [0], {})]),
        (2, [("d.predictions", [1], {})]),
    ]
    listed = [(node, request.producer_ids) for node, request in cluster.asked if isinstance(request, ListTransactions)]
    assert listed == [(1, [7]), (2, [7])]


async def test_where_nothing_is_open_no_coordinator_is_asked():
    cluster = FakeCluster()
    assert await look(SETTINGS, cluster, PARTITIONS[:1]) == OpenTransactions()
    assert [type(request) for _, request in cluster.asked] == [DescribeProducers]


async def test_topics_that_may_not_be_read_are_named_and_the_others_are_looked_at():
    found = await seen({(1, DescribeProducers): DENIED_TOPIC})
    assert (found.unread, found.open) == ({"d.predictions", "d.requests"}, (STUCK,))


async def test_a_leader_that_does_not_say_leaves_it_in_doubt():
    with pytest.raises(Doubt, match="looking for open transactions"):
        await seen({(1, DescribeProducers): NO_LEADER})


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        ({(2, ListTransactions): LOADING}, "broker 2 does not say which transactions it coordinates"),
        ({(2, ListTransactions): KafkaConnectionError()}, "broker 2 does not say which transactions it coordinates"),
        ({(1, DescribeTransactions): DENIED_ID}, "this user may not describe every transactional id"),
    ],
)
async def test_it_is_said_why_a_holder_may_be_hidden(codes, why):
    found = await seen(codes)
    assert found.unseen.startswith(why)
    assert (7 in found.holders) is ((1, DescribeTransactions) in codes)


async def test_a_holder_that_may_not_be_described_is_known_by_its_name_and_state():
    assert (await seen({(2, DescribeTransactions): DENIED_ID})).holders == {7: Holder(NAME, "Ongoing")}


async def test_an_abort_marker_goes_to_the_leader_with_the_epochs_that_it_knows():
    cluster = FakeCluster()
    await write_abort_marker(SETTINGS, cluster, STUCK)
    ((node, request),) = cluster.asked
    assert (node, request.markers) == (2, [(7, 3, False, [("d.predictions", [1], {})], 2, {})])
    await write_abort_marker(SETTINGS, cluster, STUCK._replace(coordinator_epoch=-1))
    assert cluster.asked[-1][1].markers[0][4] == 0


@pytest.mark.parametrize(
    ("code", "error", "why"),
    [
        (DENIED_CLUSTER, Denied, "lacks the right Alter of the cluster"),
        (OLDER_EPOCH, Doubt, "its producer has gone on meanwhile"),
        (NO_LEADER, Doubt, "NotLeaderForPartition"),
    ],
)
async def test_a_marker_that_is_refused_is_an_error_that_says_why(code, error, why):
    with pytest.raises(error, match=why):
        await write_abort_marker(SETTINGS, FakeCluster({(2, WriteMarkers): code}), STUCK)


async def test_an_id_is_initialized_to_fence_whoever_has_it_and_a_denial_says_so():
    brokers = FakeBrokers()
    await fence(SETTINGS, brokers, NAME)
    assert [request.transactional_id for request in brokers.of(InitProducerId)] == [NAME]
    brokers.script[InitProducerId] = [DENIED_ID]
    with pytest.raises(Denied, match=f"initializing {NAME}"):
        await fence(SETTINGS, brokers, NAME)
