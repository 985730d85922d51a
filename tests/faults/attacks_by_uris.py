"""Where a command may point: at files and servers outside of the allowed stores, which nobody opens or tells of."""

import ctypes
import os
import socket
import threading
import zipfile
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults.storm_commands import MODELS, sha256

_IN_ACCESS, _IN_OPEN = 0x01, 0x20
_SECRET = "sesame-4711"
_WRONG = "a" * 64


def _uris(stage, folder, port):
    """Return URIs of the canaries: the model of a folder, and what a server on this port may be asked for."""
    up, store, good = os.path.relpath(folder, stage.folder), stage.folder.as_uri(), f"{folder}/model.zip"
    there, allowed = f"127.0.0.1:{port}", stage.http_store.removeprefix("http://")
    return (
        f"file://{good}", f"FILE://{good}", f"local://{good}", f"file:{good}", good, f"file://localhost{good}",
        f"{store}/{up}/model.zip", f"{store}/{up.replace('..', '%2e%2e')}/model.zip",
        f"{store}/{up.replace('/', '%2f')}%2Fmodel.zip", f"{store}/{up.replace('..', '%252e%252e')}/model.zip",
        f"{store}/{up.replace('/', '%5c')}%5cmodel.zip", f"{store}/./{up}/model.zip", f"{store}-outside/model.zip",
        f"{store}/link.zip", f"{store}/folder/model.zip", f"{store}/file.zip?/../../{up}/model.zip",
        f"simplecache::file://{good}", f"filecache::file://{good}", f"blockcache::file://{good}",
        f"zip://model.zip::file://{folder}/outer.zip", f"zip://model.zip::{store}/outer.zip",
        f"{store}/file.zip::file://{good}", f"dir::file://{folder}", f"reference://model.zip::file://{folder}/refs.json",
        "~/model.zip", "file:~/model.zip", "file:///proc/self/environ", "data:application/zip;base64,UEsFBgAA",
        "memory://model.zip",
        f"http://{there}/store/model.zip", f"HTTP://{there}/store/model.zip", f"https://{there}/store/model.zip",
        f"http://me:{_SECRET}@{there}/model.zip?sig={_SECRET}", f"http://{allowed}@{there}/model.zip",
        f"http://{allowed}/../model.zip", f"http://{allowed}/%2e%2e/model.zip", f"http://{there}\\@{allowed}/model.zip",
        f"http://{there}#@{allowed}/model.zip", f"http://{allowed}.localhost:{port}/model.zip",
        f"http:{there}/model.zip",        f"http://[::ffff:127.0.0.1]:{port}/model.zip", f"http://2130706433:{port}/model.zip",
        f"{stage.http_store}/away.zip", f"{stage.http_store}/up.zip",
        f"ftp://{there}/model.zip", f"ftp://me:{_SECRET}@{there}/model.zip", f"webhdfs://{there}/model.zip",
        f"sftp://{there}/model.zip", f"smb://{there}/share/model.zip", f"simplecache::http://{there}/model.zip",
        f"simplecache::ftp://me:{_SECRET}@{there}/model.zip", f"zip://model.zip::http://{there}/outer.zip",
    )  # fmt: skip


async def uris(stage):
    """URIs outside of the allowed stores."""
    outside = stage.folder.with_name(f"{stage.folder.name}-outside")
    outside.mkdir()
    (model := outside / "model.zip").write_bytes(MODELS["iris_glm"].read_bytes())
    with zipfile.ZipFile(model, "a") as archive:
        archive.comment = b"in no worker's cache"
    (outside / "secret.zip").write_text(_SECRET)
    (stage.folder / "link.zip").symlink_to(outside / "model.zip")
    (stage.folder / "folder").symlink_to(outside, target_is_directory=True)
    right, secret = sha256(model), sha256(outside / "secret.zip")
    with ExitStack() as exits:
        server = exits.enter_context(_canary())
        exits.enter_context(_redirecting(stage.http_port, server.port))
        opened = exits.enter_context(_opened(outside))
        made = _uris(stage, outside, server.port)
        told = set()
        for uri in made:
            # With the right digest, it would serve; with a wrong one, the error could tell the right one.
            told |= await _verdicts(stage, uri, right)
            told |= await _verdicts(stage, uri.replace("model.zip", "secret.zip"), _WRONG)
        is_good = await stage.is_good()
        is_touched = bool(opened())
        said = "".join(map(stage.deployment.log, ("w1", "w2")))
    is_told = _SECRET in said or secret in said
    seen = (
        f"{len(made)} URIs: {', '.join(sorted(told))}, {server.connections} connections, files "
        f"{'opened' if is_touched else 'untouched'}, {'secrets told' if is_told else 'nothing told'}, next swap "
        f"{'READY' if is_good else 'not READY'}"
    )
    is_held = told == {"FAILED URI_DENIED"} and not (server.connections or is_touched or is_told)
    return seen, is_held and is_good


async def _verdicts(stage, uri, digest):
    command = stage.swap()
    command.swap.model.uri, command.swap.model.sha256, command.swap.deadline_ms = uri, digest, 5_000
    await stage.send(command)
    told = await stage.verdicts(command)
    return set(told.values()) or {"no verdict"}


@contextmanager
def _opened(folder):
    """Watch a folder; yield a function that returns the kernel's records of what was opened in it since."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(folder), _IN_OPEN | _IN_ACCESS) >= 0, os.strerror(
        ctypes.get_errno()
    )

    def records():
        try:
            return os.read(watch, 1 << 16)
        except BlockingIOError:
            return b""

    (folder / "model.zip").read_bytes()
    assert records(), "the watch sees nothing"
    yield records
    os.close(watch)


class _Canary:
    """A server that counts who connects."""

    def __init__(self, listening):
        self.port = listening.getsockname()[1]
        self.connections = 0
        self._listening = listening

    def count(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


@contextmanager
def _canary():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = _Canary(listening)
        thread = threading.Thread(target=made.count)
        thread.start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def _redirecting(port, elsewhere):
    """Run an allowed store that sends its readers away: to another server, and out of the store."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            to = {"away.zip": f"http://127.0.0.1:{elsewhere}/store/model.zip", "up.zip": "/model.zip"}.get(name)
            self.send_response(302 if to else 404)
            self.send_header("Location", to or "")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - named by the library

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
