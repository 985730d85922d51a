"""A local Kafka is a real one, keeps its promises through crashes, and leaves nothing behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from harness.kafkas import of_prepared_classes
from hotswap.errors import StartError
from hotswap.local import kafka as local_kafka
from hotswap.local.kafka import LocalKafka


@pytest.fixture(autouse=True)
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these many starts takes 1.9 s of CPU instead of 3.2."""
    for name, value in of_prepared_classes().items():
        monkeypatch.setenv(name, value)


async def _create(kafka: LocalKafka, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()


async def _write_one_committed_and_one_aborted(kafka: LocalKafka, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()


async def _read(kafka: LocalKafka, topic: str) -> list[bytes]:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        end = (await consumer.end_offsets(list(consumer.assignment())))[next(iter(consumer.assignment()))]
        values: list[bytes] = []
        while await consumer.position(next(iter(consumer.assignment()))) < end:
            answer = await asyncio.wait_for(consumer.getmany(timeout_ms=1_000), 10)
            values += [record.value for records in answer.values() for record in records]
        return values


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_transaction_outlives_the_end_of_its_broker_and_an_aborted_one_stays_invisible(own_kafka, end):
    topic = f"kept-through-{end}"
    await _create(own_kafka, topic)
    await _write_one_committed_and_one_aborted(own_kafka, topic)
    before = own_kafka.bootstrap
    await asyncio.to_thread(getattr(own_kafka, end))
    await asyncio.to_thread(own_kafka.start)
    assert own_kafka.bootstrap == before
    assert await _read(own_kafka, topic) == [b"committed"]


async def test_a_given_directory_keeps_data_and_port_for_the_next_run(tmp_path):
    with LocalKafka(directory=tmp_path / "data") as first:
        await _create(first, "kept")
        await _write_one_committed_and_one_aborted(first, "kept")
    with LocalKafka(directory=tmp_path / "data") as second:
        assert second.bootstrap == first.bootstrap
        assert await _read(second, "kept") == [b"committed"]
        with pytest.raises(StartError, match=r"is in use by another local Kafka: stop that one, or"):
            LocalKafka(directory=tmp_path / "data").start()


def test_a_taken_port_is_named_and_nothing_is_started():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        kafka = LocalKafka(port=port)
        with pytest.raises(StartError, match=rf"port {port} of 127\.0\.0\.1 is in use: stop the program"):
            kafka.start()
        kafka.close()


def test_a_port_that_another_program_takes_at_the_last_moment_is_chosen_again(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        choices = [(other.getsockname()[1], local_kafka._ports(0)[1]), local_kafka._ports(0)]
        chosen = iter(choices)
        monkeypatch.setattr(local_kafka, "_ports", lambda _: next(chosen))
        with LocalKafka() as kafka:
            assert kafka.bootstrap == f"127.0.0.1:{choices[1][0]}"


def test_a_setting_that_kafka_refuses_is_shown_in_its_own_words():
    with pytest.raises(StartError, match=r"num\.io\.threads"), LocalKafka(settings={"num.io.threads": "none"}):
        pass


def test_a_broker_dies_with_a_parent_that_is_killed_and_the_next_start_removes_its_data(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    port = int(parent.stdout.readline())
    left = list(tmp_path.glob("hotswap-kafka-*"))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        assert _is_closed(link)
    assert [folder.exists() for folder in left] == [True]
    subprocess.run([sys.executable, "-c", _SWEEP], check=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_a_live_brokers_data_are_not_taken_for_a_leftover(own_kafka):
    with LocalKafka() as other:
        assert other.bootstrap != own_kafka.bootstrap
        own_kafka.stop()
        assert own_kafka.start() is own_kafka


def _is_closed(link: socket.socket) -> bool:
    """Wait for the broker to end: the kernel then closes its connections."""
    try:
        return link.recv(1) == b""
    except ConnectionResetError:
        return True


_PARENT = textwrap.dedent("""
    import time
    from hotswap.local.kafka import LocalKafka
    kafka = LocalKafka().start()
    print(kafka.bootstrap.partition(":")[2], flush=True)
    time.sleep(120)
""")
_SWEEP = "from hotswap.local.kafka import LocalKafka; LocalKafka().start().close()"
