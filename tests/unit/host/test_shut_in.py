"""What a host may still do, decided without a kernel: the filter of system calls, and what the settings grant."""

import errno
import os
import platform
import socket
import struct
from pathlib import Path

import pytest

from hotswap.errors import SwapError
from hotswap.host import frames, sandbox, seccomp
from hotswap.host.facts import read_shut
from hotswap.host.frames import Frame, FrameError, Kind
from hotswap.host.load import sandbox_of
from hotswap.settings import Settings

MACHINES = ("x86_64", "aarch64")
ALLOWED, KILLED = 0x7FFF0000, 0x80000000


def verdict(program, machine, name, *arguments, number=None):
    """Run a filter as the kernel would; return what it says of a call."""
    architecture, column = seccomp._MACHINES[machine]
    given = [argument & (1 << 64) - 1 for argument in (*arguments, *[0] * 6)[:6]]
    facts = struct.pack("=iIQ6Q", seccomp._BOTH[name][column] if number is None else number, architecture, 0, *given)
    code = list(struct.iter_unpack("=HBBI", program))
    at = held = 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == seccomp._LOAD:
            (held,) = struct.unpack_from("=I", facts, k)
        elif operation == seccomp._AND:
            held &= k
        elif operation == seccomp._JUMP:
            at += k
        elif operation == seccomp._RETURN:
            return k
        else:
            at += if_true if (held == k if operation == seccomp._EQUAL else held >= k) else if_false


@pytest.fixture(params=MACHINES)
def says(request, monkeypatch):
    """Return what the filter of a host without sockets says on each architecture: an error's name, or "passes"."""
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    program = seccomp._compile(sandbox._rules(has_sockets=False))

    def say(name, *arguments):
        said = verdict(program, request.param, name, *arguments)
        return "passes" if said == ALLOWED else errno.errorcode[said & 0xFFFF]

    return say


def test_threads_are_started_and_processes_are_not(says):
    thread = 0x3D0F00  # as glibc starts one
    assert [says("clone", thread), says("clone", 17), says("execve"), says("clone3")] == [
        "passes", "EPERM", "EPERM", "ENOSYS",
    ]  # fmt: skip


def test_signals_priorities_and_limits_are_its_own_only(says):
    me, other = os.getpid(), os.getpid() + 1
    for name in ("kill", "tgkill"):
        assert [says(name, each) for each in (me, other, -1, 0)] == ["passes", "EPERM", "EPERM", "EPERM"]
    assert [says("prlimit64", each) for each in (0, me, other)] == ["passes", "passes", "EPERM"]
    assert [says("setpriority", which, who) for which, who in ((0, 0), (0, other), (1, 0), (2, 0))] == [
        "passes", "EPERM", "EPERM", "EPERM",
    ]  # fmt: skip


def test_files_are_not_truncated_by_opening_them_to_read(says):
    assert says("openat", 0, 0, os.O_RDONLY | os.O_TRUNC | os.O_CLOEXEC) == "EPERM"
    assert says("openat", 0, 0, os.O_WRONLY | os.O_TRUNC | os.O_CREAT) == "passes"
    assert says("openat", 0, 0, os.O_RDONLY) == "passes"


def test_what_names_an_owner_of_signals_is_refused_and_other_controls_are_not(says):
    assert [says("fcntl", 3, command) for command in (8, 15, 1024, 1, 2, 4)] == ["EPERM"] * 3 + ["passes"] * 3
    assert [says("ioctl", 3, command) for command in (0x8901, 0x5412, 0x541B)] == ["EPERM", "EPERM", "passes"]


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_of_the_internet_or_none(machine, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for has_sockets, passes in ((False, set()), (True, {socket.AF_INET, socket.AF_INET6})):
        program = seccomp._compile(sandbox._rules(has_sockets=has_sockets))
        families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16, 40)
        assert {each for each in families if verdict(program, machine, "socket", each) == ALLOWED} == passes


def test_calls_of_another_architecture_end_the_process_and_those_of_x32_are_refused(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    program = seccomp._compile(sandbox._rules(has_sockets=False))

    assert verdict(program, "aarch64", "openat") == KILLED
    assert verdict(program, "x86_64", "openat", number=0x40000101) & 0xFFFF == errno.EPERM


def test_an_unknown_architecture_is_an_error_of_the_system(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(OSError, match="the system calls of s390x are not known"):
        seccomp.install(())


def test_the_workers_settings_say_what_its_models_may_do(tmp_path):
    settings = Settings(
        cache=tmp_path, sandbox="require", sandbox_read=f"{tmp_path}/rates.csv, ~/regions,", sandbox_network=True,
        sandbox_folder_mb=20,
    )  # fmt: skip

    given = sandbox_of(settings)

    assert (given.mode, given.has_network, given.folder_mb) == ("require", True, 20)
    assert given.read == (f"{tmp_path}/artifacts", f"{tmp_path}/rates.csv", str(Path.home() / "regions"))


def test_a_standby_that_cannot_be_shut_in_fails_with_the_reason():
    payload = b'{"code": "HOST_FAILED", "message": "HOTSWAP_SANDBOX is require"}'
    with pytest.raises(SwapError, match="HOTSWAP_SANDBOX is require"):
        frames.check_prepared(Frame(Kind.FAILED, 0, payload))


def test_a_malformed_report_of_a_sandbox_is_an_error_of_the_protocol():
    assert read_shut(b'{"kind": "java", "holds": ["files"], "missing": []}').holds == ["files"]
    with pytest.raises(FrameError, match="its sandbox is malformed"):
        read_shut(b'{"kind": "java", "holds": "files"}')
