"""What an image is made of, and what a process from it may do, as read from its files and from /proc."""

import hashlib
import json
import platform
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import Marker

from harness.fleet import ROOT

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\\n]+))?", re.MULTILINE)
_JARS = ROOT / "worker" / "hotswap" / "local" / "locks" / "h2o-genmodel.lock"
_PYTHON = "opt/hotswap/lib/python3.*/site-packages"
_LARGEST = 8


def files(root: Path) -> Iterator[Path]:
    """Yield each file and folder below a folder."""
    return (path for path in root.rglob("*") if not path.is_symlink())


def loose(root: Path) -> Iterator[str]:
    """Yield what does not belong to root, or can be written by somebody else."""
    for path in files(root):
        known = path.stat()
        if known.st_uid or known.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield f"{path} {stat.filemode(known.st_mode)} {known.st_uid}"


def differing(one: Path, two: Path) -> Iterator[str]:
    """Yield the paths at which two trees differ: in content, rights, owner or time."""
    ours, theirs = ({str(path.relative_to(root)): _state(path) for path in root.rglob("*")} for root in (one, two))
    return (path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))


def _state(path: Path) -> tuple[object, ...]:
    known = path.lstat()
    if path.is_symlink():
        content = str(path.readlink())
    else:
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return known.st_mode, known.st_uid, known.st_gid, int(known.st_mtime), content


def wanted(lock: Path) -> set[tuple[str, str]]:
    """Return names and versions that a lock, and that of the jars, want of an image on this kind of machine."""
    machine = {"sys_platform": "linux", "platform_machine": platform.machine(), "python_full_version": "3.11.2"}
    pins = _PINNED.findall(lock.read_text(encoding="utf-8"))
    packages = {(name, version) for name, version, marker in pins if not marker or Marker(marker).evaluate(machine)}
    jars = (line.split()[0].split(":") for line in _JARS.read_text(encoding="utf-8").splitlines())
    return packages | {(artifact, version) for _, artifact, version in jars}


def named(root: Path) -> set[tuple[str, str]]:
    """Return names and versions in an image's bill of materials; Hotswap itself is what the bill is of."""
    bill = json.loads((root / "opt" / "hotswap" / "bill-of-materials.cdx.json").read_text(encoding="utf-8"))
    found = {
        (re.sub(r"[-_.]+", "-", one["name"]).lower(), one["version"])
        if "pypi" in one["purl"]
        else (one["name"], one["version"])
        for one in bill["components"]
        if "purl" in one
    }
    return {(name, version) for name, version in found if name != "hotswap"}


def table(root: Path) -> str:
    """Return the sizes of an image's parts, the largest first, as a table of Markdown."""
    (site,) = root.glob(_PYTHON)
    sizes: Counter[str] = Counter()
    for path in site.iterdir():
        sizes[path.name.removesuffix(".libs")] += _size(path)
    largest = sizes.most_common(_LARGEST)
    everything, ours, jars = (_size(folder) for folder in (root, root / "opt/hotswap", root / "opt/hotswap/jars"))
    rows = [("the base", everything - ours), *((f"`{name}`", size) for name, size in largest)]
    rows += [("other packages", ours - jars - sum(size for _, size in largest)), ("H2O's scoring jars", jars)]
    lines = [f"| {name} | {size / 1e6:.1f} |" for name, size in sorted(rows, key=lambda row: -row[1])]
    compiled = sum(path.stat().st_size for path in files(root / "opt") if path.suffix == ".pyc")
    return "\n".join(
        [
            "| what | MB |",
            "|---|---:|",
            *lines,
            f"| **the image** | **{everything / 1e6:.0f}** |",
            f"| of it compiled Python | {compiled / 1e6:.0f} |",
        ]
    )


def liberties(pid: int) -> list[str]:
    """Return what a process may do that a restricted pod's may not."""
    facts = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        if ":\t" in line
    )
    found = [] if set(facts["Uid"].split()) == {"10001"} else [f"it is user {facts['Uid']}"]
    found += [
        f"it has capabilities, {name} {facts[name]}" for name in ("CapEff", "CapPrm", "CapBnd") if int(facts[name], 16)
    ]
    found += [] if facts["NoNewPrivs"] == "1" else ["it may gain privileges"]
    found += [] if facts["Seccomp"] == "2" else ["its system calls are not filtered"]
    mounts = Path(f"/proc/{pid}/mounts").read_text(encoding="utf-8").splitlines()
    root = next(line.split()[3].split(",") for line in reversed(mounts) if line.split()[1] == "/")
    return found + ([] if "ro" in root else ["its root can be written"])


def filters(pid: int) -> int:
    """Return how many filters of system calls a process has."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^Seccomp_filters:\t(\d+)", text, re.MULTILINE)[1])


def _size(place: Path) -> int:
    paths = place.rglob("*") if place.is_dir() else [place]
    return sum(path.lstat().st_size for path in paths if path.is_symlink() or path.is_file())
