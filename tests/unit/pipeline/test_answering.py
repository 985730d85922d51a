"""Record batches for a host that reads them itself, and what becomes of the requests that it declines."""

import pytest

from fakes.data_plane import FakeHost, FakeRequest, FakeRouter, FakeSource, drain
from hotswap import metrics
from hotswap.batch import Code, Declined, DeclinedRequest, Limits, RecordBatch, Refusal, Unscorable, Unsealed


class Raw:
    """Requests that nobody has parsed yet."""

    max_record_bytes = 500
    is_full = False

    def __init__(self, requests):
        self.requests = requests
        self.first, self.next, self.size = requests[0].offset, requests[-1].offset + 1, len(requests)
        self.pieces = [memoryview(b"as fetched")]

    def parsed(self):
        return self.requests

    def some(self, requests):
        return [request for request in self.requests if request.offset in {one.offset for one in requests}]

    def times(self):
        return [(1, len(self.requests))]


class RawSource(FakeSource):
    """A source whose requests can all be taken unparsed."""

    def take_raw(self, limit, until):
        requests = self.take(limit, until)
        return Raw(requests) if requests else None


class SealingHost(FakeHost):
    """Seals what it gets, but for the offsets that it declines, each in a round of its own."""

    can_seal = True

    def __init__(self, number, *, declines=(), ends_with=None):
        super().__init__(number)
        self.declines = list(declines)
        self.ends_with = ends_with
        self.sealed = []

    async def seal(self, seal, given):
        declined = [offsets for offsets in self.declines if not set(offsets) <= set(given)]
        if declined:
            return Declined([DeclinedRequest(offset, 0, 1) for offset in declined[0] if offset not in given])
        if self.ends_with:
            return self.ends_with
        self.sealed.append((seal, given))
        count = seal.size - sum(record is None for record in given.values())
        return [RecordBatch(memoryview(b"sealed"), count)] if count else []


def router_of(host, limit=10):
    router = FakeRouter(lambda *_: 1, max_batch_records=limit)
    router.hosts[1] = host
    return router


def requests(*values):
    return [FakeRequest(offset, value, b"k%d" % offset) for offset, value in enumerate(values)]


async def test_a_host_that_seals_gets_record_batches_and_no_request_is_parsed():
    source, host = RawSource(requests(b"a", b"b")), SealingHost(1)
    await drain(source, router_of(host))
    ((seal, given),) = host.sealed
    assert (seal.pieces, seal.first, seal.next, seal.stamp, given) == ([b"as fetched"], 0, 2, source.stamp, {})
    envelope = seal.envelope
    assert envelope.place == b"d.requests-3-"
    assert dict([*envelope.generation, *envelope.operation]) == {
        "generation": b"1",
        "model-digest": b"a" * 64,
        "operation": b"score",
    }
    assert (envelope.max_answer_bytes, envelope.max_request_bytes, envelope.max_record_bytes) == (1_000, 1_000, 500)
    assert {"operation", "content-type", "not-after", "source", "code"} <= set(envelope.read_headers)
    assert host.calls == []
    assert source.transactions[0].predictions == [RecordBatch(b"sealed", 2)]


async def test_what_is_counted_are_requests_not_offsets():
    answered = metrics.REQUESTS.labels("d", "answered")._value
    source, host = RawSource(requests(b"a", b"b")), SealingHost(1)
    source.requests[1] = FakeRequest(7, b"b", b"k7")
    before = answered.get()
    await drain(source, router_of(host))
    assert [(seal.first, seal.next, seal.size) for seal, _ in host.sealed] == [(0, 8, 2)]
    assert answered.get() - before == 2


async def test_more_than_half_of_the_requests_is_most_of_them_however_many_offsets_they_span():
    source, host = RawSource(requests(b"a", b"b", b"c")), SealingHost(1, declines=[[0, 1]])
    source.requests[2] = FakeRequest(70, b"c", b"k70")
    await drain(source, router_of(host))
    assert [values for values, _ in host.calls] == [[b"a", b"b", b"c"]]


async def test_declined_requests_are_answered_alone_and_put_in_their_places():
    source = RawSource(requests(b"a", b"bad", b"c", b"d", b"e", b"f", b"g"))
    source.requests[4] = Unscorable(4, 1, b"k4", (), Refusal(Code.UNREADABLE, "odd"))
    host = SealingHost(1, declines=[[2, 4], [1]])
    await drain(source, router_of(host))
    ((_, given),) = host.sealed
    assert [values for values, _ in host.calls] == [[b"c"], [b"bad"]]
    assert list(given) == [1, 2, 4]
    assert given[1] is given[4] is None
    key, value, headers = given[2]
    assert (key, value, [name for name, _ in headers]) == (
        b"k2",
        b"1:c",
        ["generation", "model-digest", "operation", "source"],
    )
    (only,) = source.transactions
    assert [(key, dict(headers)["code"]) for key, _, headers in only.dead_letters] == [
        (b"k1", b"UNDECODABLE"),
        (b"k4", b"UNREADABLE"),
    ]
    assert only.predictions == [RecordBatch(b"sealed", 5)]


@pytest.mark.parametrize(
    "host",
    [
        SealingHost(1, declines=[[0, 1]]),
        SealingHost(1, declines=[[n] for n in range(9)]),
        SealingHost(1, ends_with=Unsealed.UNREADABLE),
        SealingHost(1, ends_with=Unsealed.FAILED),
    ],
    ids=["most are declined", "it declines more and more", "it cannot read them", "it dies"],
)
async def test_a_batch_that_is_not_sealed_is_parsed_and_answered_request_by_request(host):
    source = RawSource(requests(*[b"a"] * (3 if host.declines == [[0, 1]] else 20)))
    await drain(source, router_of(host, limit=20))
    (only,) = source.transactions
    assert [value for _, value, _ in only.predictions] == [b"1:a"] * len(source.requests)
    assert host.sealed == []


async def test_the_requests_of_a_batch_that_its_host_did_not_survive_are_scored_one_by_one(monkeypatch):
    suspects = []

    class Dying(SealingHost):
        async def score(self, values, asks=None, *, is_suspect=False):
            suspects.append(is_suspect)
            return await super().score(values, asks)

    for ends_with in Unsealed:
        await drain(RawSource(requests(b"a")), router_of(Dying(1, ends_with=ends_with)))
    assert suspects == [False, True]


async def test_where_each_record_must_be_measured_the_host_does_not_write_them():
    source, host = RawSource(requests(b"a")), SealingHost(1)
    await drain(source, router_of(host), limits=Limits(300, 300))
    assert host.sealed == []
    assert [value for _, value, _ in source.transactions[0].predictions] == [b"1:a"]


async def test_a_batch_of_which_all_is_refused_writes_no_prediction():
    source, host = RawSource(requests(b"bad", b"x")), SealingHost(1, declines=[[0], [1]])
    source.requests[1] = Unscorable(1, 1, None, (), Refusal(Code.UNREADABLE, "odd"))
    await drain(source, router_of(host))
    (only,) = source.transactions
    assert (only.predictions, len(only.dead_letters)) == ([], 2)
