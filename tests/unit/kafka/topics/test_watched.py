"""Whether Kafka answers a worker, and what it does not take for silence."""

import asyncio

import pytest

from hotswap import metrics
from hotswap.errors import Denied, Doubt, StartError
from hotswap.kafka.topics import watched as module
from hotswap.kafka.topics.watched import AWAY_S, KafkaMonitor
from hotswap.settings import Settings


class Admin:
    """Answers as it is told; each look is one hour later."""

    def __init__(self, clock, answers):
        self._clock, self._answers = clock, iter(answers)
        self.is_done = asyncio.Event()

    async def missing_rights(self):
        return []

    async def lags(self, *_):
        return ()

    async def topic_faults(self):
        self._clock.now += 3_600
        answer = next(self._answers, None)
        if answer is None:
            self.is_done.set()
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    now = 0.0


async def looked(monkeypatch, answers):
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    watched = KafkaMonitor(Settings(deployment="d", kafka="k:9"))
    clock.now = 50.0
    assert watched.away == ""  # before its first look it cannot know
    admin = Admin(clock, answers)
    task = asyncio.create_task(watched.watch(admin, 0))
    await asyncio.wait_for(admin.is_done.wait(), 5)
    clock.now -= 3_600  # the look that has no answer yet
    task.cancel()
    return watched, clock


@pytest.mark.parametrize("answer", [[], ["a topic is gone"], Denied("may not"), StartError("a topic is gone")])
async def test_kafka_that_answers_whatever_is_not_away_until_nine_seconds_later(monkeypatch, answer):
    watched, clock = await looked(monkeypatch, [Doubt("no answer"), answer])
    assert (watched.silent_s, watched.away) == (0.0, "")
    clock.now += AWAY_S + 1
    assert watched.away == "Kafka at k:9 has not answered for 10 s"
    assert metrics.KAFKA_SILENT.labels("d")._value is not None
    assert metrics.KAFKA_SILENT.labels("d").collect()[0].samples[0].value == AWAY_S + 1


async def test_kafka_that_leaves_in_doubt_is_away(monkeypatch):
    watched, _ = await looked(monkeypatch, [[], Doubt("no answer"), Doubt("no answer")])
    assert watched.silent_s == 7_200.0
    assert watched.away
