"""The number of series is bounded, whatever clients and models send."""

import time

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from fakes.data_plane import FakeRequest, FakeRouter, FakeSource, drain, requests
from hotswap import metrics
from hotswap.batch import Code, Refusal


def series():
    return {line.rpartition(" ")[0] for line in generate_latest(metrics.REGISTRY).decode().splitlines()}


async def test_a_request_that_is_refused_adds_no_series_whatever_the_reason():
    await drain(FakeSource(requests(1)), FakeRouter(lambda *_: 1))
    before = series()

    async def refuse(values, asks=None, *, is_suspect=False):
        return [Refusal(code, "odd") for code in list(Code)[: len(values)]]

    router = FakeRouter(lambda *_: 1, max_batch_records=100)
    router.serving(1).host.score = refuse
    source = FakeSource(requests(len(Code)))
    await drain(source, router)
    assert len(source.transactions[0].dead_letters) == len(Code)
    assert series() == before


async def test_latency_counts_from_the_request_s_timestamp_and_a_clock_that_is_ahead_as_nothing():
    def latencies():
        (family,) = metrics.LATENCY_SECONDS.collect()
        return {(s.name.removeprefix("hotswap_latency_seconds_"), s.labels.get("le")): s.value for s in family.samples}

    now_ms = int(time.time() * 1000)
    batch = requests(1_000)
    for number, request in enumerate(batch):
        request.timestamp = now_ms + 3_600_000 if number < 500 else now_ms - 20_000
    batch += [FakeRequest(1_000, b"", timestamp=-1), FakeRequest(1_001, b"", timestamp=None)]  # they have none
    await drain(FakeSource(requests(1)), FakeRouter(lambda *_: 1))
    before = latencies()
    await drain(FakeSource(batch), FakeRouter(lambda *_: 1, max_batch_records=len(batch)))
    grown = {key: value - before[key] for key, value in latencies().items()}

    measured = {
        key: grown[key] for key in [("bucket", "0.0005"), ("bucket", "10.0"), ("bucket", "30.0"), ("count", None)]
    }
    assert list(measured.values()) == pytest.approx([500, 500, 1_000, 1_000], abs=3)
    assert 500 * 20 <= grown["sum", None] <= 500 * 25


def test_a_hundred_untrusted_values_have_a_series_each_and_the_others_share_one():
    registry = CollectorRegistry()
    counter = Counter("hits", "h", ["deployment", "column"], registry=registry)
    for number in range(1_000):
        metrics.bounded(counter, "d", f"column {number}").inc()
    metrics.bounded(counter, "d", "x" * 10_000).inc()
    metrics.bounded(counter, "d", "column 7").inc()
    counted = [sample for sample in next(iter(registry.collect())).samples if sample.name == "hits_total"]
    found = {sample.labels["column"]: sample.value for sample in counted}
    assert (len(found), found["column 7"], found["other"]) == (101, 2, 901)


def of_generations():
    families = (metrics.GENERATION_REQUESTS, metrics.GENERATION_LATENCY_SECONDS)
    samples = [one for family in families for made in family.collect() for one in made.samples]
    return {
        (one.labels["generation"], one.labels.get("outcome", "latency")): one.value
        for one in samples
        if one.name.endswith(("_total", "_count")) and one.labels["deployment"] == "ours"
    }


def test_what_each_generation_has_answered_is_counted_until_it_is_retired():
    metrics.count_answers("ours", 1, (5, 2), [(0.01, 7)])
    metrics.count_answers("ours", 2, (3, 0), [(0.01, 3)])
    metrics.count_answers("theirs", 1, (1, 0), [(0.01, 1)])
    assert of_generations() == {
        ("1", "answered"): 5, ("1", "refused"): 2, ("1", "latency"): 7,
        ("2", "answered"): 3, ("2", "refused"): 0, ("2", "latency"): 3,
    }  # fmt: skip
    metrics.drop_generations("ours", [2, 3])
    assert of_generations().keys() == {("2", "answered"), ("2", "refused"), ("2", "latency")}
    metrics.drop_generations("ours", [])
    assert of_generations() == {}


async def test_a_transaction_is_counted_for_its_generation():
    metrics.drop_generations("d", [])
    asked = [FakeRequest(number, b"x", timestamp=int(time.time() * 1000)) for number in range(3)]
    await drain(FakeSource(asked), FakeRouter(lambda *_: 6))
    assert metrics.GENERATION_REQUESTS.labels("d", "6", "answered")._value.get() == 3
    assert sum(metrics.GENERATION_LATENCY_SECONDS.counts(("d", "6"))) == 3
