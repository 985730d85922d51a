"""What `hotswap doctor` finds in a topic of a cluster of three brokers, or one whose settings it may not read."""

import pytest

from hotswap.client.doctor import _topic
from hotswap.client.findings import Level
from hotswap.kafka.topics.topics import Placement
from hotswap.settings import Settings

SETTINGS = Settings(deployment="d")
TOPIC = SETTINGS.topics.requests
SAFE = {"min.insync.replicas": "2", "cleanup.policy": "delete"}


@pytest.mark.parametrize(
    ("told", "placed", "brokers", "finding"),
    [
        (SAFE, Placement(4, 3, 0), 3, (Level.OK, "4 partitions, 3 copies of each")),
        (SAFE, Placement(4, 3, 1), 3, (Level.WARNING, "1 partitions have copies that are behind")),
        (
            SAFE | {"min.insync.replicas": "1"},
            Placement(4, 3, 0),
            3,
            (Level.WARNING, "acknowledges records that only one broker has"),
        ),
        (
            SAFE | {"cleanup.policy": "compact,delete"},
            Placement(4, 3, 0),
            3,
            (
                Level.WARNING,
                "is compacted: it keeps the last record of each key, read or not, and takes none without a key",
            ),
        ),
        (None, Placement(4, 3, 0), 3, (Level.WARNING, "its settings may not be read")),
        (
            SAFE,
            Placement(4, 1, 0),
            1,
            (Level.WARNING, "has 1 of 3 copies: acknowledged records can be lost with a broker"),
        ),
    ],
)
def test_a_topic_is_judged_by_its_copies_and_its_settings(told, placed, brokers, finding):
    (one,) = _topic(SETTINGS, TOPIC, told, placed, brokers)
    assert (one.level, one.what) == finding
    assert bool(one.advice) is (one.level is not Level.OK)
