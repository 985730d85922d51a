"""All Prometheus metrics of a worker, named as https://prometheus.io/docs/practices/naming/ asks."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import inf

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)


class CountedHistogram(Collector):
    """A histogram that takes many observations at once, as prometheus_client's does not."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation, self._labelnames = name, documentation, labelnames
        self._bounds = tuple(buckets)
        self._children: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], observations: Iterable[tuple[float, int]]) -> None:
        """Add values, each with how often it was observed."""
        buckets, total = self._children.setdefault(labels, ([0] * (len(self._bounds) + 1), [0.0]))
        for value, count in observations:
            buckets[bisect_left(self._bounds, value)] += count
            total[0] += value * count

    def remove(self, *labels: str) -> None:
        """Drop a series."""
        self._children.pop(labels, None)

    def counts(self, labels: tuple[str, ...]) -> list[int]:
        """Return how many observations each bucket has so far."""
        return [*self._children.get(labels, ([0] * (len(self._bounds) + 1), []))[0]]

    def quantile(self, share: float, counts: Sequence[int]) -> float:
        """Return the upper bound of the bucket that holds the quantile of these counts; 0 if they are all 0."""
        passed, total = 0, sum(counts)
        for bound, count in zip((*self._bounds, inf), counts, strict=True):
            passed += count
            if total and passed >= share * total:
                return bound
        return 0.0

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Return the family without its series, as registries ask for."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=list(self._labelnames))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Return the family with its series."""
        (family,) = self.describe()
        for labels, (buckets, total) in list(self._children.items()):
            bounds = [*map(str, self._bounds), "+Inf"]
            cumulated = [sum(buckets[: n + 1]) for n in range(len(buckets))]
            family.add_metric(labels, list(zip(bounds, cumulated, strict=True)), total[0])
        yield family


_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

