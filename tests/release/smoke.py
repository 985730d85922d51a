"""Run by the Python of an environment that has only what was installed: does Hotswap work there?

    python smoke.py VERSION EXAMPLES [EXTRA…]

EXAMPLES is the folder of the checkout with a model, its proto and its rows. It needs no Kafka; the host is a real one,
with a Java and a MOJO. It prints what it has tried, and ends with an AssertionError at the first thing that is not so.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

COMMANDS = ("run", "swap", "predict", "gateway", "console", "doctor")


def main(version: str, examples: str, *extras: str) -> None:
    """Try everything."""
    package = Path(importlib.util.find_spec("hotswap").submodule_search_locations[0])
    assert Path(sys.prefix) in package.parents, f"{package} is not what was installed in {sys.prefix}"
    commands(version)
    library(Path(examples))
    files(package)
    scores(Path(examples))
    served(*extras)
    sys.stdout.write("commands, library, files, a row scored by a host" + ", ".join(["", *extras]) + "\n")


def hotswap(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run the installed command, and return what it printed; it must end with one of the codes."""
    script = Path(sys.executable).with_name("hotswap")
    done = subprocess.run([script, *words], capture_output=True, text=True, check=False)
    assert done.returncode in codes, f"hotswap {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def commands(version: str) -> None:
    """The command line knows its version and its commands, a worker's too."""
    said = hotswap("--version")
    assert said.split()[-1] == version, f"hotswap --version says {said!r}, and the file's name {version}"
    for command in COMMANDS:
        assert hotswap(command, "--help").startswith("Usage: hotswap"), command


def library(examples: Path) -> None:
    """Each public name can be imported, the client among them, and a proto is compiled."""
    import hotswap as installed  # noqa: PLC0415 - not before its place was looked at
    from hotswap.codec.proto import compile as compile_proto  # noqa: PLC0415

    for name in installed.__all__:
        assert getattr(installed, name).__name__ == name
    schema = compile_proto((examples / "protos" / "iris.proto").read_bytes(), False)
    assert schema.operations, "the proto has no operation"


def files(package: Path) -> None:
    """The jars are whole, the locks are there, and types are told to who uses the package."""
    jars = sorted(package.rglob("*.jar"))
    assert {jar.name for jar in jars} >= {"flat_engine.jar", "jar_calls.jar", "mojos.jar"}
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            assert archive.testzip() is None, f"{jar} is damaged"
    for name in (
        "local/locks/h2o-genmodel.lock",
        "local/locks/kafka.lock",
        "packages/sklearn/locks/1.9.lock",
        "console/static/console.js",
        "py.typed",
    ):
        assert (package / name).is_file(), f"{name} is missing"


def scores(examples: Path) -> None:
    """A model host starts, loads a MOJO and scores a row."""
    rows = (examples / "data" / "iris.csv").read_text(encoding="utf-8").splitlines()[:2]
    with tempfile.TemporaryDirectory() as folder:
        row = Path(folder, "row.csv")
        row.write_text("\n".join(line.rpartition(",")[0] for line in rows) + "\n", encoding="utf-8")
        os.environ["HOTSWAP_CACHE"] = folder
        model, proto = examples / "models" / "iris_gbm.zip", examples / "protos" / "iris.proto"
        said = hotswap("score", str(row), "--model", str(model), "--proto", str(proto), "--format", "csv")
    assert "setosa" in said, said


def served(*extras: str) -> None:
    """The console's pages are there and compile; without the extra, the command says what to install."""
    if "gateway" not in extras:
        said = hotswap("gateway", "iris", codes=(2, 3))
        assert "hotswap[gateway]" in said, said
        return
    from hotswap.console.pages import Pages  # noqa: PLC0415 - an extra

    templates = Pages({}, is_changing=False)._templates
    for template in templates.list_templates():
        templates.get_template(template)
    assert "fleet.html" in templates.list_templates()


if __name__ == "__main__":
    main(*sys.argv[1:])
