"""What an operator does to the topics of a deployment, each act on a broker of its own kind; the docstring names it.

An act is played while a stream of requests is published and answered. It returns what was seen, in a few words, and
raises AssertionError for what should have been seen.
"""

import asyncio
import time

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import NewPartitions, OffsetSpec

from hotswap.kafka.topics.admin import Admin

CREATING = {"auto.create.topics.enable": "true"}
"""A broker that creates a topic once it is asked for, as Kafka does by default."""

PRUNING = {
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "200",
    "log.segment.delete.delay.ms": "100",
}
"""A broker that deletes and compacts within a second."""

FORGETTING = {
    "transactional.id.expiration.ms": "5000",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "500",
    "producer.id.expiration.ms": "5000",
    "producer.id.expiration.check.interval.ms": "500",
}
"""A broker that forgets a transactional id after 5 seconds, not a week."""

LONE = CREATING | PRUNING


async def partitions_added(arena):
    """The requests topic gets more partitions, then those of the answers do."""
    topics = arena.topics
    await arena.done(arena.admin.create_partitions([NewPartitions(topics.requests, 6)]))
    began = time.monotonic()
    await arena.says(f"topic {topics.predictions} has 4 partitions, fewer than {topics.requests} with 6")
    await arena.unready("fewer than")
    await asyncio.to_thread(arena.watcher.start_again)
    await arena.publish(100, (4, 5))
    await arena.says("partition 4: .*no partition 4")
    held_s = time.monotonic() - began
    assert arena.metric("hotswap_topic_faults") > 0, "no worker exports the fault"
    answers = [NewPartitions(name, 6) for name in (topics.predictions, topics.dead_letters)]
    await arena.done(arena.admin.create_partitions(answers))
    began = time.monotonic()
    await asyncio.to_thread(arena.watcher.start_again)
    await arena.until(lambda: arena.verifier.longest_gaps.keys() >= {4, 5}, 30, "the new partitions are answered")
    await arena.is_well()
    return f"held and named after {held_s:.0f} s, answered {time.monotonic() - began:.0f} s after theirs were added"


async def topic_vanishes(arena):
    """The predictions topic is deleted, where a broker creates topics by itself, and created again."""
    topics = arena.topics
    arena.publisher.rate(0)
    await arena.rest()
    await arena.done(arena.admin.delete_topics([topics.predictions]))
    arena.publisher.rate(arena.terms.per_second)
    await arena.says(f"topic {topics.predictions} does not exist")
    await arena.unready("does not exist")
    await arena.publisher.reach(300)
    listed = await asyncio.to_thread(arena.admin.list_topics, timeout=10)
    assert topics.predictions not in listed.topics, "somebody has made the topic by asking for it"
    async with Admin.connect(arena.deployment.settings) as ours:
        await ours.create_topics(arena.terms.partitions)
    began, before = time.monotonic(), arena.verifier.answered
    await asyncio.to_thread(arena.watcher.start_again, [topics.predictions])
    await arena.until(lambda: arena.verifier.answered > before, 30, "answers come again")
    seconds = time.monotonic() - began
    await arena.is_well()
    return f"named, made by nobody, answers {seconds:.0f} s after it was back"


async def retention_by_age(arena):
    """Requests are deleted before the workers, which are stopped, have read them."""
    await arena.stop_workers()
    await arena.publisher.reach(400)
    ends = await _ends(arena)
    half = [TopicPartition(arena.topics.requests, number, end - 20) for number, end in ends.items()]
    await arena.done(arena.admin.delete_records(half))
    arena.join()
    return await _deleted(arena)


async def retention_by_size(arena):
    """Requests are deleted by retention.bytes before workers, which run and are paused, have read them."""
    await arena.alter(arena.topics.requests, retention_bytes="20000", segment_ms="500")
    await arena.client.pause()
    firsts = await _ends(arena, OffsetSpec.earliest())
    async with asyncio.timeout(60):
        while any(first <= firsts[number] for number, first in (await _ends(arena, OffsetSpec.earliest())).items()):
            await asyncio.sleep(0.5)
    await arena.publisher.reach(1_500)
    await arena.alter(arena.topics.requests, retention_bytes=None, segment_ms=None)
    await arena.client.resume()
    return await _deleted(arena)


async def _deleted(arena):
    await arena.says("the requests from offset [0-9]+ to [0-9]+ were deleted before they were read")
    seen = await _counted(arena)
    told = sum(line["to"] - line["from"] for line in arena.logged("partition.requests_were_deleted"))
    assert told == len(arena.verifier.unread), f"the log names {told}"
    return seen


async def _counted(arena):
    """Check that as many requests are counted as deleted as are gone without an answer."""
    arena.publisher.rate(0)
    await arena.deployment.drained(90)
    arena.verifier.gone = arena.verifier.asked_for - await asyncio.to_thread(arena._left)
    await arena.rest()
    gone = len(arena.verifier.unread)
    assert gone, "nothing was removed before it was read"
    counted = arena.metric("hotswap_requests_deleted_total")
    assert counted == gone, f"{counted:.0f} are counted as deleted, {gone} are gone without an answer"
    await arena.is_well()
    return f"{gone} removed unread, counted and named"


async def compaction_of_requests(arena):
    """The requests topic is compacted before the workers, which are stopped, have read requests of the same key."""
    requests = arena.topics.requests
    await arena.stop_workers()  # paused ones fetch ahead: at times all of what is published here
    unread = await arena.publish(600, range(4), keys=(b"a", b"b", b"c"))
    await arena.alter(
        requests,
        cleanup_policy="compact",
        segment_ms="200",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="500",
    )
    async with asyncio.timeout(60):
        while unread <= await asyncio.to_thread(arena._left):  # before them, requests are removed that were answered
            await asyncio.sleep(0.5)
    await arena.alter(
        requests, cleanup_policy=None, segment_ms=None, min_cleanable_dirty_ratio=None, max_compaction_lag_ms=None
    )
    arena.join()
    await arena.says("compaction removed [0-9]+ requests between offset")
    return await _counted(arena)


