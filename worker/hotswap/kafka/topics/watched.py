"""Periodic checks of Kafka: a worker's rights, the topics, the backlog, and Kafka's silence."""

import asyncio
import logging
from time import monotonic

from hotswap import metrics
from hotswap.errors import Denied, Doubt, StartError
from hotswap.kafka.client.acls import lacking
from hotswap.kafka.client.credentials import principal
from hotswap.kafka.topics.admin import Admin
from hotswap.settings import Settings

log = logging.getLogger(__name__)

AWAY_S = 9.0
"""Kafka counts as away once it has not answered for longer: three looks, as a worker counts as dead."""


class Rights:
    """The rights that this worker lacks: in the log once, as a metric, and as `line` for the probe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.line = ""
        """The rights missing at the last check, in one line; empty: none."""

    async def check(self, admin: Admin) -> None:
        """Check before the start. Raises StartError if a right is missing, Doubt if Kafka does not answer in time."""
        if line := lacking(self._settings, await admin.missing_rights()):
            raise StartError(line)

    async def look(self, admin: Admin) -> None:
        """Check again; if Kafka does not answer, the last result stays."""
        try:
            missing = await admin.missing_rights()
        except Doubt:
            return
        line, before = lacking(self._settings, missing), self.line
        self.line = line
        if line and line != before:
            log.error("worker.rights_missing", extra={"why": line})
        elif before and not line:
            log.info("worker.rights_granted")
        metrics.RIGHTS_MISSING.clear()
        for right in missing:
            labels = (self._settings.deployment, right.operation, right.resource, principal(self._settings))
            metrics.RIGHTS_MISSING.labels(*labels).set(1)


class KafkaMonitor:
    """The results of the last check, made whether or not this worker owns a partition and can score."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._heard: float | None = None
        self.rights = Rights(settings)
        self.topic_faults: list[str] = []
        """The faults of the deployment's topics."""

    @property
    def silent_s(self) -> float:
        """How long ago Kafka answered, seconds; 0 before the first look."""
        return monotonic() - self._heard if self._heard is not None else 0.0

    @property
    def away(self) -> str:
        """That Kafka does not answer, for a person; empty: it does."""
        silent = self.silent_s
        return f"Kafka at {self._settings.kafka} has not answered for {silent:.0f} s" if silent > AWAY_S else ""

    async def watch(self, admin: Admin, every_s: float) -> None:
        """Check periodically, until cancelled."""
        deployment = self._settings.deployment
        self._heard = monotonic()
        metrics.KAFKA_SILENT.labels(deployment).set_function(lambda: self.silent_s)
        while True:
            await self.rights.look(admin)
            try:
                await self._look(admin)
            except (Denied, StartError):  # StartError: the requests topic is gone
                self._heard = monotonic()
            except Doubt:
                pass
            await asyncio.sleep(every_s)

    async def _look(self, admin: Admin) -> None:
        deployment = self._settings.deployment
        self.topic_faults = await admin.topic_faults()
        self._heard = monotonic()
        metrics.TOPIC_FAULTS.labels(deployment).set(len(self.topic_faults))
        for lag in await admin.lags(self._settings.group_id, self._settings.topics.requests):
            metrics.BACKLOG.labels(deployment, str(lag.partition)).set(lag.requests)
