"""The test jars, prebuilt from the sources beside them; a test compiles those, and compares.

Run as a program, it compiles the sources there, and the worker's own jars (`make jars`). The same sources and the same
JDK give the same bytes.
"""

import io
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hotswap.local.jvm import fetch_jars

FOLDER = Path(__file__).parents[1] / "jars"
RUNTIMES = FOLDER.parents[1] / "worker" / "hotswap" / "runtimes"
OWN = {"flat_engine": RUNTIMES / "flat", "mojos": RUNTIMES / "h2o", "jar_calls": RUNTIMES / "java"}
NAMES = ("texts", "texts_v2", "customers", "numbers", "flat", "overloads", "petals", "hostile", "spark")
_LEFT_OUT = ("missing/",)
_NAMELESS = ("texts",)  # compiled like most jars: without parameter names
_MANIFESTS = {"customers": "Main-Class: credit.Scorer\r\n"}


def jdk() -> int:
    """Return the version of the JDK on the path; 0 if there is none."""
    if shutil.which("javac") is None:
        return 0
    said = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"javac (\d+)", said)
    return int(found[1]) if found else 0


HAS_JDK = jdk() >= 17


def prebuilt(name: str) -> Path:
    return OWN.get(name, FOLDER) / f"{name}.jar"


def jar(name: str) -> bytes:
    """Return a test jar."""
    return prebuilt(name).read_bytes()


def compiled(name: str) -> bytes:
    """Compile a jar from its sources, for Java 17."""
    sources = sorted(OWN.get(name, FOLDER / name).rglob("*.java"))
    flat = prebuilt("flat_engine")
    needed = {"mojos": lambda: [flat, *fetch_jars("h2o-genmodel")], "jar_calls": lambda: [flat]}
    classpath = ("-cp", ":".join(map(str, needed[name]()))) if name in needed else ()
    with tempfile.TemporaryDirectory() as folder:
        quick = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-J-XX:-UsePerfData")
        named = () if name in _NAMELESS else ("-parameters",)
        command = ("javac", *quick, "--release", "17", *named, *classpath, "-Xlint:-options", "-d", folder, *sources)
        subprocess.run(command, check=True, capture_output=True, text=True)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(Path(folder).rglob("*.class"))
        }
    manifest = f"Manifest-Version: 1.0\r\n{_MANIFESTS.get(name, '')}\r\n".encode()
    kept = {path: content for path, content in files.items() if not path.startswith(_LEFT_OUT)}
    return packed({"META-INF/MANIFEST.MF": manifest, **kept})


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a zip with reproducible bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


if __name__ == "__main__":
    for each in (*OWN, *NAMES):
        prebuilt(each).write_bytes(compiled(each))
