"""Podman with images of its own, which go with it: a base from debootstrap, builds of ops/Dockerfile, containers."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.fleet import ROOT

BASE = "localhost/hotswap-base:proof"
_SUITE = "bookworm"
_LARGE = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
"""What a base has no need of, besides the packages."""
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_LIMITS = ("--ulimit", "nofile=8192:8192", "--ulimit", "nproc=4096:4096")
"""The engine's own would be above what a machine allows."""
_OF_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
_FILTER = Path("/usr/share/containers/seccomp.json")
_NAMESPACES = ("clone", "clone3", "setns", "unshare")
_PROGRAMS = ("podman", "runc", "debootstrap")
"""What is needed, each in Debian's package of that name."""


def missing() -> list[str]:
    """Return what this machine lacks to build images and to run them."""
    lacks = [] if sys.platform == "linux" else ["Linux"]
    lacks += [] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["root: sudo make image-proof"]
    packages = " ".join(program for program in _PROGRAMS if not shutil.which(program))
    return lacks + ([f"{packages}: apt-get install --no-install-recommends {packages}"] if packages else [])


class Engine:
    """Podman, in a folder of its own; `run` is any of its commands."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hs-image-", dir="/var/tmp"))
        places = (f"--root={self._folder / 'images'}", f"--runroot={self._folder / 'run'}")
        how = ("--storage-driver=overlay", "--runtime=runc", "--cgroup-manager=cgroupfs")
        self._podman = ("podman", *places, *how)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run("rm", "--all", "--force", "--time", "0")
        self.run("image", "umount", "--all")
        shutil.rmtree(self._folder)

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command of podman, and return what it printed.

        Raises:
            RuntimeError: it failed; the message is its output.

        """
        # Checks of health run when they are asked for, and not at the times of systemd, which may not be here.
        environment = os.environ | {"DISABLE_HC_SYSTEMD": "true"}
        command = [*self._podman, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        if check and done.returncode:
            raise RuntimeError(
                f"podman {words[0]}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        return done.stdout

    def make_base(self, kept: Path) -> None:
        """Make the base: Debian's smallest system with its Python; it is kept as an archive for the next run."""
        if not kept.exists():
            tree = self._folder / "base"
            wanted = ("--variant=minbase", "--include=python3,python3-venv,ca-certificates", _SUITE)
            with (self._folder / "debootstrap.log").open("wb") as log:
                subprocess.run(["debootstrap", *wanted, str(tree)], stdout=log, stderr=log, check=True)
            for large in _LARGE:
                shutil.rmtree(tree / large)
                (tree / large).mkdir()
            kept.parent.mkdir(exist_ok=True)
            with tarfile.open(kept.with_suffix(".new"), "w") as archive:
                archive.add(tree, ".")
            kept.with_suffix(".new").replace(kept)
            shutil.rmtree(tree)
        self.run("import", str(kept), BASE)

    def build(self, target: str, tag: str, **arguments: str) -> None:
        """Build a target of ops/Dockerfile from scratch, with no time of today in it."""
        given = [f"--build-arg={name}={value}" for name, value in ({"BASE": BASE} | arguments).items()]
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
            settings.write(_settings_of_pip())
            settings.flush()
            seen = [f"--volume={settings.name}:/etc/pip.conf:ro"]
            seen += [f"--volume={_TRUSTED}:{_TRUSTED}:ro"] * _TRUSTED.exists()
            how = ("--isolation=chroot", "--network=host", "--format=docker", "--timestamp=0", "--no-cache")
            what = (f"--target={target}", f"--tag={tag}", "--ignorefile=ops/Dockerfile.dockerignore")
            self.run("build", *how, *_LIMITS, *seen, *given, *what, "--file=ops/Dockerfile", ".")

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what podman knows of an image or a container."""
        return dict(json.loads(self.run("inspect", name))[0])

    def mounted(self, image: str) -> Path:
        """Return the folder in which an image's files can be read."""
        return Path(self.run("image", "mount", image).strip())

    def start(self, name: str, image: str, *command: str, options: tuple[str, ...] = (), **environment: str) -> int:
        """Start a container as a restricted pod would; return the process id of its first process.

        A read-only root, the image's own numeric user, no capabilities, no new privileges, a filter of system calls; on
        this machine's network, since Kafka is there.
        """
        given = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
        (rules := self._folder / "filter.json").write_text(json.dumps(_filter_of_pods()), encoding="utf-8")
        restricted = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges")
        restricted += (f"--security-opt=seccomp={rules}",)
        self.run(
            "run",
            "--detach",
            "--name",
            name,
            "--network=host",
            *_LIMITS,
            *restricted,
            *options,
            *given,
            image,
            *command,
        )
        return int(self.inspect(name)["State"]["Pid"])


def _filter_of_pods() -> dict[str, Any]:
    """Return podman's filter of system calls, less what Docker's and containerd's refuse a pod: namespaces.

    Source: moby's profiles/seccomp/default.json: `clone` only where its flags ask for no namespace, `clone3` as ENOSYS,
    `setns` and `unshare` with CAP_SYS_ADMIN only.
    """
    profile = json.loads(_FILTER.read_text(encoding="utf-8"))
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in _NAMESPACES]
    flags = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    allowed = {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]}
    unknown = {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}
    profile["syscalls"] = [*(rule for rule in profile["syscalls"] if rule["names"]), allowed, unknown]
    return dict(profile)


def _settings_of_pip() -> str:
    """Return a pip.conf with this machine's settings: where packages come from, and whom it trusts."""
    settings: dict[str, str] = {}
    if pip := shutil.which("pip3") or shutil.which("pip"):
        done = subprocess.run([pip, "config", "list"], capture_output=True, text=True, check=True)
        found = (line.partition("=") for line in done.stdout.splitlines())
        told = {name.rpartition(".")[2]: value.strip("'") for name, _, value in found}
        settings = {name: value for name, value in told.items() if name in _OF_PIP}
    if _TRUSTED.exists():
        settings["cert"] = str(_TRUSTED)
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""])
