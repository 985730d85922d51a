"""What README.md and docs/using.md tell a newcomer to type is run as it stands there, in a fresh clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.fleet import ROOT

# CI runs the first two targets; what needs a Kafka of the reader's own has tests of its own.
NOT_RUN = (
    "make demo",
    "make test",
    *(f"hotswap {one} churn" for one in ("topics create", "run", "move", "doctor", "top")),
)


def blocks(page):
    """Return the commands of each indented block, without what is not to be run."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"(?:^    (?:make|hotswap|\.venv)\b.*\n)+", text, flags=re.MULTILINE)
    return [[line.strip() for line in block.splitlines() if not line.strip().startswith(NOT_RUN)] for block in found]


@pytest.fixture
def clone(tmp_path):
    """A fresh clone, with the virtual environment that these tests run in."""
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    (tmp_path / "clone" / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path / "clone"


@pytest.fixture
def terminal(clone):
    """The other terminal of a reader: a shell with the two lines that `hotswap dev` prints; it returns the output."""
    environment = os.environ | {"HOME": str(clone.parent), "PATH": _without_hotswap()}
    log = clone.parent / "dev.log"
    with log.open("wb") as output:
        dev = subprocess.Popen([".venv/bin/hotswap", "dev", "iris"], cwd=clone, env=environment, stderr=output)
    try:
        while "Ctrl-C here stops everything" not in (said := log.read_text()):
            assert dev.poll() is None, said
        exports = [line.strip() for line in said.splitlines() if line.startswith("    export ")]
        assert [line.partition("=")[0] for line in exports] == ["export PATH", "export HOTSWAP_KAFKA"]

        def type_in(*lines):
            done = subprocess.run(
                ["bash", "-e", "-c", "\n".join([*exports, *lines])], cwd=clone, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (lines, done.stdout, done.stderr)
            return done.stdout

        yield type_in
    finally:
        dev.terminate()
        assert dev.wait(30) == 0


def _without_hotswap():
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not shutil.which("hotswap", path=folder))


@pytest.mark.parametrize("page", ["README.md", "docs/using.md"])
def test_every_command_of_the_page_works_as_it_is_printed(clone, terminal, page):
    setup = [line for block in blocks(page) for line in block if line.startswith("make setup")]
    for line in setup:
        subprocess.run(["bash", "-c", line], cwd=clone, check=True)
    session = [line for block in blocks(page) for line in block if line.startswith("hotswap ")]
    assert len(session) >= 4
    for line in session:
        terminal(line)
    text = (ROOT / page).read_text(encoding="utf-8")
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)):
        (clone / f"snippet{number}.py").write_text(snippet)
        assert terminal(f"python snippet{number}.py").startswith("True ")
    untracked = subprocess.run(
        ["git", "status", "--short"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in untracked.splitlines()} <= {".venv", "snippet0.py"}
