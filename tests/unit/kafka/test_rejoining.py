"""When a member joins its group again although nobody asks it to."""

from types import SimpleNamespace

import pytest

from hotswap.kafka import group
from hotswap.kafka.group import AWAY_S, rejoin_once_back


class Coordinator:
    """aiokafka's, as far as it sends heartbeats: each is told its time, and whether it is answered."""

    def __init__(self):
        self.generation, self.rejoins = 7, 0

    def request_rejoin(self):
        self.rejoins += 1

    async def _do_heartbeat(self):
        return self.is_answered


@pytest.fixture
def beat(monkeypatch):
    coordinator, now = Coordinator(), 0.0
    monkeypatch.setattr(group, "time", SimpleNamespace(monotonic=lambda: now))
    rejoin_once_back(SimpleNamespace(_coordinator=coordinator))

    async def sent(*, at, is_answered, generation=7):
        nonlocal now
        now, coordinator.is_answered, coordinator.generation = at, is_answered, generation
        assert await coordinator._do_heartbeat() is is_answered
        return coordinator.rejoins

    return sent


async def test_a_member_joins_again_once_a_coordinator_that_was_away_is_back(beat):
    await beat(at=0, is_answered=True)
    await beat(at=5, is_answered=False)
    assert await beat(at=5 + AWAY_S / 2, is_answered=False) == 0
    assert await beat(at=5 + AWAY_S, is_answered=True) == 1
    assert await beat(at=9, is_answered=True) == 1


async def test_a_member_does_not_join_again_after_a_single_heartbeat_or_a_short_time_without_an_answer(beat):
    for at in range(0, 20, 2):
        await beat(at=at, is_answered=False)
        await beat(at=at + AWAY_S * 0.9, is_answered=True)
    assert await beat(at=20, is_answered=True) == 0


async def test_a_member_that_has_joined_anew_meanwhile_does_not_join_a_second_time(beat):
    await beat(at=0, is_answered=False)
    assert await beat(at=30, is_answered=True, generation=8) == 0
    await beat(at=40, is_answered=False, generation=8)
    await beat(at=45, is_answered=False, generation=9)
    assert await beat(at=45 + AWAY_S / 2, is_answered=True, generation=9) == 0
