"""The metrics of one partition's loop: requests in hand, answers, and the duration of each step."""

from collections import Counter
from collections.abc import Sequence
from time import time

from hotswap import metrics
from hotswap.batch import BatchAnswers, Code
from hotswap.pipeline.answering import Batch


class Tally:
    """Counts the batches of one loop; durations are seconds."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._in_hand = 0  # requests that are taken and not committed
        self._score_seconds = metrics.STAGE_SECONDS.labels(deployment, "score")
        self._commit_seconds = metrics.STAGE_SECONDS.labels(deployment, "commit")
        self._in_flight = metrics.IN_FLIGHT.labels(deployment)
        self._batch_records = metrics.BATCH_RECORDS.labels(deployment)
        for outcome in ("answered", *Code):
            metrics.REQUESTS.labels(deployment, outcome)  # create every series up front

    def cut_over(self, gap: float) -> None:
        """Count a cut-over, `gap` after the last batch of the generation before."""
        metrics.CUT_OVER_SECONDS.labels(self._deployment).observe(gap)

    def taken(self, batch: Batch) -> None:
        """Count a batch as in hand."""
        self._in_flight.inc(batch.size)
        self._in_hand += batch.size

    def scored(self, seconds: float) -> None:
        """Count a batch that the host has answered."""
        self._score_seconds.observe(seconds)

    def let_go(self) -> None:
        """Count nothing as in hand any more: it is committed, or given up."""
        self._in_flight.dec(self._in_hand)
        self._in_hand = 0

    def committed(self, generation: int, done: Sequence[tuple[Batch, BatchAnswers]], seconds: float) -> None:
        """Count a transaction, its batches and their answers."""
        self._commit_seconds.observe(seconds)
        now_ms = time() * 1000
        latencies = [
            (max(now_ms - at_ms, 0.0) / 1000, count) for batch, _ in done for at_ms, count in batch.times() if at_ms > 0
        ]
        metrics.LATENCY_SECONDS.observe((self._deployment,), latencies)
        metrics.TRANSACTIONS.labels(self._deployment, "committed").inc()
        refused: Counter[str] = Counter()
        for batch, answers in done:
            self._batch_records.observe(batch.size)
            refused.update(dict(headers)["code"].decode() for _, _, headers in answers.dead_letters)
        answered = sum(batch.size for batch, _ in done) - refused.total()
        metrics.REQUESTS.labels(self._deployment, "answered").inc(answered)
        for code, count in refused.items():
            metrics.REQUESTS.labels(self._deployment, code).inc(count)
        metrics.count_answers(self._deployment, generation, (answered, refused.total()), latencies)

    def recycled(self) -> None:
        """Count a transaction in doubt."""
        metrics.TRANSACTIONS.labels(self._deployment, "recycled").inc()
