"""What a member sees of its coordinator: that it was away, and that another one has its name."""

from types import SimpleNamespace

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from hotswap.kafka.client.error_codes import FENCED_INSTANCE_ID
from hotswap.kafka.group import member as module
from hotswap.kafka.group.member import AWAY_S, MemberClient

UNKNOWN_MEMBER, REBALANCE_IN_PROGRESS = 25, 27


class Member:
    """A member, whose requests are told their times, and how they are answered: an error code, or not at all."""

    def __init__(self, monkeypatch):
        self.rejoins, self._now, self._code = 0, 0.0, 0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self._now))
        monkeypatch.setattr(AIOKafkaClient, "send", self._send)
        self.client = MemberClient(self._rejoin)

    def _rejoin(self):
        self.rejoins += 1

    async def _send(self, *_, **__):
        if self._code is None:
            raise KafkaConnectionError
        return SimpleNamespace(error_code=self._code)

    async def ask(self, request, *, at, code):
        """Send a request, and return how often the member was made to join again."""
        self._now, self._code = at, code
        try:
            await self.client.send(1, request)
        except KafkaConnectionError:
            assert code is None
        return self.rejoins

    async def beat(self, *, at, is_answered, code=UNKNOWN_MEMBER):
        return await self.ask(HeartbeatRequest("g", 7, "m"), at=at, code=0 if is_answered else code)


@pytest.fixture
async def member(monkeypatch):
    return Member(monkeypatch)


@pytest.mark.parametrize("code", [None, UNKNOWN_MEMBER])
@pytest.mark.parametrize("back", [0, REBALANCE_IN_PROGRESS])
async def test_a_member_joins_again_once_a_coordinator_that_was_away_is_back(member, code, back):
    await member.beat(at=0, is_answered=True)
    await member.beat(at=5, is_answered=False, code=code)
    assert await member.beat(at=5 + AWAY_S / 2, is_answered=False, code=code) == 0
    assert await member.ask(HeartbeatRequest("g", 7, "m"), at=5 + AWAY_S, code=back) == 1
    assert await member.beat(at=9, is_answered=True) == 1


async def test_a_member_does_not_join_again_after_a_single_heartbeat_or_a_short_time_without_an_answer(member):
    for at in range(0, 20, 2):
        await member.beat(at=at, is_answered=False)
        await member.beat(at=at + AWAY_S * 0.9, is_answered=True)
    assert await member.beat(at=20, is_answered=True) == 0


async def test_a_member_that_has_joined_anew_meanwhile_does_not_join_a_second_time(member):
    await member.beat(at=0, is_answered=False)
    await member.ask(JoinGroupRequest("g", 1, 1, "m", None, "consumer", []), at=20, code=0)
    assert await member.beat(at=30, is_answered=True) == 0
    await member.beat(at=45, is_answered=False)
    assert await member.beat(at=45 + AWAY_S / 2, is_answered=True) == 0


@pytest.mark.parametrize(
    "request_",
    [
        HeartbeatRequest("g", 7, "m"),
        JoinGroupRequest("g", 1, 1, "m", None, "consumer", []),
        SyncGroupRequest("g", 7, "m", None, []),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_a_member_knows_from_any_answer_that_another_one_has_its_name(member, request_):
    await member.ask(request_, at=0, code=UNKNOWN_MEMBER)
    assert not member.client.is_displaced
    await member.ask(request_, at=0, code=FENCED_INSTANCE_ID)
    await member.beat(at=1, is_answered=True)
    assert member.client.is_displaced
