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

    def say(name, *arguments, number=None):
        said = verdict(program, request.param, name, *arguments, number=number)
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


@pytest.mark.parametrize("machine", MACHINES)
def test_all_memory_of_a_guest_is_what_the_limit_on_data_counts(machine, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = seccomp._compile(sandbox._rules(has_sockets=False, is_guest=True))
    shared, private, anonymous, grows_down, stack = 0x1, 0x2, 0x20, 0x100, 0x20000

    def passes(name, *arguments):
        return verdict(program, machine, name, *arguments) == ALLOWED

    allowed = (private | anonymous, private | anonymous | stack, private, shared)  # the last two: of a file
    refused = (shared | anonymous, shared | private | anonymous, private | anonymous | grows_down)
    assert [passes("mmap", 0, 1 << 20, 3, flags) for flags in allowed] == [True] * 4
    assert [passes("mmap", 0, 1 << 20, 3, flags) for flags in refused] == [False] * 3
    assert not any(map(passes, ("memfd_create", "memfd_secret")))
    assert passes("execve")


def test_files_are_not_truncated_by_opening_them_to_read(says):
    assert says("openat", 0, 0, os.O_RDONLY | os.O_TRUNC | os.O_CLOEXEC) == "EPERM"
    assert says("openat", 0, 0, os.O_WRONLY | os.O_TRUNC | os.O_CREAT) == "passes"
    assert says("openat", 0, 0, os.O_RDONLY) == "passes"


def test_what_names_an_owner_of_signals_is_refused_and_other_controls_are_not(says):
    assert [says("fcntl", 3, command) for command in (8, 15, 1024, 1026, 1, 2, 4)] == ["EPERM"] * 4 + ["passes"] * 3
    assert [says("ioctl", 3, command) for command in (0x8901, 0x5412, 0x541B)] == ["EPERM", "EPERM", "passes"]


def test_controls_of_files_and_sockets_in_general_pass_and_those_of_a_file_system_do_not(says):
    bytes_to_read, mode_of_a_terminal, newer_mode, interface = 0x541B, 0x5401, 0x802C542A, 0x8913
    flags, attributes, verity, subvolume, pidfd = 0x40086602, 0x401C5820, 0x40806685, 0x5000940E, 0xC040FF0B
    assert {says("ioctl", 3, each) for each in (bytes_to_read, mode_of_a_terminal, newer_mode, interface)} == {"passes"}
    assert {says("ioctl", 3, each) for each in (flags, attributes, verity, subvolume, pidfd)} == {"EPERM"}


def test_pairs_of_sockets_are_streams_and_nothing_is_sent_to_an_address(says):
    stream, datagram, raw, packets, flags = 1, 2, 3, 5, 0o2004000
    assert [says("socketpair", 1, kind) for kind in (stream, stream | flags)] == ["passes", "passes"]
    assert {says("socketpair", 1, kind | flags) for kind in (datagram, raw, packets)} == {"EPERM"}
    assert says("socketpair", 30, stream) == "EPERM"  # TIPC
    assert [says("sendto", 3, 9, 1, 0, where) for where in (0, 1, 1 << 32, 7 << 45)] == ["passes", *["EPERM"] * 3]
    for name in ("connect", "bind", "listen", "accept", "accept4", "sendmsg", "sendmmsg"):
        assert says(name, 3) == "EPERM"


def test_a_call_that_came_after_the_filter_is_unknown(says):
    assert [says("", number=number) for number in (469, 470, 600)] == ["EPERM", "ENOSYS", "ENOSYS"]


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_of_the_internet_or_none(machine, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for has_sockets, passes in ((False, set()), (True, {socket.AF_INET, socket.AF_INET6})):
        program = seccomp._compile(sandbox._rules(has_sockets=has_sockets))
        families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16, 40)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC):
            assert {each for each in families if verdict(program, machine, "socket", each, kind) == ALLOWED} == passes
        assert verdict(program, machine, "socket", socket.AF_INET, socket.SOCK_RAW) != ALLOWED
        assert (verdict(program, machine, "connect", 3) == ALLOWED) == has_sockets
        assert (verdict(program, machine, "sendto", 3, 9, 1, 0, 9) == ALLOWED) == has_sockets
        assert verdict(program, machine, "socketpair", socket.AF_UNIX, socket.SOCK_DGRAM) != ALLOWED


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
    assert given.read == (f"{tmp_path}/rates.csv", str(Path.home() / "regions"))
    assert given.cache == f"{tmp_path}/artifacts"


def test_a_standby_that_cannot_be_shut_in_fails_with_the_reason():
    payload = b'{"code": "HOST_FAILED", "message": "HOTSWAP_SANDBOX is require"}'
    with pytest.raises(SwapError, match="HOTSWAP_SANDBOX is require"):
        frames.check_prepared(Frame(Kind.FAILED, 0, payload))


def test_a_malformed_report_of_a_sandbox_is_an_error_of_the_protocol():
    assert read_shut(b'{"kind": "java", "holds": ["files"], "missing": []}').holds == ["files"]
    with pytest.raises(FrameError, match="its sandbox is malformed"):
        read_shut(b'{"kind": "java", "holds": "files"}')
