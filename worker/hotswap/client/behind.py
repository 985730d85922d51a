"""What holds up a generation that is cut by offsets: requests before its cut that keep the model, or kill its host."""

from hotswap.client.change import Receipt
from hotswap.client.fleet import Fleet, WorkerView
from hotswap.swap import Outcome

_LONG_S = 10.0
_OFTEN = 3


class Behind:
    """Watches the workers on which a generation is ready, and whose partitions have not come to its cut."""

    def __init__(self, deployment: str, receipt: Receipt) -> None:
        self._deployment = deployment
        self._receipt = receipt
        self._restarts: dict[str, int] = {}  # worker -> restarts of its hosts when it was first seen
        self._is_told = False

    def look(self, fleet: Fleet, now: float) -> str:
        """Return what holds it up, and what would not wait for that: once, and empty until something does."""
        told = fleet.told.get(self._receipt.command_id, {})
        ready = {worker for worker, said in told.items() if said.outcome is Outcome.READY}
        found = {view.worker: self._holds_up(view) for view in fleet.workers.values() if view.is_live(now)}
        why = "; ".join(f"{worker} {line}" for worker, line in found.items() if line and worker in ready)
        if not why or self._is_told:
            return ""
        self._is_told = True
        return (
            f"{why}. `--at-once` would not wait for these requests, but give them to the new generation: "
            f"`hotswap rollback {self._deployment} --to {self._receipt.generation} --at-once`"
        )

    def _holds_up(self, view: WorkerView) -> str:
        restarts = view.host_restarts - self._restarts.setdefault(view.worker, view.host_restarts)
        cut = self._receipt.cut
        before = {part.partition: cut.get(part.partition, 0) - part.position for part in view.partitions}
        longest = max((part.model_s for part in view.partitions if before[part.partition] > 0), default=0.0)
        if longest >= _LONG_S:
            what = f"its model has had a batch for {longest:.0f} s"
        elif restarts >= _OFTEN and any(offsets > 0 for offsets in before.values()):
            what = f"its model host had to be started again {restarts} times meanwhile"
        else:
            return ""
        left = sum(offsets for offsets in before.values() if offsets > 0)
        return f"has {left} requests before the cut of generation {self._receipt.generation}, and {what}"
