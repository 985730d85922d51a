"""An object of S3 as a stream that goes on where it broke off."""

import logging
import time
from typing import Any, Final

from fsspec.asyn import sync

log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0
_PATIENCE_S: Final = 300.0
"""How long nothing may arrive of what has begun to; a swap's own deadline mostly ends it before that."""


class Object:
    """Reads an object with one request, whose answer is taken from the connection as it is asked for.

    Once its first bytes have come, the address and the credentials are right. So if the rest fails to come, because its
    server is restarted or the connection is lost, it is asked for again. What has been there and is no longer, or may
    no longer be read, ends it. Whether the parts are of one object is decided by the digest.
    """

    def __init__(self, system: Any, path: str) -> None:
        self._system = system
        bucket, key, _ = system.split_path(path)
        self._place = {"Bucket": bucket, "Key": key}
        self._answer: Any = None
        self._at, self._size = 0, -1

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at its end. Raises what s3fs does."""
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._read(size)
            except (FileNotFoundError, PermissionError):
                raise
            except Exception as error:
                self._abandon()
                if not self._at or time.monotonic() > give_up:
                    raise
                log.warning("fetch.resumed", extra={"bytes": self._at, "why": type(error).__name__})
                time.sleep(_PAUSE_S)

    def _abandon(self) -> None:
        if self._answer is not None:
            self._system.loop.call_soon_threadsafe(self._answer.close)
            self._answer = None

    def _read(self, size: int) -> bytes:
        if self._at == self._size:
            return b""
        if self._answer is None:
            rest = {"Range": f"bytes={self._at}-"} if self._at else {}
            found = self._system.call_s3("get_object", **self._place, **rest)
            self._answer, self._size = found["Body"], self._at + found["ContentLength"]
        chunk: bytes = sync(self._system.loop, self._answer.read, size)
        self._at += len(chunk)
        return chunk
