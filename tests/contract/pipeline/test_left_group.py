"""A worker that is no longer in its group, and of which no other one has taken the partitions yet, on a real Kafka."""

import pytest

from faults.one_partition import batch, on_kafka
from harness.fleet import Deployment
from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.kafka.transactions.producer import Nobody
from hotswap.kafka.wire.brokers import Brokers


@pytest.mark.parametrize("version", [1, 2])
async def test_who_has_left_the_group_commits_nothing_though_nobody_has_opened_its_partition(
    kafka, monkeypatch, tmp_path, version
):
    deployment = await Deployment(kafka, tmp_path).create(partitions=1)
    monkeypatch.setattr(Brokers, "transaction_version", property(lambda _: version, lambda *_: None), raising=False)
    async with on_kafka(deployment.settings, monkeypatch) as partition:
        membership, admin = partition.cluster.membership, partition.cluster.admin
        was = membership.group.member
        assert was.membership > 0
        membership.group = Nobody(deployment.settings.group_id, member=was)  # as a paused worker, it learns nothing
        source = partition.source()
        await source.open()
        await source.commit(batch(Position(1, 1), b"a"))
        await admin.remove_member(deployment.settings.group_id, was.id)
        with pytest.raises(Doubt, match="UnknownMemberId"):
            await source.commit(batch(Position(2, 1), b"b"))
        await source.close()
        assert await partition.committed() == Position(1, 1)
        assert await partition.answers() == [b"a"]
