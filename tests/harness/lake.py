"""Runs `hotswap batch`, one command after the other in one process, so that Spark's Java starts once; and packages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from click.testing import CliRunner

from harness.lab import TESTS
from hotswap.batch import Answer, Ask
from hotswap.cli.main import main
from hotswap.client.scoring import own_host
from hotswap.codec.proto import Schema
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Proto
from hotswap.local.jvm import find_java
from hotswap.packages.packing import Content, write_package
from hotswap.settings import Settings

# Of a Java that serves: a short one is done before its slow compiler is, and before all of its classes are checked.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """What `--json` printed."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


class Commands:
    """A process that runs commands."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextmanager
    def started(cls, folder: Path, **environment: str) -> Iterator[Self]:
        """One whose working folder and caches are there."""
        variables = {
            "HOTSWAP_CACHE": str(folder / "cache"),
            "JAVA_HOME": str(find_java().home),
            "JDK_JAVA_OPTIONS": QUICK,
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent / "worker", TESTS, TESTS / "fakes" / "cold_hosts"))),
            **environment,
        }
        with (folder / "commands.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.lake"],
                cwd=folder,
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        with process:
            yield cls(process)
            assert process.stdin
            process.stdin.close()

    def run(self, *words: str | Path) -> Ran:
        """Run `hotswap` with these words."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(word) for word in words]), file=self._process.stdin, flush=True)
        return Ran(**json.loads(self._process.stdout.readline()))

    def batch(self, given: Path | str, output: Path | str, package: Path, *more: str) -> Ran:
        """Score with a package on two cores of this machine."""
        words = ("batch", "churn", "--input", given, "--output", output, "--package", package, "--json", *more)
        return self.run(*words, *(() if "--master" in more else ("--master", "local[2]")))


@dataclass(frozen=True)
class Packed:
    """A package on disk, and what is in it."""

    path: Path
    kind: str
    model: Path
    proto: bytes
    configuration: Configuration

    @property
    def schema(self) -> Schema:
        """The proto, compiled."""
        return compile_proto(self.proto)

    async def answers(self, folder: Path, values: Sequence[bytes], asks: Sequence[Ask]) -> Sequence[Answer]:
        """Return what a host of one's own answers."""
        given: dict[str, Any] = {"cache": folder / "cache"}
        proto = Proto.inline(self.proto)
        async with own_host(Settings(**given), self.model, self.kind, proto, self.configuration) as (host, _):
            return list(await host.score(values, asks))


def pack(folder: Path, kind: str, model: Path, proto: bytes, configuration: Configuration) -> Packed:
    """Write a package into a folder."""
    content = Content(
        name=model.stem,
        version="1.0.0",
        reasons=(),
        kind=kind,
        about="a test",
        model=model,
        proto=Proto.inline(proto),
        schema=compile_proto(proto),
        configuration=configuration,
        samples="",
    )
    return Packed(write_package(content, folder)[-1], kind, model, proto, configuration)


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to a file, whose types are those of their values."""
    from pyarrow import Table, parquet  # noqa: PLC0415 - of the extra `lake`

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(Table.from_pylist(list(rows)), path)


def by_row(output: Path, key: str) -> Mapping[Any, dict[str, Any]]:
    """Return the rows of an output by a column; each must be there once."""
    from pyarrow import parquet  # noqa: PLC0415 - the same

    rows = [row for file in sorted(output.rglob("*.parquet")) for row in parquet.read_table(file).to_pylist()]
    found = {row[key]: row for row in rows}
    assert len(found) == len(rows)
    return found


def _serve() -> None:
    for line in sys.stdin:
        result = CliRunner().invoke(main, json.loads(line))
        print(
            json.dumps({"code": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}),
            file=sys.__stdout__,
            flush=True,
        )


if __name__ == "__main__":
    _serve()