BUILD = Gauge(
    "hotswap_build_info",
    "Constant 1, labelled with the versions of the worker and of its Python.",
    ["version", "python"],
    registry=REGISTRY,
)
TRUST = Gauge(
    "hotswap_trust_info",
    "Constant 1, labelled with the SHA-256 of the worker's trust file; an empty one: it has none.",
    ["deployment", "sha256"],
    registry=REGISTRY,
)
REQUESTS = Counter(
    "hotswap_requests_total",
    "Requests answered, by outcome: `answered`, or the code of the refusal.",
    ["deployment", "outcome"],
    registry=REGISTRY,
)
DELETED = Counter(
    "hotswap_requests_deleted_total",
    "Requests that were deleted, by retention, an operator or compaction, before they were read: they have no answer.",
    ["deployment"],
    registry=REGISTRY,
)
FOREIGN_ANSWERS = Counter(
    "hotswap_foreign_answers_total",
    "Records at the end of an output topic that claim to answer this deployment's requests and that no worker wrote. "
    "They are passed over when a partition is opened; readers of the topic may take them for answers.",
    ["deployment"],
    registry=REGISTRY,
)
UNREADABLE = Counter(
    "hotswap_unreadable_records_total",
    "Records of the control or status topic that were skipped because they cannot be read.",
    ["topic"],
    registry=REGISTRY,
)
LATENCY_SECONDS = CountedHistogram(
    "hotswap_latency_seconds",
    "End-to-end latency: from each request's timestamp to the commit of its answer. A timestamp that is ahead of this "
    "worker's clock counts as 0. Of a batch of n times 500 requests, each n-th is measured and counts n times; of a "
    "record batch that the host reads itself, the first and the latest, each for half of its requests.",
    ["deployment"],
    buckets=(*_SECONDS, 30.0, 60.0, 300.0, 1_800.0),
    registry=REGISTRY,
)
GENERATION_REQUESTS = Counter(
    "hotswap_generation_requests_total",
    "Requests that each generation has answered, by outcome: `answered` or `refused`. A generation's series end when "
    "it is retired.",
    ["deployment", "generation", "outcome"],
    registry=REGISTRY,
)
GENERATION_LATENCY_SECONDS = CountedHistogram(
    "hotswap_generation_latency_seconds",
    "hotswap_latency_seconds of the requests that each generation has answered. A generation's series end when it is "
    "retired.",
    ["deployment", "generation"],
    buckets=(*_SECONDS, 30.0, 60.0, 300.0, 1_800.0),
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "hotswap_stage_seconds",
    "Time a batch spent in each stage: `queue` (its oldest request, from fetch to batch), `score`, `commit`.",
    ["deployment", "stage"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
BATCH_RECORDS = Histogram(
    "hotswap_batch_records",
    "Requests per batch.",
    ["deployment"],
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000),
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "hotswap_in_flight_requests",
    "Requests in batches that are being scored or committed.",
    ["deployment"],
    registry=REGISTRY,
)
LAG = Gauge(
    "hotswap_lag_requests",
    "Requests published but not yet answered, for each partition that this worker owns.",
    ["deployment", "partition"],
    registry=REGISTRY,
)
LAG_AGE = Gauge(
    "hotswap_lag_age_seconds",
    "Age of the oldest request that is published but not yet answered, by its timestamp, for each partition that this "
    "worker owns; 0: there is none.",
    ["deployment", "partition"],
    registry=REGISTRY,
)
KAFKA_SILENT = Gauge(
    "hotswap_kafka_silent_seconds",
    "Time since Kafka last answered this worker, which asks every 3 seconds. From 9 seconds on, `/readyz` says so.",
    ["deployment"],
    registry=REGISTRY,
)
BACKLOG = Gauge(
    "hotswap_backlog",
    "Offsets of the requests topic not yet answered, for each partition, whoever owns it: every worker exports all of "
    "them, so read them with max by (deployment, partition).",
    ["deployment", "partition"],
    registry=REGISTRY,
)
TOPIC_FAULTS = Gauge(
    "hotswap_topic_faults",
    "Number of faults of the deployment's topics that this worker sees: one is gone, has too few partitions, or takes "
    "too small messages only. `hotswap status` and `/readyz` say which.",
    ["deployment"],
    registry=REGISTRY,
)
RIGHTS_MISSING = Gauge(
    "hotswap_rights_missing",
    "1 for each right that this worker needs and Kafka denies its user (`principal`): the operation (`right`) and the "
    "`resource`. Without Write on the status topic, only this, the log and `/readyz` can say so.",
    ["deployment", "right", "resource", "principal"],
    registry=REGISTRY,
)
HELD = Gauge(
    "hotswap_held_partitions",
    "Partitions that this worker owns but does not score, as they are paused or no generation that may score them is "
    "ready.",
    ["deployment"],
    registry=REGISTRY,
)
TOO_OLD = Gauge(
    "hotswap_worker_too_old",
    "1 if a command in the control log needs a later version than this worker, which answers nothing until it is "
    "upgraded; else 0.",
    ["deployment"],
    registry=REGISTRY,
)
DAMAGED = Gauge(
    "hotswap_damaged_partitions",
    "Partitions that this worker owns but does not score, because their next record batch is damaged.",
    ["deployment"],
    registry=REGISTRY,
)
GENERATION = Gauge(
    "hotswap_generation_info",
    "Constant 1 for each generation whose model host is up, by state: `serving` if it scored a partition of this "
    "worker last, or would score them; `part` if it did and is for some partitions only, as a canary or in the place "
    "of an abandoned one; else `ready`. `model` is its name.",
    ["deployment", "generation", "model", "model_sha256", "state"],
    registry=REGISTRY,
)
PARTITIONS = Gauge(
    "hotswap_partitions",
    "Partitions that this worker owns, by the generation of their last committed batch; 0: none has scored them.",
    ["deployment", "generation"],
    registry=REGISTRY,
)
NEWEST_GENERATION = Gauge(
    "hotswap_newest_generation",
    "Number of the newest generation that was `accepted` from the control topic, is `loaded` on this worker, or has "
    "`scored` a partition of the deployment as far as this worker knows. 0: none.",
    ["deployment", "state"],
    registry=REGISTRY,
)
SWAPS = Counter(
    "hotswap_swaps_total",
    "Outcomes of commands on this worker, with the code of the refusal or failure.",
    ["deployment", "outcome", "code"],
    registry=REGISTRY,
)
SWAP_PHASE_SECONDS = Histogram(
    "hotswap_swap_phase_seconds",
    "Time spent in each phase of staging a generation: `fetch`, `environment`, `start`, `load`, `warm`.",
    ["deployment", "phase"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0),
    registry=REGISTRY,
)
CUT_OVER_SECONDS = Histogram(
    "hotswap_cut_over_pause_seconds",
    "Time on a partition from the last batch of one generation to the start of the first batch of the next; without a "
    "request to cut over with, none is counted.",
    ["deployment"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
HOST_RESTARTS = Counter(
    "hotswap_host_restarts_total",
    "Restarts of model hosts, by reason: `crashed` or `too_slow`.",
    ["deployment", "reason"],
    registry=REGISTRY,
)
UNKNOWN_CATEGORIES = Counter(
    "hotswap_unknown_categories_total",
    "Values scored as missing because the model does not know the category, by column.",
    ["deployment", "column"],
    registry=REGISTRY,
)
REBALANCES = Counter(
    "hotswap_rebalances_total",
    "Rebalances of this worker's partitions, by event: `assigned` or `revoked`.",
    ["deployment", "event"],
    registry=REGISTRY,
)
TRANSACTIONS = Counter(
    "hotswap_transactions_total",
    "Transactions, by outcome: `committed`, or `recycled` if in doubt, so that the partition was opened again.",
    ["deployment", "outcome"],
    registry=REGISTRY,
)
HTTP_REQUESTS = Counter(
    "hotswap_http_requests_total",
    "Calls of the gateway, by the path of the endpoint (`other`: none has it) and the status of the response.",
    ["endpoint", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "hotswap_http_request_seconds",
    "Time from a call of the gateway to the end of its response, by the path of the endpoint.",
    ["endpoint"],
    buckets=(*_SECONDS, 30.0, 60.0, 120.0),
    registry=REGISTRY,
)

_VALUES = 100
_LONGEST = 100
_values: dict[Counter, set[str]] = {}


def bounded(counter: Counter, *labels: str) -> Counter:
    """Return a counter's series whose last label is untrusted: its first hundred values, then `other` for the rest.

    Column names come from the model host, and Prometheus keeps a series for each value.
    """
    *ours, last = labels
    values = _values.setdefault(counter, set())
    value = last[:_LONGEST] if last[:_LONGEST] in values or len(values) < _VALUES else "other"
    values.add(value)
    return counter.labels(*ours, value)


_counted: set[tuple[str, int]] = set()


def count_answers(
    deployment: str, generation: int, outcomes: tuple[int, int], latencies: Iterable[tuple[float, int]]
) -> None:
    """Count a generation's committed answers and refusals, with their latencies."""
    _counted.add((deployment, generation))
    for outcome, count in zip(("answered", "refused"), outcomes, strict=True):
        GENERATION_REQUESTS.labels(deployment, str(generation), outcome).inc(count)
    GENERATION_LATENCY_SECONDS.observe((deployment, str(generation)), latencies)


def drop_generations(deployment: str, loaded: Collection[int]) -> None:
    """Drop the series of the generations that are not loaded any more: there is no end of numbers."""
    for counted, generation in [*_counted]:
        if counted == deployment and generation not in loaded:
            _counted.remove((counted, generation))
            for outcome in ("answered", "refused"):
                GENERATION_REQUESTS.remove(deployment, str(generation), outcome)
            GENERATION_LATENCY_SECONDS.remove(deployment, str(generation))
