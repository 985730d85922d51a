"""What README.md and docs/using.md tell a newcomer to type is run as it stands there, in a fresh clone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.fleet import ROOT
from harness.kafkas import of_prepared_classes

# CI runs the first two, and the fixture `terminal` the third; what needs a Kafka of the reader's own, or keys, has
# tests of its own.
NOT_RUN = (
    "make demo",
    "make test",
    "hotswap dev",
    "hotswap keys",
    "hotswap swap churn --model better.zip --sign-with",
    "hotswap swap churn --model model.zip --verify-with",
    *(
        f"hotswap {one} churn"
        for one in (
            "topics create",
            "run",
            "move",
            "abort-transaction",
            "shadow",
            "compare",
            "delete",
            "history",
            "store verify",
            "store restore",
            "doctor",
            "top",
        )
    ),
)


# What .gitignore names.
MADE = (".venv*", "__pycache__", "*.egg-info", ".*_cache", ".coverage*", "dist", "build")


def files(folder):
    """Return what lies in a checkout, without what Git ignores."""
    ignored = shutil.ignore_patterns(*MADE, ".git")
    found = set()
    for place, folders, names in os.walk(folder):
        left_out = ignored(place, [*folders, *names])
        folders[:] = [name for name in folders if name not in left_out]
        found |= {(Path(place) / name).relative_to(folder) for name in names if name not in left_out}
    return found


def blocks(page):
    """Return the commands of each indented block, without what is not to be run."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"(?:^    (?:make|hotswap|\.venv)\b.*\n)+", text, flags=re.MULTILINE)
    return [[line.strip() for line in block.splitlines() if not line.strip().startswith(NOT_RUN)] for block in found]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of this checkout without what was made in it, set up as README.md says."""
    made = tmp_path_factory.mktemp("documents") / "clone"
    shutil.copytree(ROOT, made, ignore=shutil.ignore_patterns(*MADE, ".git"))
    for line in (line for block in blocks("README.md") for line in block if line.startswith("make ")):
        subprocess.run(["bash", "-c", line], cwd=made, check=True)
    return made


@pytest.fixture
def terminal(clone):
    """The other terminal of a reader: a shell with the two lines that `hotswap dev` prints; it returns the output."""
    environment = os.environ | {"PATH": _without_hotswap()} | of_prepared_classes()
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
    session = [line for block in blocks(page) for line in block if line.startswith("hotswap ")]
    assert len(session) >= 4
    for line in session:
        terminal(line)
    text = (ROOT / page).read_text(encoding="utf-8")
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)):
        file = clone.parent / f"snippet{number}.py"
        file.write_text(snippet)
        assert terminal(f"python {file}").startswith("True ")
    assert files(clone) - files(ROOT) == set()
