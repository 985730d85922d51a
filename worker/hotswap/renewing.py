"""Takes a trust file that has changed, in a worker or a gateway that runs."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from hotswap import metrics
from hotswap.errors import Doubt, StartError, UsageError
from hotswap.kafka.topics.log import LogReader, LogRecord
from hotswap.settings import Settings
from hotswap.trust.file import Trust
from hotswap.trust.fold import Fold
from hotswap.trust.guard import Guard
from hotswap.trust.renewal import Renewal

log = logging.getLogger(__name__)

_LOOK_S = 5.0


class Renewing:
    """Takes the trust file when it has changed, or says why not (`Guard.kept`); `trust/renewal.py` decides.

    `fold` returns the fold that is in use. `event` is logged where the log has to be folded anew.
    """

    def __init__(self, settings: Settings, fold: Callable[[], Fold], event: str) -> None:
        self._settings = settings
        self._fold = fold
        self._event = event
        self._is_asked = asyncio.Event()
        self._left = ""
        """SHA-256 of a file that was not taken."""
        self._kept = ""
        """Why not."""

    def look(self) -> None:
        """Look at once."""
        self._is_asked.set()

    async def run(self) -> None:
        """Look every few seconds, until the log has to be folded anew under another file (`Guard.pending`)."""
        while self._settings.trust is None or not await self._is_over(self._settings.trust):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._is_asked.wait()
            self._is_asked.clear()

    async def _is_over(self, path: Path) -> bool:
        """Look at the file, and take it if it may be; return whether the log has to be folded anew."""
        fold = self._fold()
        guard = fold.guard
        try:
            trust = await asyncio.to_thread(Trust.read, path)
            if trust.sha256 == guard.trust_sha256:  # it is as it was, or has been put right
                self._left = self._kept = ""
            if trust.sha256 in (guard.trust_sha256, self._left):
                guard.kept = self._kept
                return False
            renewal = await self._compare(fold, trust)
        except UsageError as error:
            self._keep(guard, str(error), "")
            return False
        except (Doubt, StartError) as error:  # Kafka is away: the file is looked at again
            log.warning("trust.not_compared", extra={"why": str(error)})
            return False
        facts = {"sha256": trust.sha256, "before": guard.trust_sha256}
        if renewal.lost:
            why = f"under the trust file {path} as it is now, {renewal.lost}: put back what it had"
            self._keep(guard, why, trust.sha256)
            return False
        # From the comparison to here nothing is awaited, so no record is folded under the file before.
        self._left = self._kept = guard.kept = ""
        metrics.TRUST.clear()
        if renewal.other:
            guard.pending = trust
            log.warning(self._event, extra={**facts, "why": f"only one of its trust files accepts {renewal.other}"})
            return True
        guard.renew(trust)
        log.info("trust.renewed", extra=facts)
        return False

    def _keep(self, guard: Guard, why: str, sha256: str) -> None:
        kept = f"{why} (the one from before stays in use, {guard.trust_sha256[:12]})"
        if kept != self._kept:
            log.warning("trust.reload_rejected", extra={"why": kept})
        self._left, self._kept = sha256, kept
        guard.kept = kept

    async def _compare(self, fold: Fold, trust: Trust) -> Renewal:
        """Compare the file with the one in use, by every record that was folded."""
        renewal = Renewal(fold.guard, trust)
        reader = LogReader(self._settings, fold.guard.topic, read_committed=True)
        try:
            await reader.start()
            while renewal.next_offset < fold.next_offset:
                async for records in reader.to_end():
                    await asyncio.to_thread(_receive, renewal, records)  # a signature takes 0.3 ms
        finally:
            await reader.stop()
        return renewal


def _receive(renewal: Renewal, records: list[LogRecord]) -> None:
    for record in records:
        renewal.receive(record)
