"""How long a worker goes on to start: while Kafka leaves that in doubt, for a while, and never against what is set."""

import asyncio
import logging
from unittest.mock import Mock

import pytest

from hotswap import service
from hotswap.errors import Denied, Doubt, StartError, Unanswered, Unreachable
from hotswap.kafka.topics.watched import KafkaMonitor
from hotswap.settings import Settings

SETTINGS = Settings(deployment="d", worker_id="w1", call_timeout_s=10.0)


class Worker:
    """A worker whose start, or whose work, ends as is said of each attempt; None: it was told to stop."""

    ends = ()
    is_working = False
    renewed = None
    made = 0

    def __init__(self, settings, *, child, trust=None):
        self.end, self.is_joined, self.has_reached_kafka = Worker.ends[Worker.made], Worker.is_working, False
        Worker.made += 1

    async def run(self, stopping):
        self.has_reached_kafka = not isinstance(self.end, Unreachable)
        if self.end:
            raise self.end


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs a worker to its end, and returns how many attempts were made."""

    async def known(settings):
        return settings

    async def play(*ends, settings=SETTINGS, stopping=None, is_working=False):
        monkeypatch.setattr(Worker, "ends", ends)
        monkeypatch.setattr(Worker, "made", 0)
        monkeypatch.setattr(Worker, "is_working", is_working)
        await service._run(settings, (), stopping or asyncio.Event(), [])
        return Worker.made

    monkeypatch.setattr(service, "settled", known)
    monkeypatch.setattr(service, "Worker", Worker)
    monkeypatch.setattr(service, "_BEAT_S", 0.0)
    return play


async def test_a_start_in_doubt_begins_anew_and_says_what_it_waits_for(run, caplog):
    with caplog.at_level(logging.WARNING):
        assert await run(Doubt("the leader is gone"), Unanswered("no Kafka answers"), None) == 3
    waits = [(record.message, record.why) for record in caplog.records]
    assert waits == [("worker.waiting_for_kafka", why) for why in ("the leader is gone", "no Kafka answers")]


@pytest.mark.parametrize(
    "error", [StartError("no topic"), Unreachable("nothing listens there"), Denied("lacks the right Read of topic d")]
)
async def test_what_only_an_operator_can_mend_ends_a_start_at_once(run, error):
    with pytest.raises(type(error), match=str(error)):
        await run(error, None)
    assert Worker.made == 1


async def test_a_kafka_that_was_there_and_is_gone_is_waited_for(run):
    assert await run(Doubt("the leader is gone"), Unreachable("nothing listens there"), None) == 3


async def test_after_a_while_a_start_in_doubt_ends_with_the_last_reason(run):
    with pytest.raises(Doubt, match="still"):
        await run(*[Doubt("still")] * 10_000, settings=SETTINGS.model_copy(update={"call_timeout_s": 0.001}))


async def test_a_worker_that_has_joined_and_fails_later_is_not_started_anew(run):
    with pytest.raises(Doubt, match="while it works"):
        await run(Doubt("while it works"), None, is_working=True)


async def test_a_stop_ends_the_waiting(run):
    stopping = asyncio.Event()
    stopping.set()
    assert await run(Doubt("the leader is gone"), stopping=stopping) == 0


@pytest.fixture
def _no_clients(monkeypatch):
    """A worker has no clients of Kafka, which a running loop would have to close."""
    for name in ("Admin", "AnswersTail", "LogReader", "LogWriter", "Membership"):
        monkeypatch.setattr(service, name, Mock())


@pytest.mark.usefixtures("_no_clients")
async def test_a_worker_has_eight_turns_for_each_host_that_a_generation_may_have():
    worker = service.Worker(SETTINGS.model_copy(update={"hosts": 3}))
    for _ in range(3 * 8):
        await asyncio.wait_for(worker._turns.acquire(), 5)
    assert worker._turns.locked()


async def test_a_worker_that_ends_for_its_trust_file_starts_again_with_that_and_as_patiently_as_before(
    run, monkeypatch
):
    class Renewed(Worker):
        trusts = ()

        def __init__(self, settings, *, child, trust=None):
            super().__init__(settings, child=child)
            Renewed.trusts += (trust,)
            self.is_joined = Worker.made == 1
            self.renewed = "the new file" if self.is_joined else None

    monkeypatch.setattr(service, "Worker", Renewed)
    assert await run(None, Doubt("the leader is gone"), None) == 3
    assert Renewed.trusts == (None, "the new file", "the new file")


@pytest.mark.usefixtures("_no_clients")
async def test_a_worker_is_not_ready_while_kafka_does_not_answer_it(monkeypatch):
    worker = service.Worker(SETTINGS)
    worker._staging, worker.is_joined = Mock(loaded=[1], lacks=""), True
    assert worker._readiness() == ""
    monkeypatch.setattr(KafkaMonitor, "silent_s", 12.0)
    assert worker._readiness() == f"Kafka at {SETTINGS.kafka} has not answered for 12 s"


@pytest.mark.usefixtures("_no_clients")
async def test_a_partition_that_was_just_revoked_has_no_oldest_request():
    worker = service.Worker(SETTINGS)
    worker._membership.inbox.return_value.oldest_ms.return_value = 7
    assert worker._oldest_ms(0, True) == 7
    worker._membership.inbox.side_effect = Doubt("it has been revoked")
    assert worker._oldest_ms(0, True) == 0
