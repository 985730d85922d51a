"""The environment that converts models of scikit-learn is made once, and never used half made."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from hotswap.errors import StartError
from hotswap.packages.sklearn import environment
from hotswap.packages.sklearn.environment import python_for


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Yield a lock without packages, the only one."""
    monkeypatch.setattr(environment, "LOCKS", tmp_path)
    path = tmp_path / "1.9.lock"
    path.write_text("# nothing\n")
    return path


def made(version: str, tmp_path: Path, told: list[str]) -> Path:
    return asyncio.run(python_for(version, tmp_path / "cache", told.append))


def test_it_is_made_once_and_reused(lock: Path, tmp_path: Path) -> None:
    told: list[str] = []

    python = made("1.9.1", tmp_path, told)
    again = made("", tmp_path, told)

    assert python == again
    assert [line.partition(" ")[0] for line in told] == ["making", "the"]
    assert subprocess.run([python, "-c", "print(1)"], capture_output=True, check=True).stdout == b"1\n"


def test_another_lock_is_another_environment(lock: Path, tmp_path: Path) -> None:
    first = made("1.9", tmp_path, [])
    lock.write_text("# nothing else\n")

    assert made("1.9", tmp_path, []) != first


def test_one_that_cannot_be_made_leaves_nothing(lock: Path, tmp_path: Path) -> None:
    lock.write_text("/nowhere/absent-1.0-py3-none-any.whl --hash=sha256:" + 64 * "0" + "\n")

    with pytest.raises(StartError, match=r"cannot be made: check the network, or pass the Python of one .* --python"):
        made("1.9", tmp_path, [])

    assert list((tmp_path / "cache" / "scikit-learn").iterdir()) == []


def test_what_a_killed_process_left_half_made_is_removed(lock: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    folder = tmp_path / "cache" / "scikit-learn"
    stale, live = (folder / f".making-{pid}-x" for pid in (gone.pid, os.getpid()))
    for path in (stale, live):
        path.mkdir(parents=True)

    made("1.9", tmp_path, [])

    assert not stale.exists()
    assert live.exists()
