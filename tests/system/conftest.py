"""What tests of one partition on a real Kafka share."""

import pytest

from faults.one_partition import on_kafka
from harness.fleet import Deployment


@pytest.fixture
async def partition(kafka, monkeypatch, tmp_path):
    """The only partition of a deployment of the test's own, as a loop has it; see OnKafka."""
    deployment = await Deployment(kafka, tmp_path).create(partitions=1)
    async with on_kafka(deployment.settings, monkeypatch) as made:
        yield made
