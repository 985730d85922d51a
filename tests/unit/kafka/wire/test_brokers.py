"""To whom the requests of transactions go, over which connections, and what is known of the cluster."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from fakes.transactions import settled
from hotswap.kafka.wire import brokers as wire
from hotswap.kafka.wire.brokers import CONNECTIONS, Brokers, Coordinated, CoordinatorKind
from hotswap.kafka.wire.messages import FINALIZED, Features, FindCoordinators, InitProducerId
from hotswap.settings import Settings

ANSWERS = TopicPartition("d.predictions", 0)
LOADING, DENIED = 14, 53


def features(**levels):
    """The answer to `Features`, with the levels that a cluster has agreed upon."""
    listed = [(name.replace("_", "."), level, level, {}) for name, level in levels.items()]
    tagged = {2: FINALIZED.encode(listed)} if levels else {}
    return SimpleNamespace(tags=tagged)


class Client:
    """aiokafka's client: it remembers what was sent over which connection; `answers` are what comes back, in order."""

    def __init__(self, **_):
        self.sent, self.answers, self.leaders = [], [], {}
        self.is_closed = False
        self.updates = 0
        self.numbers = {ANSWERS.topic: {1, 0}}
        self.topics = set()
        self.cluster = SimpleNamespace(
            unauthorized_topics=set(),
            leader_for_partition=self.leaders.get,
            partitions_for_topic=self.numbers.get,
            available_partitions_for_topic=self._with_leaders,
        )
        self.node = 1

    async def bootstrap(self):
        pass

    def set_topics(self, topics):
        self.topics = set(topics)

    def _with_leaders(self, topic):
        return {number for number in self.numbers[topic] if self.leaders.get(TopicPartition(topic, number), -1) >= 0}

    def add_topic(self, topic):
        self.topics.add(topic)

    def get_random_node(self):
        return self.node

    async def force_metadata_update(self):
        self.updates += 1
        self.leaders.setdefault(ANSWERS, 3)

    async def send(self, node, request, *, group):
        self.sent.append((node, type(request).__name__, group))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, asyncio.Future) else answer

    async def close(self):
        self.is_closed = True


@pytest.fixture
async def client(monkeypatch):
    made = Client()
    monkeypatch.setattr(wire, "KafkaClient", lambda **_: made)
    return made


@pytest.fixture
async def brokers(client):
    client.answers = [features(transaction_version=2)]
    made = await Brokers(Settings(deployment="d")).start()
    await made.watch()
    client.sent.clear()
    yield made
    await made.stop()
    assert client.is_closed


async def test_a_request_goes_where_the_fewest_are_on_their_way(client, brokers):
    client.answers = [asyncio.get_running_loop().create_future() for _ in range(CONNECTIONS + 2)]
    waiting = [asyncio.create_task(brokers.ask(1, InitProducerId())) for _ in range(CONNECTIONS + 1)]
    await settled()
    assert [line for *_, line in client.sent] == [*range(CONNECTIONS), 0]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    other = asyncio.create_task(brokers.ask(2, InitProducerId()))
    await settled()
    assert client.sent[-1] == (2, "InitProducerId", 0), "another broker has connections of its own"
    other.cancel()


async def test_a_request_is_waited_for_though_its_caller_gives_up_and_then_its_connection_is_free(client, brokers):
    client.answers = [answer := asyncio.get_running_loop().create_future(), "second", "third"]
    asking = asyncio.create_task(brokers.ask(1, InitProducerId()))
    await settled()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await brokers.ask(1, InitProducerId()) == "second"
    assert client.sent[-1][2] == 1
    answer.set_result("first")
    await settled()
    assert await brokers.ask(1, InitProducerId()) == "third"
    assert client.sent[-1][2] == 0


async def test_who_leads_is_asked_for_until_somebody_does_and_anew_where_that_is_stale(client, brokers):
    assert await brokers.leader(ANSWERS) == 3
    client.leaders[ANSWERS] = 4
    assert (await brokers.leader(ANSWERS), client.updates) == (4, 1)
    client.leaders[ANSWERS] = -1
    asking = asyncio.create_task(brokers.leader(ANSWERS, is_stale=True))
    await settled()
    client.leaders[ANSWERS] = 5
    assert await asking == 5


