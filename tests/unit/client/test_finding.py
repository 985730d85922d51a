"""Finding one answer among many by the place of its request."""

import pytest

from fakes.kafka_logs import FakeCluster
from hotswap.client.answers import Prediction, Refused
from hotswap.client.finding import Gone, NotYet, find_answer


@pytest.fixture
def answered(cluster: FakeCluster, settings):
    """1,000 requests of partition 1, of which every tenth is refused; transaction markers take offsets, too."""
    topics = settings.topics
    for offset in range(1_000):
        headers = [("source", f"{topics.requests}-1-{offset}".encode()), ("generation", b"7")]
        if offset % 10 == 3:
            headers += [("code", b"MODEL_ERROR"), ("message", b"%d" % offset)]
            cluster.append(topics.dead_letters, b"", headers=headers, partition=1)
        else:
            cluster.append(topics.predictions, b"%d" % offset, headers=headers, partition=1)
            if offset % 7 == 0:
                cluster.append(topics.predictions, b"marker", partition=1)
    cluster.committed[1] = 1_000
    cluster.at_once = 3
    return cluster


async def test_each_answer_is_found_by_its_place_in_few_looks(answered, settings):
    for offset in (0, 1, 2, 499, 500, 501, 998, 999):
        answered.looks = 0
        answer = await find_answer(settings, 1, offset)
        assert isinstance(answer, Prediction)
        assert (answer.value, answer.generation) == (b"%d" % offset, 7)
        assert answered.looks <= 11


async def test_a_refusal_is_found_among_the_dead_letters(answered, settings):
    for offset in (3, 503, 993):
        answer = await find_answer(settings, 1, offset)
        assert isinstance(answer, Refused)
        assert (answer.code, answer.message) == ("MODEL_ERROR", str(offset))


async def test_what_has_no_answer_yet_and_what_retention_took_are_told_apart(answered, settings):
    with pytest.raises(NotYet, match=r"d\.requests-1-1000 has no answer yet"):
        await find_answer(settings, 1, 1_000)
    answered.begins[settings.topics.predictions] = 300
    with pytest.raises(Gone, match=r"d\.requests-1-5 was answered"):
        await find_answer(settings, 1, 5)
    with pytest.raises(NotYet):
        await find_answer(settings, 0, 0)
