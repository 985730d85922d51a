"""What a broker tells of a user's rights (KIP-430), and what it does not tell, is no missing right."""

from types import SimpleNamespace

from hotswap.kafka.client.acls import Right
from hotswap.kafka.client.rights import missing_rights

HIDDEN, UNKNOWN, NOT_TOLD = 29, 3, -(1 << 31)
READ, WRITE = 1 << 3, 1 << 4


async def missing_of(*told):
    """Return what is missing of Read of the topics a, b, …, of which a broker tells these errors and operations."""
    names = "abcdef"[: len(told)]
    topics = [(error, name, False, [], operations) for name, (error, operations) in zip(names, told, strict=True)]

    async def send(_):
        return SimpleNamespace(topics=topics)

    wanted = [Right("Read", "topic", name) for name in names]
    return [right.name for right in await missing_rights(SimpleNamespace(ask=send), wanted)]


async def test_a_right_is_missing_where_the_broker_tells_others_or_hides_the_topic():
    assert await missing_of((0, READ | WRITE), (0, WRITE), (0, 0), (HIDDEN, NOT_TOLD)) == ["b", "c", "d"]


async def test_nothing_is_missing_of_a_topic_that_is_not_there_or_of_which_the_broker_does_not_tell():
    assert await missing_of((UNKNOWN, NOT_TOLD), (0, NOT_TOLD)) == []
