"""A server that answers GET and HEAD of each path as a test says, for stores over HTTP and over S3."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

Answer: TypeAlias = tuple[int, Mapping[str, str], Iterable[bytes]]
"""Status, headers, content."""


class Server(ThreadingHTTPServer):
    """Answers each path as its `answers` say, perhaps by the range; remembers what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer | Callable[[str | None], Answer]] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has seen enough closes its connection."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        answer = self.server.answers.get(self.path.partition("?")[0], (404, {}, []))
        status, headers, content = answer(self.headers.get("Range")) if callable(answer) else answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for chunk in content if self.command == "GET" else ():
            self.wfile.write(chunk)
            self.server.sent += len(chunk)

    do_HEAD = do_GET  # noqa: N815 - named by the library

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(path: str, content: bytes) -> Iterator[Server]:
    """Yield a server that has a file at `path`, and nothing else."""
    with running() as server:
        server.answers[path] = 200, {"Content-Length": str(len(content))}, [content]
        yield server


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(64 << 10)
