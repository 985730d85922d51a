"""Models of kind python, written by a test, and their hosts."""

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from fakes.examples import COLD
from hotswap.batch import Answer, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.host.order import GuestPython
from hotswap.host.parent import ModelHost
from hotswap.host.sandbox import AUTO, Sandbox

OWN = "{}.{}".format(*sys.version_info)
"""The version of Python that the tests run on."""
OURS = GuestPython(program=getattr(sys, "_base_executable", sys.executable), reads=(sys.base_prefix,))
"""The interpreter that the tests run on, without any packages."""


def pythons(*more: str) -> dict[str, str]:
    """Return Pythons of this machine by their minor versions, these among them; the tests' own first."""
    found = {OWN: getattr(sys, "_base_executable", sys.executable)}
    for minor in ("3.11", "3.12", "3.13", "3.14", *more):
        program = shutil.which(f"python{minor}")
        code = "import sys; print(sys.executable)"
        done = subprocess.run([program, "-I", "-S", "-c", code], capture_output=True, check=False) if program else None
        if done and not done.returncode:
            found.setdefault(minor, done.stdout.decode().strip())
    return found


def proto(row: str, answer: str, *rpcs: str) -> bytes:
    """Return a proto of a service whose rpcs take `row` and return `answer`."""
    calls = "".join(f"rpc {rpc}(Row) returns (Answer);" for rpc in rpcs or ("Predict",))
    text = (
        f'syntax = "proto3"; package m; message Row {{ {row} }} message Answer {{ {answer} }} service S {{ {calls} }}'
    )
    return text.encode()


NUMBER = proto("double x = 1;", "double y = 1;")


def written(folder: Path, source: str, files: Mapping[str, bytes] | None = None) -> Path:
    """Write a model's folder."""
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_text(dedent(source))
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content)
    return folder


def load_of(
    folder: Path,
    source: bytes,
    *,
    kind: str = "python",
    configuration: Configuration | None = None,
    interpreter: GuestPython = OURS,
    sandbox: Sandbox = AUTO,
) -> Load:
    return Load(
        generation=1,
        kind=kind,
        model=folder,
        proto=source,
        is_descriptor_set=False,
        configuration=configuration or Configuration(),
        samples=(),
        heap_mb=256,
        sandbox=sandbox,
        interpreter=interpreter,
    )


@asynccontextmanager
async def serving(load: Load, deadline_s: float = 10.0) -> AsyncIterator[ModelHost]:
    """Yield the started host of a model. Raises SwapError."""
    host = ModelHost(
        load=load, deadline_s=deadline_s, on_restart=lambda _: None, on_unknown=lambda _, __: None, child=COLD
    )
    try:
        await host.start()
        yield host
    finally:
        await host.stop()


def bytes_of(source: bytes, *rows: dict[str, Any]) -> list[bytes]:
    operation = next(iter(compile_proto(source).operations.values()))
    return [operation.input(**row).SerializeToString() for row in rows]


async def answered(host: ModelHost, source: bytes, *rows: dict[str, Any]) -> list[Any]:
    operation = next(iter(compile_proto(source).operations.values()))
    return [
        answer if isinstance(answer, Refusal) else operation.output.FromString(answer)
        for answer in await host.score(bytes_of(source, *rows))
    ]


def codes(answers: Sequence[Answer]) -> list[str]:
    return [str(answer.code) if isinstance(answer, Refusal) else "answered" for answer in answers]
