"""Tiny wheels, and an index of packages that serves them as a test says: whole, damaged, to a user only, or never."""

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def wheel(
    name: str, files: Mapping[str, bytes] | None = None, *, version: str = "1.0", tag: str = "py3-none-any"
) -> bytes:
    """Return a wheel, the same bytes each time; by default a module that has its version."""
    info = f"{name}-{version}.dist-info"
    content = dict(files or {f"{name}.py": f"VERSION = {version!r}\n".encode()})
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    content[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    content[f"{info}/RECORD"] = b""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, _ZIP_EPOCH), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def locked(name: str, content: bytes, *, version: str = "1.0") -> str:
    """Return the line of a lock for a package whose file has this content."""
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"


class Index(ThreadingHTTPServer):
    """Serves the files in `files`, by the names of their packages; remembers which paths it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.hanging: set[str] = set()
        """Packages whose pages never come."""
        self.is_open = threading.Event()
        """Whether it answers at all; until then everybody waits."""
        self.is_open.set()
        self.user = ""
        """`user:password` that it asks for; empty: anybody."""
        self.asked: list[str] = []
        self.was_asked = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple/"

    def url_for(self, user: str) -> str:
        return f"http://{user}@127.0.0.1:{self.server_port}/simple/"

    def add(self, name: str, content: bytes, file: str = "") -> str:
        """Serve a package of version 1.0 in a file, by default a wheel for all; return the line that locks it."""
        self.files[file or f"{name}-1.0-py3-none-any.whl"] = content
        return locked(name, content)

    def downloads(self) -> list[str]:
        """Return the names of the files that were asked for."""
        return [path.rpartition("/")[2] for path in self.asked if path.startswith("/files/")]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed closes its connection."""


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.was_asked.set()
        self.server.is_open.wait(60)
        kind, _, name = self.path.strip("/").partition("/")
        expected = "Basic " + base64.b64encode(self.server.user.encode()).decode()
        if self.server.user and self.headers.get("Authorization") != expected:
            self._answer(401, b"", {"WWW-Authenticate": "Basic"})
        elif kind == "files":
            self._answer(200, self.server.files[name])
        elif name in self.server.hanging:
            self.rfile.read()  # until the client is gone
        else:
            self._page(name)

    do_HEAD = do_GET  # noqa: N815 - named by the library

    def _page(self, name: str) -> None:
        links = [
            f'<a href="../../files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>'
            for file, content in self.server.files.items()
            if file.partition("-")[0].replace("_", "-") == name
        ]
        self._answer(200 if links else 404, "".join(links).encode(), {"Content-Type": "text/html"})

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Index]:
    """Yield an index on this machine."""
    with Index() as index:
        thread = threading.Thread(target=index.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield index
        finally:
            index.shutdown()
            thread.join()


def vendor(folder: Path, name: str, content: bytes, file: str = "") -> str:
    """Put a wheel into a model's folder, as `hotswap pack --vendor` does; return the line that locks it."""
    (folder / "wheels").mkdir(exist_ok=True)
    (folder / "wheels" / (file or f"{name}-1.0-py3-none-any.whl")).write_bytes(content)
    return locked(name, content)
