"""The model host's end of the connection to a guest: what is asked there, and the checks of what comes back.

The guest runs somebody else's code: nothing it sends is trusted. Its answers are buffers whose lengths are known, texts
in UTF-8, and names that nothing depends on. A guest that sends anything else, or ends, ends this host as well, and the
worker finds the request to blame as in any host that died (host/parent.py).
"""

import contextlib
import itertools
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.local.lifeline import signal_name

GUEST_ENDED: Final = 71
"""Exit code of a host whose guest ended, or broke the protocol."""

_LENGTHS: Final = struct.Struct("<II")
_MAX_HEAD: Final = 1 << 20
_MAX_BODY: Final = 256 << 20
_MAX_MESSAGE: Final = 4_000
_ENDING_SECONDS: Final = 0.5
_DTYPES: Final = {"number": "<f8", "whole": "<i8", "flag": "u1", "numbers": "<f8", "wholes": "<i8"}
_BEYOND: Final = "a whole number beyond 64 bits"


class _BrokenProtocol(Exception):
    """End this host: the guest's frame is not one."""


class Guest:
    """A guest process and the connection to it; used by one thread."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._ticket = 0

    def load(self, folder: str, site: str, mlflow: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Have it load the model; return what it says of that. Raises SwapError MODEL_INVALID with its error.

        `mlflow`: how to load an MLflow folder (mlmodel.py).
        """
        self._send({"folder": folder, "site": site, "mlflow": mlflow}, [])
        head, _ = self._receive(_MAX_BODY)
        if "error" in head:
            raise SwapError(SwapCode.MODEL_INVALID, f"the model cannot be loaded: {_text(head['error'])}")
        return head

    def call(
        self, name: str, rows: int, columns: Sequence[tuple[str, str, Any]], answers: Sequence[tuple[str, str]]
    ) -> list[Any]:
        """Call a function with columns (name, type, values); return the values of each answer (name, type).

        Raises ModelError if the function raises, or does not return what it was asked for.
        """
        head, body = self._ask(name, rows, columns, answers)
        try:
            parts = _Parts(head.get("sizes"), body)
            values = [parts.take(kind, rows) for _, kind in answers]
            parts.end()
        except (_BrokenProtocol, ValueError) as error:
            self._end(f"its answer is malformed: {error}")
        return values

    def try_on(self, name: str, rows: int, columns: Sequence[tuple[str, str, Any]]) -> object:
        """Call a function with columns; return what it says of its answers, unchecked. Raises ModelError."""
        return self._ask(name, rows, columns, [])[0].get("answers")

    def _ask(
        self, name: str, rows: int, columns: Sequence[tuple[str, str, Any]], answers: Sequence[tuple[str, str]]
    ) -> tuple[dict[str, Any], memoryview]:
        self._ticket += 1
        order = {"ticket": self._ticket, "call": name, "rows": rows, "answers": answers}
        buffers = [_packed(*column) for column in columns]
        self._send(order | {"columns": [column[:2] for column in columns]}, list(itertools.chain(*buffers)))
        head, body = self._receive(_MAX_BODY)
        if head.get("ticket") != self._ticket:
            self._end("it answered a call that it was not asked")
        if "error" in head:
            raise ModelError(f"`{name}` failed: {_text(head['error'])}")
        return head, body

    def _send(self, head: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        text = json.dumps({**head, "sizes": [memoryview(buffer).nbytes for buffer in buffers]}).encode()
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        try:
            self._connection.sendall(b"".join([_LENGTHS.pack(len(text), size), text, *buffers]))
        except OSError:
            self._end()

    def _receive(self, most: int) -> tuple[dict[str, Any], memoryview]:
        head_size, size = _LENGTHS.unpack(self._read(_LENGTHS.size))
        if head_size > _MAX_HEAD or size > most:
            self._end(f"it announced {head_size + size:,} bytes; at most {most:,} are allowed")
        text, body = self._read(head_size), self._read(size)
        try:
            head = json.loads(bytes(text))
        except (ValueError, RecursionError):
            head = None
        if not isinstance(head, dict):
            self._end("what it sent is not a JSON object")
        return head, body

    def _read(self, size: int) -> memoryview:
        whole, filled = memoryview(bytearray(size)), 0
        while filled < size:
            try:
                count = self._connection.recv_into(whole[filled:])
            except OSError:
                count = 0
            if not count:
                self._end()
            filled += count
        return whole

    def _end(self, why: str = "") -> NoReturn:
        """End this process: what the guest left undone, only a new one can do."""
        if not why:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING_SECONDS)
            code = self._process.returncode
            why = "it hung up" if code is None else f"it ended with exit code {code}"
            if code and code < 0:
                why = f"it was killed by {signal_name(-code)}"
        # The guest has this pipe, too, and may have filled it, or made it one that does not wait.
        with contextlib.suppress(OSError):
            os.write(2, f"the model's own process is gone: {why}\n".encode())
        os._exit(GUEST_ENDED)


