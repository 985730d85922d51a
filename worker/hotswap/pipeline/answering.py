"""Answers a batch with a generation: record batches by a host that reads them itself, else request by request."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from operator import attrgetter
from time import time
from typing import NamedTuple

from hotswap.batch import Answer, Ask, BatchAnswers, Declined, Envelope, Refusal, Request, Seal, Unsealed
from hotswap.pipeline.addressing import Address, Addressed
from hotswap.pipeline.admission import admit, needs_a_look
from hotswap.pipeline.ports import RawRequests, Serving, Source
from hotswap.swap.sample import Sampling

_TIMESTAMP = attrgetter("timestamp")
_MEASURED = 500
_ROUNDS = 4


class Batch(NamedTuple):
    """The requests of a partition that a host answers at once, from offset `first` up to `next`."""

    first: int
    next: int
    size: int
    is_full: bool
    """Whether there may be more, which were not taken."""
    requests: Sequence[Request] = ()
    raw: RawRequests | None = None
    """Instead of the parsed `requests`."""

    def times(self) -> Iterable[tuple[int, int]]:
        """Return times, milliseconds since the epoch, and how many requests each stands for."""
        if self.raw:
            return self.raw.times()
        every = self.size // _MEASURED + 1  # looking at each of 5,000 would take 2 % of a worker's CPU
        sent = Counter(map(_TIMESTAMP, self.requests[::every]))
        return [(at_ms or 0, count * every) for at_ms, count in sent.items()]  # aiokafka says None for some


def take(source: Source, serving: Serving, until: int | None) -> Batch | None:
    """Take the next batch, unparsed if the host can read it itself; None: there is none."""
    limit = serving.max_batch_records
    if serving.host.can_seal and (raw := source.take_raw(limit, until)):
        return Batch(raw.first, raw.next, raw.size, raw.is_full, raw=raw)
    if requests := source.take(limit, until):
        return Batch(requests[0].offset, requests[-1].offset + 1, len(requests), len(requests) >= limit, requests)
    return None


def take_some(source: Source, sample: Sampling, partition: int, limit: int, until: int | None) -> Batch | None:
    """Take the next batch of a shadow, of which those in its sample are to be answered; None: there is none."""
    if not sample.has(partition) or not (requests := source.take(limit, until)):
        return None
    chosen = sample.chosen(partition, [request.offset for request in requests])
    some = list(compress(requests, chosen))
    return Batch(requests[0].offset, requests[-1].offset + 1, len(some), len(requests) >= limit, some)


class Answering:
    """Answers the batches of one partition."""

    def __init__(self, place: str, source: Source) -> None:
        """`place`: see Address."""
        self._place = place
        self._source = source

    async def answer(self, serving: Serving, batch: Batch) -> BatchAnswers:
        """Return the records that answer a batch, in the order of its requests.

        Raises:
            HostError: no host could be started.

        """
        if not batch.size:  # none of a shadow's sample
            return BatchAnswers((), ())
        address = Address(serving.generation, serving.rules, self._place, self._source.limits)
        requests, is_suspect = batch.requests, False
        if raw := batch.raw:
            sealed = await self._seal(serving, address, raw)
            if isinstance(sealed, BatchAnswers):
                return sealed
            requests, is_suspect = raw.parsed(), sealed is Unsealed.FAILED
        return address.records(requests, await _ask(serving, requests, is_suspect=is_suspect))

    async def _seal(self, serving: Serving, address: Address, raw: RawRequests) -> BatchAnswers | Unsealed:
        """Have the host write record batches. Declined requests are answered one by one, and put in their places."""
        if not (envelope := address.envelope(raw.max_record_bytes)):
            return Unsealed.UNREADABLE
        declined: dict[int, Addressed] = {}
        for _ in range(_ROUNDS):
            replacements = {
                offset: one.record if one.is_prediction else None for offset, one in sorted(declined.items())
            }
            result = await serving.host.seal(self._order(raw, envelope), replacements)
            if isinstance(result, Unsealed):
                return result
            if not isinstance(result, Declined):
                return BatchAnswers(
                    result, [declined[offset].record for offset, record in replacements.items() if record is None]
                )
            if 2 * (len(declined) + len(result.requests)) > raw.size:
                break
            some = raw.some(result.requests)
            answers = await _ask(serving, some)
            declined |= {one.offset: address.record(one, answer) for one, answer in zip(some, answers, strict=True)}
        return Unsealed.UNREADABLE

    def _order(self, raw: RawRequests, envelope: Envelope) -> Seal:
        return Seal(raw.pieces, raw.first, raw.next, raw.size, self._source.stamp, int(time() * 1000), envelope)


async def _ask(serving: Serving, batch: Sequence[Request], *, is_suspect: bool = False) -> Sequence[Answer]:
    """Return one answer per request; requests refused for their headers or size never reach the host."""
    slow = needs_a_look(batch, serving.rules)
    if not slow:
        return await serving.host.score([request.value or b"" for request in batch], is_suspect=is_suspect)
    now_ms = int(time() * 1000)
    looked = {index: admit(batch[index], serving.rules, now_ms) for index in slow}
    default = Ask(serving.rules.default_operation)
    asks = [looked.get(index, default) for index in range(len(batch))]
    admitted = [(batch[index].value or b"", ask) for index, ask in enumerate(asks) if isinstance(ask, Ask)]
    values = [value for value, _ in admitted]
    rest = iter(await serving.host.score(values, [ask for _, ask in admitted], is_suspect=is_suspect))
    return [ask if isinstance(ask, Refusal) else next(rest) for ask in asks]
