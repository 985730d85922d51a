"""Compilation of untrusted protos, each in a separate process, which may crash, hang or run out of memory alone.

The descriptors are cached by the source's digest, but loaded anew each time, since a pool is mutable.
"""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from google.protobuf import descriptor_pb2

from hotswap.client.protoc import OUT_OF_MEMORY
from hotswap.codec.bounds import check_bytes
from hotswap.codec.proto import Schema, load
from hotswap.errors import SwapCode, SwapError

P = ParamSpec("P")
T = TypeVar("T")

_CPU_SECONDS = 10
_MEMORY_BYTES = 1 << 30
_SECONDS = 30.0
"""A machine that is busy may give the process a third of a core."""
AT_ONCE: Final = 3
"""How many protos are compiled at a time."""
_KEPT_BYTES: Final = 16 << 20
_CODE: Final = Path(__file__).parents[2]
_INHERITED: Final = ("SYSTEMROOT",)  # without which Windows starts nothing
_turns = threading.BoundedSemaphore(AT_ONCE)


async def compile(source: bytes, is_descriptor_set: bool = False) -> Schema:  # noqa: A001, FBT001, FBT002 - as codec.proto's
    """Compile as `compile_now` does, in a thread: the event loop goes on."""
    return await in_thread(compile_now, source, is_descriptor_set)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that compiles in one of a few threads, so that protos do not exhaust the default pool."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), lambda: function(*args, **kwargs))


def compile_now(source: bytes, is_descriptor_set: bool = False) -> Schema:  # noqa: FBT001, FBT002 - as codec.proto's
    """Compile a .proto text, or load a serialized FileDescriptorSet with all imports, which may be hostile.

    Raises SwapError: PROTO_INVALID with protoc's own lines, or because it is too large, or costs protoc too much; or
    NO_OPERATION if no service has an rpc.
    """
    check_bytes(source)
    return load(descriptor_pb2.FileDescriptorSet.FromString(_described(source, "set" if is_descriptor_set else "text")))


def gather(path: Path) -> bytes:
    """Return the serialized FileDescriptorSet of a .proto file and all its imports, with paths relative to its folder.

    Raises SwapError PROTO_INVALID with the file and protoc's own lines.
    """
    return _taken(_run("file", str(path)))


class _Kept:
    """A cache of compiler outputs, by the digest of kind and source; evicts the least recently used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._printed: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> bytes | None:
        """Return the cached output; None if there is none."""
        with self._lock:
            if digest in self._printed:
                self._printed.move_to_end(digest)
            return self._printed.get(digest)

    def put(self, digest: bytes, printed: bytes) -> None:
        """Add an output."""
        with self._lock:
            self._bytes += len(printed) - len(self._printed.pop(digest, b""))
            self._printed[digest] = printed
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._printed.popitem(last=False)[1])


_kept = _Kept()


def _described(source: bytes, kind: str) -> bytes:
    digest = hashlib.sha256(kind.encode() + source).digest()
    printed = _kept.get(digest)
    if printed is None:
        printed = _run(kind, source=source)
        _kept.put(digest, printed)
    return _taken(printed)


def _taken(printed: bytes) -> bytes:
    """Return the descriptors that the process printed. Raises SwapError: it printed that."""
    if printed[:1] == b"+":
        return printed[1:]
    code, _, message = printed[1:].decode().partition("\n")
    raise SwapError(SwapCode(code), message)


def _run(*arguments: str, source: bytes = b"") -> bytes:
    command = [sys.executable, "-P", "-m", "hotswap.client.protoc", str(_CPU_SECONDS), str(_MEMORY_BYTES), *arguments]
    # The folder is ours, since a process that is killed leaves its files behind.
    with _turns, tempfile.TemporaryDirectory(prefix="hotswap-proto-") as folder:
        try:
            done = subprocess.run(
                command, input=source, env=_environment(folder), capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise _costs(f"took longer than {_SECONDS:g} s") from None
        except OSError as error:
            raise SwapError(SwapCode.PROTO_INVALID, f"the compiler cannot be started: {error}") from error
    if done.returncode == 0 and done.stdout:
        return done.stdout
    raise _ended(done)


def _environment(folder: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    files = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
    return inherited | files | {"PYTHONPATH": str(_CODE), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _ended(done: subprocess.CompletedProcess[bytes]) -> SwapError:
    if done.returncode == OUT_OF_MEMORY:
        return _costs(f"takes more than {_MEMORY_BYTES >> 20:,} MiB")
    if done.returncode < 0:
        name = _signal_name(-done.returncode)
        return _costs(f"takes more than {_CPU_SECONDS} s" if name == "SIGXCPU" else f"ends protoc itself ({name})")
    lines: list[Any] = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
    return SwapError(SwapCode.PROTO_INVALID, f"the compiler ended with {done.returncode}: {lines[-1]}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _costs(what: str) -> SwapError:
    return SwapError(SwapCode.PROTO_INVALID, f"compiling the proto {what}: make it smaller, or less deep")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, "proto")
