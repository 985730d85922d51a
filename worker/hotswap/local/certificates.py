"""Certificates and keys for TLS, of a server or a client, reloaded when their files change."""

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from hotswap.errors import UsageError

log = logging.getLogger(__name__)


class ReloadingContext(ssl.SSLContext):
    """A TLS context that reloads its files, for new connections, when they have changed on disk.

    Files that do not fit (one is half written, or the key is another certificate's) are logged once, as
    `<side>.certificate_kept`, and the last good ones stay in use; a reload is logged as `<side>.certificate_renewed`.

    Raises:
        UsageError: as `load`, for the first files.

    """

    def __new__(cls, *_: Any) -> Self:
        """Make the outer context; connections are made by the one that was loaded last."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, load: Callable[[], ssl.SSLContext], files: Sequence[Path], side: str) -> None:
        self._load = load
        self._files = files
        self._side = side
        self._stamps = self._read_stamps()
        self._current = load()

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection, as asyncio does, with the current content of the files."""
        self._reload()
        return self._current.wrap_bio(*arguments, **options)

    def _reload(self) -> None:
        if (stamps := self._read_stamps()) == self._stamps:
            return
        self._stamps = stamps
        try:
            self._current = self._load()  # a new one: a context is left without a key when a load has failed
        except UsageError as error:
            log.error(f"{self._side}.certificate_kept", extra={"why": str(error)})  # noqa: TRY400, G004 - it says it all
        else:
            files = [str(path) for path in self._files]
            log.info(f"{self._side}.certificate_renewed", extra={"files": files})  # noqa: G004 - two events

    def _read_stamps(self) -> list[tuple[int, ...]]:
        return [_stamp(path) for path in self._files]


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path | None, password: str) -> None:
    """Load a certificate with its chain and its key into a context; without `key`, from the certificate's file.

    Raises:
        UsageError: they cannot be read, or do not belong together; the message names the files.

    """
    try:
        # Always with a password: without one, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: password)
    except (OSError, ValueError) as error:
        names = ", ".join(str(path) for path in (certificate, key) if path)
        raise UsageError(f"{names}: no certificate and its key: {reason_of(error)}") from None


def read_secret(file: Path) -> str:
    """Return the content of a file without its line end. Raises UsageError: it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Return the reason of an error of a file or of OpenSSL, without the file's name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_ino, status.st_size
