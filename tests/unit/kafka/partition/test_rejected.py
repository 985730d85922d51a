"""A commit that the topics reject: tried again once their settings have changed, and until then held for it."""

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from hotswap.batch import Limits
from hotswap.errors import Doubt, TopicMismatch
from hotswap.kafka.client.error_codes import InvalidRecordError
from hotswap.kafka.partition.rejected import Rejections
from hotswap.settings import Settings


class Topics:
    """The settings of the output topics."""

    def __init__(self):
        self.now, self.policies = Limits(1_000, 2_000), {}

    async def limits(self):
        return self.now

    async def compacted(self, topics):
        return [topic for topic in topics if topic in self.policies]


@pytest.fixture
async def topics():
    return Topics()


@pytest.fixture
async def rejections(topics):
    made = Rejections(topics, Settings(deployment="d").topics)
    await made.check()
    return made


def failed(error):
    doubt = Doubt("committing")
    doubt.__cause__ = error
    return doubt


async def test_a_commit_too_large_for_a_limit_that_was_lowered_meanwhile_is_made_anew_under_that(topics, rejections):
    topics.now = Limits(500, 2_000)
    rejections.remember(failed(MessageSizeTooLargeError()))
    await rejections.check()
    assert rejections.limits == Limits(500, 2_000)


async def test_a_commit_too_large_for_the_limit_that_it_was_made_for_is_held_until_that_changes(topics, rejections):
    rejections.remember(failed(MessageSizeTooLargeError()))
    for _ in range(2):
        with pytest.raises(TopicMismatch, match=r"d.predictions takes messages of 1000 bytes.*max\.message\.bytes"):
            await rejections.check()
    topics.now = Limits(1_000, 3_000)
    await rejections.check()
    await rejections.check()


async def test_an_answer_without_a_key_is_held_while_a_topic_of_the_answers_is_compacted(topics, rejections):
    topics.policies = {"d.dead-letters": "compact"}
    await rejections.check()
    rejections.remember(failed(InvalidRecordError()))
    for _ in range(2):
        with pytest.raises(TopicMismatch, match=r"d.dead-letters is compacted.*cleanup\.policy"):
            await rejections.check()
    topics.policies = {}
    await rejections.check()


@pytest.mark.parametrize("error", [InvalidRecordError(), KafkaConnectionError()], ids=repr)
async def test_what_no_setting_explains_is_tried_again(rejections, error):
    rejections.remember(failed(error))
    await rejections.check()
