"""Rights that a worker and a client lack, on a Kafka that enforces them; `make rights` takes each away, these a few."""

import pytest

from faults import rights
from faults.rights import OPERATOR, PUBLISHER, WORKER, Field
from harness.secured import HAS_OPENSSL, secured_kafka

pytestmark = pytest.mark.skipif(not HAS_OPENSSL, reason="makes certificates with openssl")


@pytest.fixture
async def field(tmp_path, monkeypatch):
    monkeypatch.setattr(rights, "_MISSING_S", 2.0)
    with secured_kafka(tmp_path) as secured:
        made = Field(secured, tmp_path)
        try:
            await made.prepare()
            yield made
        finally:
            made.close()


async def test_a_missing_right_is_one_line_for_workers_and_clients_and_holds_until_it_is_granted(field):
    needed = {(right.operation, right.kind, right.name): right for right in field.rights[WORKER]}
    topics = field.owner.settings.topics
    for key in (("Write", "topic", topics.status), ("Write", "topic", topics.predictions)):
        row = await field.while_running(needed[key])
        assert row.holds, str(row)
    group = needed["Read", "group", field.owner.name]
    async with field._without(WORKER, group):
        row = await field.at_start(group)
        assert row.holds, str(row)
    for user, at in ((PUBLISHER, 0), (OPERATOR, 1)):  # to write the requests, and the control topic
        right = field.rights[user][at]
        async with field._without(user, right):
            row = await field.of_a_client(user, right)
            assert row.holds, str(row)
    group = next(right for right in field.rights[PUBLISHER] if right.kind == "group")
    async with field._without(PUBLISHER, group):
        row = await field.of_a_client(PUBLISHER, group)
        assert row.holds, str(row)
        assert row.outcome == "exit 0, by the reports"