async def test_a_topic_has_the_partitions_that_it_has_as_soon_as_it_is_there_and_some_may_have_no_leader(
    client, brokers, monkeypatch
):
    client.leaders[ANSWERS] = 2
    assert await brokers.partitions(ANSWERS.topic) == ([0, 1], [0])
    client.leaders[ANSWERS] = -1
    assert await brokers.partitions(ANSWERS.topic) == ([0, 1], [0, 1]), "what has none may soon have one"
    monkeypatch.setattr(wire, "_AGAIN_S", 0.0)
    asking = asyncio.create_task(brokers.partitions("new"))
    await settled()
    client.numbers["new"] = {0}
    assert await asking == ([0], [0])


async def test_a_topic_that_is_hidden_is_looked_for_once_more_before_its_right_is_missing(client, brokers):
    client.leaders[ANSWERS] = 2
    client.cluster.unauthorized_topics.add(ANSWERS.topic)
    with pytest.raises(TopicAuthorizationFailedError):
        await brokers.leader(ANSWERS)
    assert client.updates == 1


async def test_coordinators_are_asked_for_once_kept_and_asked_for_anew_where_they_are_stale(client, brokers):
    ids = [Coordinated(CoordinatorKind.TRANSACTIONS, name) for name in "ab"]
    found = [("a", 1, "", 0, 0, "", {}), ("b", 2, "", 0, 0, "", {})]
    client.answers = [SimpleNamespace(coordinators=found)]
    assert await asyncio.gather(*(brokers.coordinator(of) for of in ids)) == [1, 2]
    assert await brokers.coordinator(ids[0]) == 1
    assert [name for _, name, _ in client.sent] == [FindCoordinators.__name__]
    for code, node in ((LOADING, -1), (0, 3)):
        client.answers.append(SimpleNamespace(coordinators=[("a", node, "", 0, code, "", {})]))
    assert await brokers.coordinator(ids[0], is_stale=True) == 3
    client.answers = [SimpleNamespace(coordinators=[("d", -1, "", 0, DENIED, "", {})])]
    with pytest.raises(TransactionalIdAuthorizationFailed):
        await brokers.coordinator(Coordinated(CoordinatorKind.GROUP, "d"))


@pytest.mark.parametrize(
    ("told", "version"), [({}, 1), ({"transaction_version": 1}, 1), ({"transaction_version": 2}, 2)]
)
async def test_the_version_of_transactions_is_what_the_cluster_has_agreed_upon(client, brokers, told, version):
    client.answers = [features(group_version=1, **told) if told else features()]
    await brokers.look()
    assert brokers.transaction_version == version


async def test_the_version_is_looked_for_now_and_then_and_stays_where_nobody_tells(client, brokers, monkeypatch):
    monkeypatch.setattr(wire, "_LOOK_S", 0.0)
    client.answers = [KafkaConnectionError("gone"), features(transaction_version=1), *[features()] * 10_000]
    looking = asyncio.create_task(brokers._look_now_and_then())
    async with asyncio.timeout(10):
        while brokers.transaction_version != 1:
            assert not looking.done()
            await asyncio.sleep(0)
    looking.cancel()


async def test_without_any_known_broker_nothing_is_sent(client, brokers):
    client.node = None
    with pytest.raises(NodeNotReadyError):
        await brokers.any()


async def test_what_was_never_started_is_stopped_in_silence():
    await Brokers(Settings(deployment="d")).stop()


def test_the_answer_to_a_question_for_features_has_the_header_that_every_broker_knows():
    assert Features().parse_response_header(b"\0\0\0\7").correlation_id == 7


@pytest.mark.parametrize(("delivery", "told"), [("exactly_once", "version 2"), ("at_least_once", "none")])
async def test_a_client_for_a_with_block_knows_the_nodes_and_says_which_transactions_are_sent(client, delivery, told):
    client.answers = [features(transaction_version=2)]
    client.cluster.brokers = lambda: [SimpleNamespace(nodeId=2), SimpleNamespace(nodeId=1)]
    async with Brokers.connect(Settings(deployment="d", delivery=delivery)) as connected:
        await connected.watch()
        assert sorted(connected.nodes()) == [1, 2]
        assert connected.transactions == told
    assert client.is_closed
