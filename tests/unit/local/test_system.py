"""The client and most commands run where Windows' or macOS's Python does; what differs stands in one module."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hotswap
from fakes.elsewhere import METHODS, lacking
from hotswap.cli.main import _COMMANDS, _POSIX

pytestmark = pytest.mark.usefixtures("collector_is_off")
PACKAGE = Path(hotswap.__file__).parent
TESTS = Path(__file__).parents[2]
ONE_PLACE = PACKAGE / "local" / "system.py"
SYSTEMS = ("win32", "darwin")
POPEN = {"pass_fds", "preexec_fn", "process_group", "start_new_session", "extra_groups"}
FOLDERS = ("/proc", "/sys/", "/dev/", "/bin/", "/tmp")

ALL = """
import json, sys
from fakes import elsewhere
elsewhere.hide(sys.argv[1])
import click.testing
from hotswap.cli.main import main
from hotswap.client.client import Client
said, runner = {}, click.testing.CliRunner()
def ask(command, *words):
    done = runner.invoke(main, [*words, "--help"])
    said[" ".join(words)] = repr(done.exception) if done.exception else done.output
    for name in getattr(command, "commands", None) or getattr(command, "lazy", ()):
        ask(command.get_command(None, name), *words, name)
ask(main)
ours = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "hotswap"}
for name in sys.argv[2:]:
    done = runner.invoke(main, [name, "d"])
    said[f"run {name}"] = [done.exit_code, done.output]
json.dump([said, ours], sys.stdout)
"""


@pytest.fixture(scope="module", params=SYSTEMS)
def elsewhere(request):
    """Return the system, and what all commands say there, and the modules that are loaded for it."""
    needing = _POSIX if request.param == "win32" else ()
    done = subprocess.run(
        [sys.executable, "-c", ALL, request.param, *needing],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(PACKAGE.parent)])},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return request.param, *json.loads(done.stdout)


def test_every_command_has_its_help(elsewhere):
    _, said, _ = elsewhere
    assert set(_COMMANDS) <= set(said)
    assert {name: told for name, told in said.items() if name[:4] != "run " and not told.startswith("Usage: ")} == {}


def test_what_needs_workers_or_hosts_says_in_a_sentence_what_that_needs(elsewhere):
    system, said, _ = elsewhere
    for name in _POSIX if system == "win32" else ():
        code, told = said[f"run {name}"]
        why = (
            f"hotswap: `hotswap {name}` needs Linux or macOS, and this is win32: run it there, or in WSL or a container"
        )
        assert (code, told) == (3, f"{why}\n")


def test_what_differs_between_systems_stands_in_one_place(elsewhere):
    system, _, loaded = elsewhere
    files = {Path(file) for file in loaded.values()} - {ONE_PLACE}
    assert PACKAGE / "client" / "client.py" in files
    assert {str(file.relative_to(PACKAGE)): found for file in files if (found := list(foreign(file, system)))} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("import termios as t", ["termios"]),
        ("from resource import setrlimit", ["resource"]),
        ("import os\nos.open('x', os.O_DIRECTORY)\nos.path.join('a')\nos.fork()", ["os.O_DIRECTORY", "os.fork"]),
        ("from os import getuid, getpid", ["os.getuid"]),
        ("import signal\nsignal.SIGKILL\nsignal.SIGTERM", ["signal.SIGKILL"]),
        ("loop.add_signal_handler(1, f)", ["add_signal_handler"]),
        ("Popen([], process_group=0)", ["process_group="]),
        ("Path('/proc/self')", ["'/proc/self'"]),
    ],
)
def test_each_kind_of_what_windows_lacks_is_seen(tmp_path, code, found):
    (tmp_path / "a.py").write_text(code)
    assert list(foreign(tmp_path / "a.py", "win32")) == found


def foreign(file, system):
    """Yield what a file uses that is not there on a system."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if "*" in lacking(name.name, system))
            case ast.ImportFrom(module=str(module), level=0, names=names):
                gone = lacking(module, system)
                yield from [module] if "*" in gone else (f"{module}.{name.name}" for name in names if name.name in gone)
            case ast.Attribute(value=ast.Name(module), attr=name) if name in lacking(module, system):
                yield f"{module}.{name}"
            case ast.Attribute(attr=name) if name in METHODS and system == "win32":
                yield name
            case ast.keyword(arg=str(name)) if name in POPEN and system == "win32":
                yield f"{name}="
            case ast.Constant(value=str(text)) if text.startswith(FOLDERS):
                yield repr(text)
