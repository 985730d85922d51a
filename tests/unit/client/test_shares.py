"""The shares of the requests: by the offsets of the last hour, or by all that is retained."""

import pytest

from fakes.kafka_admin import FakeAdmin
from hotswap.client.shares import SPAN_S, Window, read_window, window_of


@pytest.mark.parametrize(
    ("partitions", "share"), [([0], 0.25), ([0, 1], 1.0), ([], 0.0), ([1, 1], 0.75), ([0, 7], 0.25)]
)
def test_a_share_is_that_of_the_partitions_in_what_all_have_gained(partitions, share):
    assert Window(1, {0: 5, 1: 15, 2: 0}).share(partitions) == share


def test_without_a_request_there_is_no_share():
    assert Window(1, {0: 0, 1: 0}).share([0]) is None


def test_a_partition_without_an_offset_in_the_window_has_gained_nothing_and_none_gains_less():
    made = window_of(1, {0: 40, 1: None, 3: 90}, {0: 50, 1: 70, 2: 60, 3: 80})
    assert made == Window(1, {0: 10, 1: 0, 2: 0, 3: 0})


@pytest.fixture
def admin(cluster):
    return type("Admin", (FakeAdmin,), {"cluster": cluster})()


async def test_the_window_is_the_last_hour_up_to_the_ends(cluster, settings, admin):
    topic = settings.topics.requests
    for partition, age_s in ((0, SPAN_S + 60), (0, 30), (0, 20), (1, SPAN_S + 60), (1, SPAN_S - 60)):
        cluster.append(topic, b"", partition=partition)
        cluster.topics[topic][partition][-1].timestamp -= age_s * 1000
    made = await read_window(admin, topic)
    assert (made.gained, str(made)) == ({0: 2, 1: 1}, "the last hour")
    assert made.since_ms > 0
    assert (await read_window(admin, topic, {0: 2, 1: 2})).gained == {0: 1, 1: 1}


async def test_if_that_has_no_request_it_is_all_that_is_retained(cluster, settings, admin):
    topic = settings.topics.requests
    for partition in (0, 0, 1):
        cluster.append(topic, b"", partition=partition)
        cluster.topics[topic][partition][-1].timestamp -= (SPAN_S + 60) * 1000
    made = await read_window(admin, topic)
    assert (made, str(made)) == (Window(0, {0: 2, 1: 1}), "all that is retained")
