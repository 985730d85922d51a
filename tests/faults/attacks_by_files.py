"""What strangers can bring as models of kinds that are data: files that reach out, unfold, loop or lie.

Each row swaps to a table of files, one after the other. A kind comes onto it with a table like those below: the file's
name -> what makes it and the codes with which it may fail; and with a row that swaps to them.
"""

import asyncio
import contextlib
import time
from functools import partial
from pathlib import Path

from faults.attacks_by_swaps import made_before
from faults.raw_batches import Record, batch
from faults.stage import below
from harness.fleet import messages
from hotswap.codec.proto import compile as compile_proto

_MESSAGES = "message X { double x = 1; } message Y { double y = 1; }"
_PROTO = f'syntax = "proto3"; {_MESSAGES} service S {{ rpc Score (X) returns (Y); }}'
_SAMPLE = compile_proto(_PROTO.encode()).operations["Score"].input(x=1.0).SerializeToString()
_STAGING_MS, _BATCH_MS = 10_000, 1_500
_HOST_MB, _WORKER_MB = 2_300, 300
"""A host's bound is its heap of 512 MiB and 1,536 MiB beside it; what it maps of its libraries' files comes on top."""
_GIB = 1 << 30


def _onnx(name, *arguments, **options):
    """Return what makes a file of bad_onnx.py, which needs an extra."""

    def make(path):
        from faults import bad_onnx  # noqa: PLC0415 - of an extra

        getattr(bad_onnx, name)(path, *arguments, **options)

    return make


