"""A data path that answers at once, on fake logs."""

from collections.abc import Callable

from fakes.kafka_logs import FakeCluster, FakeRecord
from hotswap.settings import Settings


def answer_requests(
    cluster: FakeCluster,
    settings: Settings,
    *,
    generation: int = 1,
    refuse: Callable[[bytes | None], bool] = lambda _: False,
    why: str = "is no message",
) -> None:
    """Simulate the data path: echo each request as a prediction, or refuse it."""

    def react(record: FakeRecord) -> None:
        if record.topic != settings.topics.requests:
            return
        source = f"{record.topic}-{record.partition}-{record.offset}".encode()
        headers = (*record.headers, ("source", source), ("generation", str(generation).encode()))
        if refuse(record.value):
            reason = (("code", b"UNDECODABLE"), ("message", why.encode()))
            cluster.append(
                settings.topics.dead_letters, record.value, key=record.key, headers=(*headers, *reason),
                partition=record.partition,
            )  # fmt: skip
        else:
            cluster.append(settings.topics.predictions, record.value, headers=headers, partition=record.partition)

    cluster.on_append.append(react)
