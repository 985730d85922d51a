"""An object of S3 as a stream, which goes on where it broke off if its reader is patient."""

import errno
import logging
import time
from typing import Any, Final

from fsspec.asyn import sync

log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0
_BUSY: Final = frozenset({errno.EBUSY, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EIO)})
"""What s3fs makes of the codes with which a server asks to come again (SlowDown, RequestTimeout, InternalError)."""


class Object:
    """Reads an object with one request, whose answer is taken from the connection as it is asked for.

    While its server cannot be reached, or the connection is lost, a patient reader asks again, for the rest, until
    somebody ends it, as a worker does at its swap's deadline. Whether the parts are of one object is decided by the
    digest.
    """

    def __init__(self, system: Any, path: str, *, is_patient: bool = False) -> None:
        self._system = system
        self._is_patient = is_patient
        bucket, key, _ = system.split_path(path)
        self._place = {"Bucket": bucket, "Key": key}
        self._answer: Any = None
        self._at, self._size = 0, -1

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at its end. Raises s3fs's errors."""
        while True:
            try:
                return self._read(size)
            except Exception as error:
                self.close()
                if not self._is_patient or not _may_pass(error):
                    raise
                log.warning("fetch.waiting", extra={"bytes": self._at, "why": type(error).__name__})
                time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Drop the unread rest of the response, which would keep arriving."""
        if self._answer is not None:
            self._system.loop.call_soon_threadsafe(self._answer.close)
            self._answer = None

    def _read(self, size: int) -> bytes:
        if self._at == self._size:
            return b""
        if self._answer is None:
            rest = {"Range": f"bytes={self._at}-"} if self._at else {}
            response = self._system.call_s3("get_object", **self._place, **rest)
            self._answer, self._size = response["Body"], self._at + response["ContentLength"]
        chunk: bytes = sync(self._system.loop, self._answer.read, size)
        self._at += len(chunk)
        return chunk


def _may_pass(error: Exception) -> bool:
    """Whether an error is one of the network or of a server that is not well: not a wrong address, key or authority."""
    from aiohttp import ClientError  # noqa: PLC0415 - these come with s3fs
    from botocore import exceptions  # noqa: PLC0415

    if isinstance(error, exceptions.SSLError):
        return False
    network = (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError, ClientError)
    return isinstance(error, (*network, TimeoutError, ConnectionError)) or getattr(error, "errno", None) in _BUSY
