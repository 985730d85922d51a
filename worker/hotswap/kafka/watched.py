"""What a worker may do: looked at before it starts and now and then, and told where no right is needed for that."""

import logging

from hotswap import metrics
from hotswap.errors import Doubt, StartError
from hotswap.kafka.acls import lacking
from hotswap.kafka.admin import Admin
from hotswap.kafka.credentials import principal
from hotswap.settings import Settings

log = logging.getLogger(__name__)


class Rights:
    """The rights that this worker lacks: in the log once, as a metric, and as `line` for the probe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.line = ""
        """What was missing at the last look, in one line; empty: nothing."""

    async def check(self, admin: Admin) -> None:
        """Look before the start. Raises StartError: something is missing; Doubt: Kafka does not tell in time."""
        if line := lacking(self._settings, await admin.missing_rights()):
            raise StartError(line)

    async def look(self, admin: Admin) -> None:
        """Look again; where Kafka does not tell, what was seen before stays."""
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
