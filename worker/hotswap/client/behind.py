"""Detection of requests before a cut that delay it: those that keep the model busy, or kill its host."""

from hotswap.client.change import Receipt
from hotswap.client.fleet import Fleet, WorkerView
from hotswap.swap.command import Outcome

_LONG_S = 10.0
_OFTEN = 3


class Behind:
    """A watch over workers on which a generation is ready, but whose partitions have not reached its cut."""

    def __init__(self, deployment: str, receipt: Receipt) -> None:
        self._deployment = deployment
        self._receipt = receipt
        self._restarts: dict[str, int] = {}  # worker -> restarts of its hosts at its first report
        self._is_reported = False

    def look(self, fleet: Fleet, now: float) -> str:
        """Return the cause of a delay and a way around it, once; empty until there is one."""
        reports = fleet.told.get(self._receipt.command_id, {})
        ready = {worker for worker, report in reports.items() if report.outcome is Outcome.READY}
        delays = {view.worker: self._delay(view) for view in fleet.workers.values() if view.is_live(now)}
        why = "; ".join(f"{worker} {line}" for worker, line in delays.items() if line and worker in ready)
        if not why or self._is_reported:
            return ""
        self._is_reported = True
        return (
            f"{why}. `--at-once` would not wait for these requests, but have the new generation score them: "
            f"`hotswap rollback {self._deployment} --to {self._receipt.generation} --at-once`"
        )

    def _delay(self, view: WorkerView) -> str:
        restarts = view.host_restarts - self._restarts.setdefault(view.worker, view.host_restarts)
        cut = self._receipt.cut
        before = {part.partition: cut.get(part.partition, 0) - part.position for part in view.partitions}
        longest = max((part.model_s for part in view.partitions if before[part.partition] > 0), default=0.0)
        if longest >= _LONG_S:
            cause = f"its model has had a batch for {longest:.0f} s"
        elif restarts >= _OFTEN and any(offsets > 0 for offsets in before.values()):
            cause = f"its model host was restarted {restarts} times meanwhile"
        else:
            return ""
        left = sum(offsets for offsets in before.values() if offsets > 0)
        return f"has {left} requests before the cut of generation {self._receipt.generation}, and {cause}"