_OUTSIDE = {
    "parent.zip": (_onnx("outside", "../../../../../../../../etc/passwd"), {"MODEL_UNSUPPORTED"}),
    "absolute.zip": (_onnx("outside", "/etc/passwd"), {"MODEL_UNSUPPORTED"}),
    "second.zip": (_onnx("outside", "w.bin", "/etc/passwd"), {"MODEL_UNSUPPORTED"}),
    "nowhere.zip": (_onnx("outside"), {"MODEL_UNSUPPORTED"}),
    "memory.zip": (_onnx("outside", "*/_ORT_MEM_ADDR_/*"), {"MODEL_UNSUPPORTED"}),
    "bare.onnx": (_onnx("outside", "w.bin"), {"MODEL_UNSUPPORTED"}),
    "link.zip": (_onnx("linked"), {"ARTIFACT_INVALID"}),
}
_CODE = {
    "operator.onnx": (_onnx("custom_operator"), {"MODEL_UNSUPPORTED"}),
    "function.onnx": (_onnx("endless_function"), {"MODEL_UNSUPPORTED"}),
    "pickle.onnx": (_onnx("pickled"), {"MODEL_INVALID"}),
}
_UNFOLDING = {
    "nested.onnx": (_onnx("nested", 10_000), {"MODEL_INVALID"}),
    "groups.onnx": (_onnx("groups", 1_000_000), {"MODEL_INVALID"}),
    "length.onnx": (_onnx("claimed", 2 * _GIB - 1), {"MODEL_INVALID"}),
    "long_length.onnx": (_onnx("claimed", 1 << 63), {"MODEL_INVALID"}),
    "dimensions.onnx": (_onnx("claimed_tensor", 1 << 29), {"MODEL_UNSUPPORTED"}),
    "product.onnx": (_onnx("claimed_tensor", 1 << 33, 1 << 31), {"MODEL_UNSUPPORTED"}),
    "parts.zip": (_onnx("empty_parts", 10_000_000), {"MODEL_INVALID", "HOST_FAILED", "DEADLINE_EXCEEDED"}),
    "functions.onnx": (_onnx("doubling_functions", 30), {"MODEL_UNSUPPORTED", "HOST_FAILED", "DEADLINE_EXCEEDED"}),
    "bomb.zip": (_onnx("zip_bomb", 2 * _GIB + (1 << 24)), {"ARTIFACT_INVALID"}),
}
_MEMORY = {
    "folded.onnx": (_onnx("filled", _GIB // 4), {"MODEL_UNSUPPORTED"}),
    "filled.onnx": (_onnx("filled", 2 * _GIB), {"SAMPLE_REFUSED"}),
    "squares.onnx": (_onnx("filled", 1 << 16, 1 << 16), {"SAMPLE_REFUSED"}),
    "tiled.onnx": (_onnx("tiled", 1 << 40), {"SAMPLE_REFUSED"}),
}
_TIME = {
    "constants.onnx": (_onnx("slow_constants", size=6_000, steps=1_000), {"DEADLINE_EXCEEDED"}),
    "loop.onnx": (_onnx("endless"), {"DEADLINE_EXCEEDED"}),
}


def _made(folder, files):
    """Write the files of a row; return their folder."""
    (place := folder / "files").mkdir()
    for name, (make, _) in files.items():
        make(place / name)
    return place


async def _swapped(stage, kind, files):
    """Swap to each file; return what was seen, and whether each failed as it must and the next good swap is ready."""
    odd, codes, slowest_s = [], set(), 0.0
    async with _Memory(stage) as memory:
        for name, (_, right) in files.items():
            command = stage.swap(model=stage.made / name, proto=_PROTO)
            command.swap.model.kind, command.swap.deadline_ms = kind, _STAGING_MS
            command.swap.samples.append(_SAMPLE)
            began = time.monotonic()
            await stage.send(command)
            told = set((await stage.verdicts(command, 60)).values())
            slowest_s = max(slowest_s, time.monotonic() - began)
            codes |= told
            if not told or not told <= {f"FAILED {code}" for code in right}:
                odd.append(f"{name}: {', '.join(sorted(told)) or 'no verdict'}")
    is_good = await stage.is_good(base=1)
    seen = (
        f"{len(files)} files: {'; '.join(odd) or ', '.join(sorted(codes))}, {slowest_s:.0f} s at most, {memory}, next "
        f"swap {'READY' if is_good else 'not READY'}"
    )
    return seen, not odd and is_good and memory.is_bounded


class _Memory:
    """The most memory that a host had while its block ran, and that a worker has ever had."""

    def __init__(self, stage):
        self._stage = stage
        self._host_mb = 0
        self._watching = None

    async def __aenter__(self):
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_):
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self):
        while True:
            for name in self._stage.alive:
                for pid in below(self._stage.pid(name)):
                    with contextlib.suppress(OSError):
                        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                        self._host_mb = max(self._host_mb, pages * 4_096 // 1_000_000)
            await asyncio.sleep(0.1)

    @property
    def is_bounded(self):
        return self._host_mb < _HOST_MB and self._stage.peak_mb() < _WORKER_MB

    def __str__(self):
        return f"a host {self._host_mb} MB, a worker {self._stage.peak_mb()} MB"


@made_before(partial(_made, files=_OUTSIDE))
async def onnx_outside(stage):
    """ONNX models with data elsewhere: above, absolute, in a second place, in memory, behind a link."""
    return await _swapped(stage, "onnx", _OUTSIDE)


@made_before(partial(_made, files=_CODE))
async def onnx_code(stage):
    """A custom operator, a function of itself, and a pickle that are called ONNX."""
    seen, is_held = await _swapped(stage, "onnx", _CODE)
    has_run = (stage.made / "ran").exists()
    return f"{seen}, the pickle's command {'RAN' if has_run else 'did not run'}", is_held and not has_run


@made_before(partial(_made, files=_UNFOLDING))
async def onnx_bombs(stage):
    """An If 10,000 deep, lengths and dimensions that lie, ten million parts in 20 KB, calls and a zip that unfold."""
    return await _swapped(stage, "onnx", _UNFOLDING)


@made_before(partial(_made, files=_MEMORY))
async def onnx_memory(stage):
    """Tensors of 1 GB to 4 TB in 200 bytes."""
    return await _swapped(stage, "onnx", _MEMORY)


@made_before(partial(_made, files=_TIME))
async def onnx_time(stage):
    """Constants that take hours to multiply, and an endless Loop."""
    return await _swapped(stage, "onnx", _TIME)


async def _served(stage, code):
    """Have the armed model serve, and ask it twice for its harm; only these two requests may be refused."""
    command = stage.swap(model=stage.made)
    command.swap.model.kind = "onnx"
    command.swap.configuration.deadline_ms = _BATCH_MS
    command.swap.configuration.outputs["species"] = "label"
    await stage.send(command)
    told = set((await stage.verdicts(command)).values())
    served = command.swap.generation
    await stage.plane.until(lambda: all(one.generation == served for one in stage.plane.workers.values()), 20)
    stage.over = began = time.time()  # a batch waits for its deadline by design, and so does the rest of its partition
    (values, _, operation) = messages("iris")
    harm = operation.input.FromString(values[0])
    harm.sepal_length = 1e6
    records = [Record(value=value) for value in (harm.SerializeToString(), values[1], harm.SerializeToString())]
    async with _Memory(stage) as memory:
        place = await stage.raw.send(stage.topics.requests, 0, batch(records).at(0))
        letters = [await stage.letter(0, place + number, 60) for number in (0, 2)]
    took = time.time() - began
    refused = {letter and letter["code"].decode() for letter in letters}
    others = len(stage.answers.letters) - len([letter for letter in letters if letter])
    is_good = await stage.is_good(base=1)
    seen = (
        f"{', '.join(sorted(told)) or 'no verdict'}, both requests {refused} after {took:.1f} s, {others} others, "
        f"{memory}, next swap {'READY' if is_good else 'not READY'}"
    )
    return seen, told == {"READY"} and refused == {code} and not others and is_good and memory.is_bounded


def _armed(folder, harm):
    _onnx("armed", harm)(path := folder / "armed.onnx")
    return path


@made_before(partial(_armed, harm="endless"))
async def onnx_endless_request(stage):
    """A serving ONNX model whose Loop does not end for two requests."""
    return await _served(stage, "HOST_TOO_SLOW")


@made_before(partial(_armed, harm="huge"))
async def onnx_huge_request(stage):
    """A serving ONNX model that makes 32 GB of two requests."""
    return await _served(stage, "MODEL_ERROR")
