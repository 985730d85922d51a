"""What users install: the wheel, built here, in an environment without this checkout."""

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness.fleet import ROOT

# Only its folders, not its .pth files, so that an editable installation is not visible.
_LIBRARIES = sysconfig.get_path("purelib")
_HEAVY = {"aiokafka", "numpy", "pydantic", "google.protobuf", "rich"}


class Installed:
    """An environment with the wheel; its dependencies are taken from this environment."""

    def __init__(self, folder):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=ROOT)
        (wheel,) = (folder / "dist").glob("*.whl")
        run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
        self.bin = folder / "env" / "bin"
        self.site = Path(run(self.bin / "python", "-c", "import site; print(site.getsitepackages()[0])", cwd=folder))
        before = {path.name for path in self.site.iterdir()}
        run(self.bin / "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
        self.added = {path.name for path in self.site.iterdir()} - before
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": _LIBRARIES}

    def python(self, code):
        return run(self.bin / "python", "-c", code, cwd=self.folder, env=self.environment)

    def hotswap(self, *words, **settings):
        return run(self.bin / "hotswap", *words, cwd=self.folder, env=self.environment | settings)


def run(*command, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_installs_hotswap_and_nothing_beside_it(installed):
    (info,) = installed.added - {"hotswap"}
    assert info.startswith("hotswap-")
    assert info.endswith(".dist-info")
    assert installed.hotswap("--version").endswith(info.split("-")[1].removesuffix(".dist"))
    folder = installed.site / "hotswap"
    assert installed.python("import hotswap; print(hotswap.__file__)") == str(folder / "__init__.py")
    for name in (
        "py.typed",
        "local/locks/kafka.lock",
        "runtimes/flat/flat_engine.jar",
        "runtimes/h2o/mojos.jar",
        "runtimes/java/jar_calls.jar",
        "runtimes/spark/SparkRows.java",
        "runtimes/spark/SparkBlocks.java",
    ):
        assert (folder / name).is_file(), name


def test_every_public_name_exists(installed):
    assert installed.python("from hotswap import *; print(Client.__module__)") == "hotswap.client.client"


def test_help_and_the_package_load_no_slow_library(installed):
    script = "import sys, hotswap, hotswap.cli.main as m; m.main(['-h'], standalone_mode=False); print(*sys.modules)"
    assert not _HEAVY & set(installed.python(script).splitlines()[-1].split())


async def test_a_worker_starts_and_stops(installed, deployment):
    given = deployment.settings.model_dump(mode="json", include=deployment.settings.model_fields_set)
    settings = {f"HOTSWAP_{name.upper()}": str(value) for name, value in given.items()}
    worker = await asyncio.create_subprocess_exec(
        installed.bin / "hotswap", "run", deployment.name, cwd=installed.folder,
        env=installed.environment | settings, stderr=subprocess.PIPE,
    )  # fmt: skip
    while b"worker.started" not in (said := await worker.stderr.readline()):
        assert said, "the worker ended"
    worker.send_signal(signal.SIGTERM)
    await worker.communicate()
    assert worker.returncode == 0
