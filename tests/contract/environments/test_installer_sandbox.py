"""What a program that installs packages can do, tried by a program in its place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.builders import children, until
from fakes.processes import gone
from hotswap.environments.install import MAX_FILES, _Installation, measure
from hotswap.environments.recipe import EnvironmentRequest, Recipe
from hotswap.errors import SwapError
from hotswap.host import landlock

pytestmark = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
RUN = """
import json, sys
from pathlib import Path
from hotswap.environments.interpreters import Interpreters
from hotswap.environments.shut_in import InstallerSandbox
asked = json.load(sys.stdin)
python = Interpreters().find("")
reads = [*python.reads, *asked["reads"]]
sandbox = InstallerSandbox(
    folder=Path(asked["folder"]), max_bytes=1 << 20, reads=reads, has_network=asked["has_network"], mode="auto"
)
print(json.dumps(sandbox.run([str(python.path), "-I", "-S", "-c", asked["code"]], {}, lambda: None)))
"""


def start(tmp_path, code, *, has_network=False, reads=()):
    (tmp_path / "cell").mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asked = {"folder": str(tmp_path / "cell"), "code": code, "has_network": has_network, "reads": list(reads)}
    process.stdin.write(json.dumps(asked))
    process.stdin.close()
    return process


def run(tmp_path, code, **how):
    with start(tmp_path, f"{code}\nprint('done')", **how) as process:
        _, printed = json.loads(process.stdout.read())
    return printed.strip().splitlines()[-1]


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    return tmp_path / "secret"


def test_it_reads_what_it_is_given_and_nothing_else_of_this_user(tmp_path, secret):
    code = f"print(open({str(secret)!r}).read())"
    assert "PermissionError" in run(tmp_path, code)
    assert run(tmp_path, code, reads=[str(secret)]) == "done"


def test_it_writes_its_own_folder_only(tmp_path, secret):
    assert run(tmp_path, "open('x', 'w').close()") == "done"
    for place in (tmp_path / "x", secret, Path("/dev/shm/hotswap-x"), Path("/tmp/hotswap-x")):
        assert "PermissionError" in run(tmp_path, f"open({str(place)!r}, 'w')", reads=[str(secret)])


def test_it_writes_no_file_that_is_larger_than_all_may_be(tmp_path):
    assert "File too large" in run(tmp_path, "open('x', 'wb', 0).write(bytes(1 << 20)); open('x', 'ab', 0).write(b'x')")


def test_its_memory_has_a_bound(tmp_path):
    code = "import mmap; mmap.mmap(-1, {} << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)"
    assert run(tmp_path, code.format(1)) == "done"
    assert "Cannot allocate memory" in run(tmp_path, code.format(9))


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_it_has_a_network_only_if_it_needs_an_index(tmp_path, index, kind):
    code = f"import socket; socket.socket(socket.AF_INET, socket.{kind}).connect(('127.0.0.1', {index.server_port}))"
    assert "PermissionError" in run(tmp_path, code)
    assert run(tmp_path, code, has_network=True) == "done"


@pytest.mark.parametrize("has_network", [False, True])
def test_it_reaches_no_socket_that_has_a_path(tmp_path, has_network):
    code = "import socket; socket.socket(socket.AF_UNIX)"
    assert "PermissionError" in run(tmp_path, code, has_network=has_network)


@pytest.mark.parametrize(
    "call", ["unshare(0x10000000)", "mount(None, b'/', None, 0x1000, None)", "ptrace(16, 1, 0, 0)"]
)
def test_it_has_no_capabilities_and_gets_none(tmp_path, call):
    code = f"import ctypes; c = ctypes.CDLL(None, use_errno=True); assert c.{call} < 0 and ctypes.get_errno() == 1"
    assert run(tmp_path, code) == "done"


def test_it_starts_programs_which_are_shut_in_as_it_is(tmp_path, secret):
    code = f"import subprocess; print(subprocess.run(['/bin/cat', {str(secret)!r}], stderr=-2, stdout=-1).stdout)"
    assert run(tmp_path, f"{code}; print('started')") == "done"
    with start(tmp_path, code) as process:
        assert "Permission denied" in process.stdout.read()


async def test_it_dies_with_what_started_it(tmp_path):
    with start(tmp_path, "import time; open('x', 'w').close(); time.sleep(60)") as process:
        await until((tmp_path / "cell" / "x").exists)
        (program,) = children(process.pid)
        process.kill()
    await gone(program)


def test_a_file_with_two_names_counts_once(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_bytes(bytes(1000))
    (tmp_path / "b").hardlink_to(tmp_path / "cache" / "a")
    before = measure(tmp_path)
    (tmp_path / "c").write_bytes(bytes(500))
    after = measure(tmp_path)
    assert before[1] == 2
    assert (after[0] - before[0], after[1] - before[1]) == (500, 1)


def installation(folder, *, wheels=""):
    recipe = Recipe(name="", requirements="", file="requirements.lock", python="", version="", reads=(), wheels=wheels)
    return _Installation(
        folder,
        EnvironmentRequest(recipe=recipe, root="", cache_max_bytes=1, max_bytes=1 << 20, index="", sandbox="auto"),
    )


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hotswap.environments.install.measure", lambda _: (0, MAX_FILES + 1))
    with pytest.raises(SwapError, match="more than the 200,000 files that an environment may: lock fewer or smaller"):
        installation(tmp_path)._watch()


def test_uv_has_no_network_where_the_model_has_its_own_wheels(tmp_path):
    assert installation(tmp_path)._sandbox.has_network
    assert not installation(tmp_path, wheels=str(tmp_path))._sandbox.has_network