async def compaction_of_answers(arena):
    """The predictions topic is compacted, which takes no answer without a key, and requests come without one."""
    topic = arena.topics.predictions
    await arena.alter(topic, cleanup_policy="compact")
    await arena.publish(100, range(4))
    await arena.says(f"topic {topic} is compacted.*cleanup.policy")
    lines = len(arena.logged("partition.recycled"))
    await asyncio.sleep(6)
    assert len(arena.logged("partition.recycled")) <= lines + 4, "it is tried again and again, with a line each time"
    await arena.alter(topic, cleanup_policy=None)
    began = time.monotonic()
    await arena.is_well()
    return f"held and named; goes on {time.monotonic() - began:.0f} s after it was set back"


async def messages_bound_lowered(arena):
    """max.message.bytes of the predictions topic is lowered below a batch of answers, then below any answer."""
    topic = arena.topics.predictions
    await arena.alter(topic, max_message_bytes="1000")
    await arena.publish(400, range(4))
    await arena.publisher.reach(200)
    arena.publisher.rate(0)
    await arena.rest()
    await arena.alter(topic, max_message_bytes="150")
    await arena.publish(40, range(4), expect=b"ANSWER_TOO_LARGE")
    await arena.rest()
    refused = arena.verifier.refused
    await arena.alter(arena.topics.dead_letters, max_message_bytes="150")
    await arena.publish(40, range(4), expect=b"ANSWER_TOO_LARGE")
    await arena.says("too large even as a dead letter.*max.message.bytes")
    await arena.alter(arena.topics.dead_letters, max_message_bytes=str(2 << 20))
    await arena.rest()
    assert arena.verifier.refused == refused + 40
    await arena.alter(topic, max_message_bytes=None)
    for name in await arena.stop_workers():
        arena.join(in_place_of=name)
    arena.publisher.rate(arena.terms.per_second)
    await arena.publisher.reach(200)
    await arena.is_well()
    return "smaller batches, then ANSWER_TOO_LARGE, then held and named"


async def group_reset(arena):
    """The group's offsets are set back, forward, and removed, while its workers are stopped, as Kafka demands."""
    refused = await _set_offsets(arena, {0: 0})
    assert refused, "Kafka lets somebody set the offsets of a group with members"
    await arena.publisher.reach(300)  # of which each partition gets more than are set back
    for what in ("set back", "set forward", "removed"):
        await arena.rest()
        await arena.stop_workers()
        await arena.publisher.reach(300)
        committed = {number: at for number, (at, _) in (await asyncio.to_thread(arena.watcher._committed)).items()}
        answered = {(n, offset) for n, offset in arena.verifier.asked_for if offset < committed[n]}
        if what == "set back":
            wanted = {number: at - 25 for number, at in committed.items()}
            text = "have answers, and get others"
        elif what == "set forward":
            wanted = {number: at + 10 for number, at in committed.items()}
            text = "are left out, and get no answer"
            arena.left_out |= {(n, offset) for n, at in committed.items() for offset in range(at, wanted[n])}
        else:
            await arena.done(arena.admin.delete_consumer_groups([arena.deployment.settings.group_id]))
            wanted = dict.fromkeys(committed, 0)
            arena.verifier.late = arena.left_out
            text = "have answers, and get others"
        if what != "removed":
            assert not await _set_offsets(arena, wanted)
        arena.verifier.ordered |= {(n, offset) for n, offset in answered if offset >= wanted[n]} - arena.left_out
        arena.verifier.gone = arena.left_out if what == "set forward" else set()
        arena.join()
        arena.join()
        await arena.says(text)
        await arena.until(lambda: not arena.verifier.ordered, 60, "what was asked for again is answered again")
        if what == "removed":
            arena.left_out = set()
    return "refused while workers run; then each is obeyed, and what is repeated and left out is named"


async def _set_offsets(arena, offsets):
    """Set the group's offsets as kafka-consumer-groups.sh does; return whether Kafka refuses that."""
    places = [TopicPartition(arena.topics.requests, number, at) for number, at in offsets.items()]
    asked = [ConsumerGroupTopicPartitions(arena.deployment.settings.group_id, places)]
    try:
        (done,) = (await arena.done(arena.admin.alter_consumer_group_offsets(asked))).values()
    except KafkaException:
        return True
    return any(place.error for place in done.topic_partitions)


async def week_without_requests(arena):
    """Nothing is asked for longer than the broker remembers a transactional id."""
    arena.publisher.rate(0)
    await arena.rest()
    await asyncio.sleep(12)
    before = len(arena.logged("partition.recycled"))
    arena.publisher.rate(arena.terms.per_second)
    await arena.publisher.reach(500)
    arena.publisher.rate(0)
    await arena.rest()
    lines = len(arena.logged("partition.recycled")) - before
    assert lines <= arena.terms.partitions, f"{lines} lines for {arena.terms.partitions} partitions"
    await arena.is_well()
    return f"all answered, {lines} lines in the log for {arena.terms.partitions} partitions"


async def _ends(arena, which=None):
    """Partition of the requests topic -> its end offset, or another one."""
    asked = {
        TopicPartition(arena.topics.requests, n): which or OffsetSpec.latest() for n in range(arena.terms.partitions)
    }
    return {
        place.partition: found.offset for place, found in (await arena.done(arena.admin.list_offsets(asked))).items()
    }
