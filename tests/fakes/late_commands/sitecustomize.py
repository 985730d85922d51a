"""With this folder on its PYTHONPATH, the second of the demo's workers reads each command half a second late."""

import asyncio
import os

from hotswap.kafka.topics.log import LogReader, LogRecord

if os.environ.get("HOTSWAP_WORKER_ID", "").endswith("2"):
    _read = LogReader.read

    async def _read_late(self: LogReader, timeout_s: float) -> list[LogRecord]:
        records = await _read(self, timeout_s)
        if records and self._topic.endswith("control"):
            await asyncio.sleep(0.5)
        return records

    LogReader.read = _read_late  # type: ignore[method-assign]
