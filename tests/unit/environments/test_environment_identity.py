"""What makes two environments the same one, and how a model names its Python."""

import dataclasses
from pathlib import Path

import pytest

from hotswap.environments.interpreters import Interpreter, wanted_version
from hotswap.environments.lock import Lock
from hotswap.environments.recipe import recipe_of
from hotswap.errors import SwapCode, SwapError

PYTHON = Interpreter(path=Path("/opt/python3.12"), version="3.12.4", reads=("/opt",), digest="1" * 64)
LOCK = Lock(("a==1 --hash=sha256:00",))


def test_models_with_the_same_lock_and_python_share_an_environment(tmp_path):
    (tmp_path / "vendored" / "wheels").mkdir(parents=True)
    elsewhere = dataclasses.replace(PYTHON, path=Path("/usr/bin/python3.12"))
    one = recipe_of(LOCK, PYTHON, tmp_path)
    other = recipe_of(dataclasses.replace(LOCK, file="requirements.txt"), elsewhere, tmp_path / "vendored")
    assert one.name == other.name
    assert (one.wheels, other.wheels) == ("", str(tmp_path / "vendored" / "wheels"))


def test_another_lock_or_another_python_is_another_environment(tmp_path):
    recipes = [
        recipe_of(LOCK, PYTHON, tmp_path),
        recipe_of(Lock(), PYTHON, tmp_path),
        recipe_of(LOCK, dataclasses.replace(PYTHON, digest="2" * 64), tmp_path),
    ]
    assert len({recipe.name for recipe in recipes}) == 3


def test_the_minor_version_is_what_packages_are_made_for():
    assert (PYTHON.minor, dataclasses.replace(PYTHON, version="3.9.18").minor) == ("3.12", "3.9")


@pytest.mark.parametrize(
    ("content", "version"),
    [("3.12\n", "3.12"), ("3.12.4", "3.12.4"), (" 3.9 \r\n3.13\n", "3.9")],
)
def test_a_model_names_its_python_in_a_file(tmp_path, content, version):
    (tmp_path / ".python-version").write_text(content)
    assert wanted_version(tmp_path) == version


def test_a_model_that_names_no_python_wants_none(tmp_path):
    assert wanted_version(tmp_path) == ""


@pytest.mark.parametrize("content", [b"", b"\n3.12", b"3", b"3.x", b">=3.12", b"pypy3.10", b"3.12.1.1", b"\xff"])
def test_what_is_no_version_is_refused(tmp_path, content):
    (tmp_path / ".python-version").write_bytes(content)
    with pytest.raises(SwapError, match=r"the first line of \.python-version is .*: write it as 3\.12") as raised:
        wanted_version(tmp_path)
    assert raised.value.code is SwapCode.ENVIRONMENT_INVALID


def test_a_version_behind_a_link_is_refused(tmp_path):
    (tmp_path / ".python-version").symlink_to("/etc/hostname")
    with pytest.raises(SwapError, match=r"\.python-version cannot be read .*: pack it as a plain file"):
        wanted_version(tmp_path)
