"""The search for an old answer by its request's place: a binary search over the header `source`.

Answers are in the order of their requests, in the partition with the same number, so some twenty reads find one among
millions.
"""

import asyncio
import re
import secrets
from typing import NamedTuple, Self

from hotswap.client.answers import ID_HEADER, Place, Prediction, Refused, prediction_of, refused
from hotswap.errors import HotswapError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader, LogRecord
from hotswap.settings import Settings

_TOKEN_BYTES = 16
_ID = re.compile(r"([0-9a-f]{32})-([0-9]{1,10})-([0-9]{1,19})", re.ASCII)


class NotYet(HotswapError):
    """The request has no answer yet, or there is no such request: ask again later."""


class Gone(HotswapError):
    """The request was answered, but its answer has been removed since: give up."""


class PredictionId(NamedTuple):
    """The id of an answer, which only the caller of its request knows; its text is `token-partition-offset`.

    The place can be guessed, the token (128 random bits) cannot. The answer has the token in a header that is copied
    from its request, so any gateway can verify an id without storing it.
    """

    token: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """`token-partition-offset`."""
        return f"{self.token}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the id with this text; None: the text is not an id."""
        match = _ID.fullmatch(text)
        return cls(match[1], int(match[2]), int(match[3])) if match else None

    @staticmethod
    def masked(text: str) -> str:
        """Return a text, such as a path, for a log: the ids in it keep their places and lose their tokens."""
        return _ID.sub(r"…-\2-\3", text)

    def is_of(self, record: LogRecord) -> bool:
        """Return whether an answer has the token, in a time that does not depend on the answer's token."""
        tokens = [value or b"" for name, value in record.headers if name == ID_HEADER]
        return len(tokens) == 1 and secrets.compare_digest(tokens[0], self.token.encode())


def new_token() -> str:
    """Return a token for the requests of a call: 128 random bits, as hexadecimal digits."""
    return secrets.token_hex(_TOKEN_BYTES)


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


async def find_by_id(settings: Settings, wanted: PredictionId) -> Prediction | Refused | None:
    """Return the answer with this id; None: there is none, or it has another token.

    Both topics are always searched, so that the time does not reveal which has it.

    Raises:
        Doubt: Kafka did not answer in time.

    """
    topics = settings.topics
    place = Place(topics.requests, wanted.partition, wanted.offset)
    prediction, dead_letter = await asyncio.gather(
        _find(settings, topics.predictions, place), _find(settings, topics.dead_letters, place)
    )
    for record, read in ((prediction, prediction_of), (dead_letter, refused)):
        if record and wanted.is_of(record):
            return read(record)
    return None


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
    """Return the offset of the request that a record answers; None: it answers none of that partition."""
    source = dict(record.headers).get("source") or b""
    prefix, _, digits = source.rpartition(b"-")
    is_ours = prefix == f"{place.topic}-{place.partition}".encode() and digits.isdigit()
    return int(digits) if is_ours else None
