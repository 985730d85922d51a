"""The requests of transactions on the wire: the bytes that Kafka's own message definitions give."""

import pytest
from aiokafka.errors import IncompatibleBrokerVersion

from hotswap.kafka.wire.messages import (
    AddPartitions,
    CommitOffsetInTransaction,
    EndTransactionAndEpoch,
    InitProducerId,
    Produce,
    ProduceInTransaction,
    one,
)

# As kio 0.6.5 and Kafka 4.3.1 write them, without headers.
WRITTEN = {
    "init": (InitProducerId("t", 30_000, -1, -1, {}), "0274 00007530 ffffffffffffffff ffff 00"),
    "produce": (
        ProduceInTransaction("t", -1, 30_000, one("p", 3, b"xyz"), {}),
        "0274 ffff 00007530 02 0270 02 00000003 0478797a 00 00 00",
    ),
    "offset": (
        CommitOffsetInTransaction("t", "g", 7, 2, 5, "m", None, one("r", 3, 8, -1, "n"), {}),
        "0274 0267 0000000000000007 0002 00000005 026d 00 02 0272 02 00000003 0000000000000008 ffffffff 026e 00 00 00",
    ),
    "end": (EndTransactionAndEpoch("t", 7, 2, True, {}), "0274 0000000000000007 0002 01 00"),
    "add": (AddPartitions("t", 7, 2, [("p", [3], {})], {}), "0274 0000000000000007 0002 02 0270 02 00000003 00 00"),
}


@pytest.mark.parametrize(("request_", "written"), WRITTEN.values(), ids=WRITTEN)
def test_a_request_has_the_bytes_of_kafkas_message_definitions(request_, written):
    assert request_.encode() == bytes.fromhex(written)


@pytest.mark.parametrize(("known", "chosen"), [((3, 13), 11), ((0, 10), 10), ((3, 9), 9)])
def test_a_request_is_sent_in_the_newest_version_of_its_layout_that_the_broker_has(known, chosen):
    assert chosen == Produce().prepare({0: known}).API_VERSION
    assert Produce.API_VERSION == 11


@pytest.mark.parametrize("known", [{0: (0, 11)}, {0: (13, 20)}, {}])
def test_a_broker_without_any_of_its_versions_is_told_of(known):
    with pytest.raises(IncompatibleBrokerVersion, match="ProduceInTransaction in version 12 to 12"):
        ProduceInTransaction().prepare(known)
