"""The Pythons of this machine, asked for real."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.builders import builders
from fakes.python_index import wheel
from hotswap.environments import interpreters as module
from hotswap.environments.environments import Environments
from hotswap.environments.interpreters import Interpreters
from hotswap.errors import SwapCode, SwapError

OWN = "{}.{}".format(*sys.version_info)


@pytest.fixture(scope="module")
def other():
    """Return a Python of another minor version, and that version."""
    for minor in ("3.11", "3.12", "3.13", "3.14"):
        program = shutil.which(f"python{minor}")
        if minor == OWN or not program:
            continue
        if path := printed(program, "import sys; print(sys.executable)"):
            return path, minor
    return pytest.skip("there is one version of Python on PATH only")


def printed(program, code):
    done = subprocess.run([program, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def script(folder, text):
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_by_default_there_is_the_workers_own_outside_of_its_environment():
    found = Interpreters().find("")
    assert found == Interpreters().find(OWN) == Interpreters().find(f"{OWN}.999")
    assert (found.minor, found.version) == (OWN, ".".join(map(str, sys.version_info[:3])))
    assert found.path == Path(sys._base_executable).resolve()
    assert all(Path(path).is_absolute() and Path(path).exists() for path in found.reads)
    library = Path(printed(found.path, "import json; print(json.__file__)"))
    assert any(library.is_relative_to(path) for path in found.reads)


def test_a_virtual_environment_stands_for_the_python_that_it_was_made_from():
    assert Interpreters(sys.executable).find("") == Interpreters().find("")


def test_the_first_one_that_is_named_counts_and_each_is_found_by_its_version(other):
    program, minor = other
    both = Interpreters(f" {program} ,{sys.executable}")
    assert (both.find("").minor, both.find(OWN).minor, both.find(minor).minor) == (minor, OWN, minor)
    assert both.find(OWN).digest != both.find(minor).digest


def test_a_version_that_is_missing_is_named_with_those_that_are_there():
    with pytest.raises(
        SwapError, match=r"the model needs Python 3\.7, and this worker has none \(it has 3\."
    ) as raised:
        Interpreters().find("3.7.1")
    assert raised.value.code is SwapCode.ENVIRONMENT_INVALID
    assert raised.value.message.endswith("install it, and name the path of its program in HOTSWAP_PYTHONS")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo no JSON", "it does not answer as a Python does"),
        ("echo '[]'", "it does not answer as a Python does"),
        ("echo '{}'", "it does not answer as a Python does"),
        ("echo broken >&2; exit 3", "exit code 3: broken"),
        ('echo \'{"implementation": "pypy"}\'', "it is pypy, not CPython"),
        ("exec sleep 60", "no answer within 0.5 s"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_program_that_is_no_python_is_named_and_breaks_no_other(tmp_path, monkeypatch, text, why):
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.5 if "sleep" in text else 20.0)
    program = script(tmp_path, text)
    pythons = Interpreters(f"{program},{sys.executable}")
    with pytest.raises(SwapError) as raised:
        pythons.find("3.7")
    assert f"{program} is no Python that can be used ({why}" in raised.value.message
    assert Interpreters(f"{sys.executable},{program}").find("").minor == OWN


def test_a_path_where_nothing_is_breaks_no_other():
    pythons = Interpreters(f"/no/python,{sys.executable}")
    assert pythons.find("").minor == OWN
    with pytest.raises(SwapError, match=r"/no/python is no Python that can be used \(No such file or directory\)"):
        pythons.find("3.7")
    with pytest.raises(SwapError, match="the model needs a Python, and this worker has none"):
        Interpreters("/no/python").find("")


def test_each_is_asked_once(tmp_path):
    program = script(tmp_path, f'echo asked >> {tmp_path}/asked; exec {sys.executable} "$@"')
    pythons = Interpreters(program)
    assert pythons.find("") == pythons.find(OWN)
    assert (tmp_path / "asked").read_text() == "asked\n"


async def test_a_model_gets_packages_for_the_python_that_it_names(settings, index, model, other):
    program, minor = other
    environments = Environments(settings.model_copy(update={"pythons": f"{sys.executable},{program}"}))
    tag = f"cp{minor.replace('.', '')}"
    folder = model(index.add("alpha", wheel("alpha", tag=f"{tag}-none-any"), f"alpha-1.0-{tag}-none-any.whl"))
    with pytest.raises(SwapError, match=r"name another Python in \.python-version"):
        await environments.prepare(folder)
    (folder / ".python-version").write_text(minor)
    environment = await environments.prepare(folder)
    assert printed(environment.python, "import sys; print(sys.version.split()[0])") == environment.version
    assert environment.version.startswith(f"{minor}.")
    with pytest.raises(SwapError, match=r"name another Python in \.python-version"):
        await environments.prepare(folder, version=OWN)
    environments.release(environment)
    await environments.stop()
    assert builders() == []
