"""The wheel and the sdist of this checkout: built, and compared with what git tracks."""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_SECTION = re.compile(
    r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?\n(?P<text>.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL
)
_GENERATED = {"PKG-INFO", "pyproject.toml", ".gitignore"}
"""What every sdist of hatchling has, besides what pyproject.toml includes."""


def build(folder: Path) -> tuple[Path, Path]:
    """Build both into a folder, with the time of the last commit in them, and return the wheel and the sdist."""
    for old in folder.glob("*"):
        old.unlink()
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "wheel", "-t", "sdist")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program to its end, and return what it printed.

    Raises:
        RuntimeError: it failed; the message is its output.

    """
    time = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    environment = os.environ | {"SOURCE_DATE_EPOCH": time.stdout.strip()}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def compare_wheel(wheel: Path) -> list[str]:
    """Return what a wheel lacks of what git tracks of the package, and what it has besides."""
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    notes = {name for name in found if name.split("/")[0].endswith(".dist-info")}
    tracked = {name.removeprefix("worker/") for name in _tracked("worker/hotswap")}
    faults = differences(wheel.name, found - notes, tracked)
    licences = [name for name in notes if name.endswith(".dist-info/licenses/LICENSE")]
    return faults if licences else [*faults, f"{wheel.name} lacks LICENSE"]


def compare_sdist(sdist: Path) -> list[str]:
    """Return what an sdist lacks of what git tracks and pyproject.toml includes, and what it has besides."""
    with tarfile.open(sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive if member.isfile()}
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    wanted = set(_tracked(*(path.lstrip("/") for path in included), "README.md", "LICENSE"))
    return differences(sdist.name, found - _GENERATED, wanted)


def compare_rebuilt(wheel: Path, sdist: Path) -> list[str]:
    """Build a wheel from the sdist: it must be the wheel of the checkout, to the byte."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        run(sys.executable, "-m", "hatchling", "build", "-d", folder, "-t", "wheel", cwd=source)
        same = Path(folder, wheel.name).read_bytes() == wheel.read_bytes()
    return [] if same else [f"the wheel that {sdist.name} gives is not {wheel.name}"]


def compare_versions(version: str, changelog: str, tag: str) -> list[str]:
    """Return where a version, a changelog and a release's tag do not agree (`tag`: "" while none is made)."""
    sections = [match.groupdict() for match in _SECTION.finditer(changelog)]
    unreleased = "".join(one["text"] for one in sections if one["name"] == "Unreleased").strip()
    released = [one for one in sections if one["name"] != "Unreleased"]
    newest = released[0]["name"] if released else "none"
    faults = [f"CHANGELOG.md has no date for {one['name']}" for one in released if not one["date"]]
    if newest != version:
        faults.append(f"CHANGELOG.md's newest version is {newest}, and the package's {version}")
    versions = [Version(one["name"]) for one in released]
    if versions != sorted(versions, reverse=True):
        faults.append("CHANGELOG.md's versions do not fall from top to bottom")
    if tag and tag != f"v{version}":
        faults.append(f"the tag is {tag}, and the version {version}")
    if tag and unreleased:
        faults.append("CHANGELOG.md has unreleased entries: a release has them under its version")
    return faults


def check_metadata(*files: Path) -> list[str]:
    """Return what twine says that PyPI would refuse, or not render."""
    try:
        run(sys.executable, "-m", "twine", "check", "--strict", *map(str, files))
    except RuntimeError as error:
        return str(error).splitlines()
    return []


def _tracked(*paths: str) -> Iterable[str]:
    return run("git", "ls-files", "--", *paths).splitlines()


def differences(name: str, found: set[str], wanted: Iterable[str]) -> list[str]:
    """Return what a distribution lacks, and what it has besides."""
    wanted = set(wanted)
    lacking = [f"{name} lacks {path}" for path in sorted(wanted - found)]
    return lacking + [f"{name} has {path}, which it should not" for path in sorted(found - wanted)]