def _text(error: object) -> str:
    return str(error)[:_MAX_MESSAGE].encode(errors="replace").decode()


# ---- from values to buffers


def _packed(name: str, kind: str, values: Any) -> list[Any]:
    """Return the buffers of a column. Raises ModelError if the type cannot hold a value."""
    if kind in ("number", "whole", "flag"):
        return [_scalars(name, kind, values)]
    if kind == "text":
        return _texts(values)
    counts, present = _counted(values)
    flat = list(itertools.chain.from_iterable(present))
    return [counts, *(_texts(flat) if kind == "texts" else [_scalars(name, kind, flat)])]


def _scalars(name: str, kind: str, values: Any) -> bytes:
    try:
        if kind == "number" and isinstance(values, list):
            values = [np.nan if value is None else value for value in values]
        return np.asarray(values).astype(_DTYPES[kind], casting="unsafe" if kind != "whole" else "same_kind").tobytes()
    except (OverflowError, TypeError) as error:
        raise ModelError(f"column `{name}` has {_BEYOND}") from error


def _texts(values: Any) -> list[Any]:
    texts = values.tolist() if isinstance(values, np.ndarray) else values
    counts, present = _counted(texts)
    return [counts, "".join(present).encode()]


def _counted(values: Sequence[Any]) -> tuple[bytes, Sequence[Any]]:
    """Return the lengths of values, -1 for None, and the others."""
    try:
        return np.fromiter(map(len, values), "<i4", len(values)).tobytes(), values
    except TypeError:
        counts = [-1 if value is None else len(value) for value in values]
        return np.array(counts, "<i4").tobytes(), [value for value in values if value is not None]


# ---- from buffers to values


class _Parts:
    """The buffers of an answer, in turn. Raises _BrokenProtocol, or ValueError, at one that does not fit."""

    def __init__(self, sizes: object, body: memoryview) -> None:
        if not isinstance(sizes, list) or any(type(size) is not int or size < 0 for size in sizes):
            raise _BrokenProtocol("it has no lengths")
        if sum(sizes) != len(body):
            raise _BrokenProtocol(f"its buffers have {sum(sizes):,} bytes, and its body {len(body):,}")
        self._parts = self._each(sizes, body)

    def take(self, kind: str, rows: int) -> Any:
        """Return the values of an answer of this type."""
        if kind in ("number", "flag"):
            return self._array(_DTYPES[kind], rows)
        if kind == "whole":
            return self._array(_DTYPES[kind], rows).tolist()
        if kind == "text":
            return self._texts(rows)
        counts = self._array("<i4", rows).tolist()
        total = _total(counts)
        flat = self._texts(total) if kind == "texts" else self._array(_DTYPES[kind], total).tolist()
        return _cut(flat, counts)

    def end(self) -> None:
        """Check that no buffer is left."""
        if next(self._parts, None) is not None:
            raise _BrokenProtocol("it has more buffers than answers")

    @staticmethod
    def _each(sizes: Sequence[int], body: memoryview) -> Iterator[memoryview]:
        start = 0
        for size in sizes:
            yield body[start : start + size]
            start += size

    def _next(self) -> memoryview:
        part = next(self._parts, None)
        if part is None:
            raise _BrokenProtocol("a buffer is missing")
        return part

    def _array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        part = self._next()
        if len(part) != count * np.dtype(dtype).itemsize:
            raise _BrokenProtocol(f"a buffer for {count:,} values has {len(part):,} bytes")
        return np.frombuffer(part, dtype)

    def _texts(self, count: int) -> list[str | None]:
        counts = self._array("<i4", count).tolist()
        text = str(self._next(), "utf-8")
        if _total(counts) != len(text):
            raise _BrokenProtocol("the lengths of its texts are not theirs")
        return _cut(text, counts)


def _total(counts: Sequence[int]) -> int:
    if counts and min(counts) < -1:
        raise _BrokenProtocol("a length is negative")
    return sum(count for count in counts if count > 0)


def _cut(whole: Any, counts: Sequence[int]) -> list[Any]:
    """Cut a sequence into pieces of these lengths; -1 gives None."""
    ends = list(itertools.accumulate(max(count, 0) for count in counts))
    pieces = map(whole.__getitem__, map(slice, itertools.chain([0], ends), ends))
    return [None if count < 0 else piece for count, piece in zip(counts, pieces, strict=True)]
