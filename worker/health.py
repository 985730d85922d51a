"""/metrics for Prometheus, /livez and /readyz for whoever restarts and routes; answered by a thread of its own."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.errors import StartError
from worker.metrics import REGISTRY

STUCK_S = 15.0
"""/livez fails when the event loop has not turned for longer than this, seconds."""


class Health:
    """Serves the three paths; a thread, so that a stuck event loop is told from a slow one."""

    def __init__(self, host: str, port: int, *, readiness: Callable[[], str]) -> None:
        self._host = host
        self._port = port
        self._readiness = readiness
        self._beat = monotonic()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that was bound; 0 before `start`."""
        return int(self._server.server_address[1]) if self._server else 0

    def beat(self) -> None:
        """Says that the event loop turns; to be called every second or so."""
        self._beat = monotonic()

    def start(self) -> None:
        """Binds the port.

        Raises:
            StartError: the port is taken.

        """
        health = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, kind, body = health.answer(self.path)
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes come every few seconds; they are no news."""

        try:
            self._server = ThreadingHTTPServer((self._host, self._port), Answer)
        except OSError as error:
            raise StartError(
                f"cannot serve /metrics on {self._host}:{self._port} ({error.strerror}): set HOTSWAP_HTTP_PORT to a "
                "free port, or to 0 for any"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        if self._server and self._thread:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status code, content type and body for a path."""
        text = "text/plain; charset=utf-8"
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        if path == "/livez":
            silent = monotonic() - self._beat
            return (200, text, b"ok\n") if silent < STUCK_S else (503, text, b"stuck for %d s\n" % silent)
        if path == "/readyz":
            why = self._readiness()
            return (503, text, f"{why}\n".encode()) if why else (200, text, b"ok\n")
        return 404, text, b"there are /metrics, /livez and /readyz\n"
