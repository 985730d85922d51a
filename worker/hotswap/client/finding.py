"""Finds the answer to one request by its place, long after it was given: a binary search over the header `source`.

Answers are in the order of their requests, in the partition with the same number, so some twenty looks find one among
millions.
"""

from hotswap.client.answers import Place, Prediction, Refused, prediction_of, refused
from hotswap.errors import HotswapError
from hotswap.kafka.admin import Admin
from hotswap.kafka.log import LogReader, LogRecord
from hotswap.settings import Settings


class NotYet(HotswapError):
    """Ask again later: the request has no answer yet, or there is no such request."""


class Gone(HotswapError):
    """Give up: the request was answered, and its answer has been removed since."""


async def find_answer(settings: Settings, partition: int, offset: int) -> Prediction | Refused:
    """Return the answer to the request at this place.

    Raises:
        NotYet: it has no answer yet, or there is no such request.
        Gone: retention has removed its answer.
        Doubt: Kafka did not answer in time.

    """
    topics = settings.topics
    place = Place(topics.requests, partition, offset)
    async with Admin.connect(settings) as admin:
        committed = (await admin.committed(settings.group_id, topics.requests, [partition])).get(partition)
    for topic, read in ((topics.predictions, prediction_of), (topics.dead_letters, refused)):
        if record := await _find(settings, topic, place):
            return read(record)
    if committed is None or committed.offset <= offset:
        raise NotYet(f"{place} has no answer yet, or there is no such request")
    raise Gone(f"{place} was answered, and its answer has been removed since")


async def _find(settings: Settings, topic: str, place: Place) -> LogRecord | None:
    reader = LogReader(settings, topic, read_committed=True)
    try:
        await reader.start(only=place.partition)
        low, high = (await reader.positions())[place.partition], (await reader.end())[place.partition]
        while low < high:
            middle = (low + high) // 2
            known = [(_offset(record, place), record) for record in await reader.read_from(place.partition, middle)]
            answered = [(offset, record) for offset, record in known if offset is not None]
            if not answered or answered[0][0] > place.offset:
                high = middle
            elif answered[-1][0] < place.offset:
                low = answered[-1][1].offset + 1
            else:
                return next((record for offset, record in answered if offset == place.offset), None)
    finally:
        await reader.stop()
    return None


def _offset(record: LogRecord, place: Place) -> int | None:
    """Return the offset of the request that a record answers; None: it is no answer to one of that partition."""
    source = dict(record.headers).get("source") or b""
    prefix, _, digits = source.rpartition(b"-")
    is_ours = prefix == f"{place.topic}-{place.partition}".encode() and digits.isdigit()
    return int(digits) if is_ours else None
