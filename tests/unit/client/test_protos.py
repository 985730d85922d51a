"""A proto that anybody may have written is compiled in a process of its own, and can break nothing but that."""

import asyncio
import re
import subprocess

import pytest

from hotswap.client import protos
from hotswap.client.change import compile_file, read_proto
from hotswap.codec.proto import compile as compile_here
from hotswap.errors import SwapError

PROTO = 'syntax = "proto3"; message A { double a = 1; } service S { rpc p(A) returns (A); } '


def quadratic(count):
    """Return options within the bounds that cost protoc the square of their number: of 4,900, three seconds."""
    fields = "".join(f"int32 f{number} = {number};" for number in range(1, count))
    options = "".join(f"option (o).f{number} = 1;" for number in range(1, count))
    own = f"message Q {{ {fields} }} extend google.protobuf.FileOptions {{ Q o = 50000; }}"
    return f'import "google/protobuf/descriptor.proto"; {own} {options}'


CRASHING = (
    'import "google/protobuf/descriptor.proto"; message R { R a = 1; } '
    f"extend google.protobuf.FileOptions {{ R o = 50000; }} option (o) = {{ {'a{' * 20_000} {'}' * 20_000} }};"
)
"""Beyond the bounds, which see the text that is given, and not what it imports."""
SWELLING = (
    "".join(f"message {'N' * 60_000}{{" for _ in range(29))
    + "".join(f"message M{number} {{}}" for number in range(4_000))
    + "}" * 29
)
"""Within the bounds of a text, and 7 GB of full names."""


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(protos, "_kept", protos._Kept())


@pytest.fixture
def started(monkeypatch):
    """Return the kinds of source that processes were started for."""
    run, found = subprocess.run, []

    def note(command, **more):
        found.append(command[-1])
        return run(command, **more)

    monkeypatch.setattr(subprocess, "run", note)
    return found


def refused(source, *, is_descriptor_set=False):
    with pytest.raises(SwapError) as error:
        protos.compile_now(source.encode() if isinstance(source, str) else source, is_descriptor_set)
    return f"{error.value.code}: {error.value.message}"


def test_it_is_the_schema_that_compiling_here_gives():
    ours, theirs = protos.compile_now(PROTO.encode()), compile_here(PROTO.encode())
    assert list(ours.operations) == list(theirs.operations) == ["p"]
    assert ours.files == theirs.files
    again = protos.compile_now(ours.files.SerializeToString(), is_descriptor_set=True)
    assert again.operations["p"].input(a=1).SerializeToString() == theirs.operations["p"].input(a=1).SerializeToString()


def test_its_errors_are_protocs_own():
    assert refused("message") == "PROTO_INVALID: model.proto:1:8: Expected message name."
    assert refused('syntax = "proto3";').startswith("NO_OPERATION: the proto has no service with an rpc")
    assert "is not a serialized FileDescriptorSet" in refused(b"\xff\xff\xff", is_descriptor_set=True)
    assert refused(bytes(5 << 20)) == "PROTO_INVALID: the proto has 5,242,880 bytes: at most 4,194,304 are allowed"


def test_what_protoc_dies_of_ends_the_process_alone(tmp_path):
    assert "braces, brackets or dots inside each other" in refused(PROTO + CRASHING)
    (tmp_path / "crashing.proto").write_text(f'syntax = "proto3"; {CRASHING}')
    (tmp_path / "model.proto").write_text(f'syntax = "proto3";\nimport "crashing.proto"; {PROTO[19:]}')
    with pytest.raises(SwapError) as error:
        compile_file(tmp_path / "model.proto")
    assert re.fullmatch(r"compiling the proto ends protoc itself \(SIG(SEGV|ABRT)\): .*", error.value.message)
    assert list(protos.compile_now(PROTO.encode()).operations) == ["p"]


def test_its_memory_is_bounded():
    assert refused(PROTO + SWELLING) == (
        "PROTO_INVALID: compiling the proto takes more than 1,024 MiB: make it smaller, or less deep"
    )


def test_its_time_is_bounded(monkeypatch):
    monkeypatch.setattr(protos, "_CPU_SECONDS", 1)
    assert refused(PROTO + quadratic(4_900)) == (
        "PROTO_INVALID: compiling the proto takes more than 1 s: make it smaller, or less deep"
    )
    monkeypatch.setattr(protos, "_SECONDS", 0.01)
    assert "took longer than 0.01 s" in refused(PROTO)


def test_an_installation_without_protoc_is_told_as_that(monkeypatch):
    monkeypatch.setattr(protos, "_CODE", "/nowhere")
    monkeypatch.setattr(protos.sys, "executable", "/nowhere/python")
    assert "PROTO_INVALID: the compiler cannot be started: " in refused(PROTO)


def test_the_process_inherits_no_environment_and_nothing_of_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOTSWAP_KAFKA_PASSWORD", "secret")
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    (tmp_path / "typing.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    seen, run = {}, subprocess.run

    def note(command, **more):
        seen.update(more["env"])
        return run(command, **more)

    monkeypatch.setattr(subprocess, "run", note)
    protos.compile_now(PROTO.encode())
    assert {name for name in seen if name not in protos._INHERITED} == {
        "PYTHONPATH", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "TEMP", "TMP",
    }  # fmt: skip


def test_what_was_compiled_or_refused_is_kept_by_its_digest(started, monkeypatch):
    monkeypatch.setattr(protos, "_KEPT_BYTES", 500)
    first, second = (protos.compile_now(PROTO.encode()) for _ in range(2))
    assert started == ["text"]
    assert first.operations["p"].input is not second.operations["p"].input
    assert refused("message") == refused("message")
    assert len(started) == 2
    for number in range(8):
        refused(f"x{number}")
    assert protos._kept._bytes <= 500
    before = len(started)
    protos.compile_now(PROTO.encode())
    assert len(started) == before + 1


def test_what_broke_the_process_is_not_kept(started, monkeypatch):
    monkeypatch.setattr(protos, "_SECONDS", 0.01)
    refused(PROTO)
    monkeypatch.setattr(protos, "_SECONDS", 30.0)
    assert list(protos.compile_now(PROTO.encode()).operations) == ["p"]
    assert started == ["text", "text"]


async def test_the_loop_turns_while_a_proto_is_compiled():
    compiling, turns = asyncio.create_task(protos.compile((PROTO + quadratic(3_000)).encode())), 0
    while not compiling.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert list((await compiling).operations) == ["p"]
    assert turns > 50


def test_the_files_that_a_proto_imports_are_read_in_the_process_too(tmp_path, started):
    (tmp_path / "rows.proto").write_text('syntax = "proto3"; message B { double b = 1; }')
    path = tmp_path / "model.proto"
    path.write_text('syntax = "proto3"; \nimport "rows.proto"; service S { rpc p(B) returns (B); }')
    assert list(compile_file(path).operations) == ["p"]
    assert started == [str(path), "set"]


def test_a_file_that_is_too_large_for_a_proto_is_not_read(tmp_path):
    path = tmp_path / "model.proto"
    with path.open("wb") as file:
        file.truncate((4 << 20) + 1)
    with pytest.raises(SwapError, match=r"at most 4,194,304 are allowed"):
        read_proto(path)
