"""Installs the packages of a lock into a folder, by uv, and compiles them.

Wheels only, each verified by its digest; nothing of them is run, neither now nor while they are compiled. uv gets no
configuration of this user or machine, no keyring, and of the worker's environment only the proxies and certificates.
"""

import errno
import os
import shutil
import signal
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hotswap.environments import manifest
from hotswap.environments.recipe import EnvironmentRequest, Recipe
from hotswap.environments.shut_in import CERTIFICATES, InstallerSandbox
from hotswap.environments.words import failed
from hotswap.errors import SwapCode, SwapError
from hotswap.local.lifeline import signal_name

MAX_FILES: Final = 200_000
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_COMPILE: Final = (
    *("-I", "-S", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"),
    *("-x", "/tests?/", "content"),  # tests are half of what some packages have, and models do not import them
)
_NO_SPACE: Final = "(os error 28)"


def find_uv() -> str:
    """Return the path of uv's program. Raises SwapError KIND_MISSING: it is not installed."""
    try:
        from uv import find_uv_bin  # noqa: PLC0415 - of the extra `python`

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        why = "uv, which installs the packages of Python models, is not installed here: install hotswap[python]"
        raise SwapError(SwapCode.KIND_MISSING, f"{why} on every worker") from error


def install(folder: Path, request: EnvironmentRequest) -> None:
    """Make the environment in `content` of an entry's folder, and its manifest beside it; blocks.

    Raises SwapError: ENVIRONMENT_INVALID (a package cannot be installed, or all are too large), KIND_MISSING (no uv),
    HOST_FAILED (the sandbox is required, and impossible). Raises OSError.
    """
    content, work = folder / "content", folder / "work"
    content.mkdir()
    if request.recipe.requirements:
        work.mkdir()
        _Installation(folder, request).run()
        shutil.rmtree(work)
        (folder / "said").unlink()
        (content / ".lock").unlink(missing_ok=True)  # uv's own
    manifest.write(folder)


class _Installation:
    def __init__(self, folder: Path, request: EnvironmentRequest) -> None:
        self._folder = folder
        self._request = request
        self._recipe = request.recipe
        self._uv = find_uv()
        if not self._recipe.wheels and request.index and not request.index.startswith(("http://", "https://")):
            raise SwapError(
                SwapCode.ENVIRONMENT_INVALID,
                "HOTSWAP_PYTHON_INDEX is no URL of an index: it must begin with https:// or http://",
            )
        reads = [self._uv, *self._recipe.reads, *filter(None, [self._recipe.wheels])]
        self._sandbox = InstallerSandbox(
            folder=folder,
            max_bytes=request.max_bytes,
            reads=reads,
            has_network=not self._recipe.wheels,
            mode=request.sandbox,
        )

    def run(self) -> None:
        (self._folder / "work" / "requirements.txt").write_text(self._recipe.requirements, encoding="utf-8")
        code, printed = self._run(_command(self._uv, self._recipe))
        if _NO_SPACE in printed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if code < 0:
            printed += f"\nit was killed by signal {signal_name(-code)}"
        if code:
            raise failed(self._recipe, printed, index=self._request.index)
        # What does not compile, such as a template, is left: a model that imports it would see the error.
        self._run([self._recipe.python, *_COMPILE])

    def _run(self, command: Sequence[str]) -> tuple[int, str]:
        code, printed = self._sandbox.run(command, _environment(self._folder / "work", self._request), self._watch)
        self._watch()
        if code == -signal.SIGXFSZ:
            raise self._too_large(f"{self._request.max_bytes:,} bytes", "raise HOTSWAP_ENVIRONMENT_MAX_BYTES")
        return code, printed

    def _watch(self) -> None:
        used, count = measure(self._folder)
        if used > self._request.max_bytes:
            raise self._too_large(f"{self._request.max_bytes:,} bytes", "raise HOTSWAP_ENVIRONMENT_MAX_BYTES")
        if count > MAX_FILES:
            raise self._too_large(f"{MAX_FILES:,} files", "no setting allows more")

    def _too_large(self, bound: str, remedy: str) -> SwapError:
        return SwapError(
            SwapCode.ENVIRONMENT_INVALID,
            f"the packages of {self._recipe.file} take more than the {bound} that an environment may: lock fewer or "
            f"smaller ones; {remedy}",
        )


def measure(folder: Path) -> tuple[int, int]:
    """Return the bytes and the number of the files below a folder; one with several names counts once."""
    seen: dict[int, int] = {}
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    seen[facts.st_ino] = facts.st_size
                    if stat.S_ISDIR(facts.st_mode):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # uv has removed it meanwhile
    return sum(seen.values()), len(seen)


def _command(uv: str, recipe: Recipe) -> list[str]:
    source = ["--no-index", "--offline", "--find-links", recipe.wheels] if recipe.wheels else []
    return [
        *(uv, "pip", "install", "--target", "content", "--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--no-config", "--no-python-downloads", "--cache-dir", "work/cache", "--no-progress", "--color", "never"),
        *("--python", recipe.python, "--keyring-provider", "disabled", "-r", "work/requirements.txt", *source),
    ]


def _environment(work: Path, request: EnvironmentRequest) -> dict[str, str]:
    """Return the environment of uv, and of Python; the index is in it, since everybody may read a command line."""
    kept = [name for upper in _PROXIES for name in (upper, upper.lower())] + list(CERTIFICATES)
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(work), "TMPDIR": str(work), "NO_COLOR": "1"}
    if any(Path(bundle).exists() for bundle in _BUNDLES):
        environment["UV_SYSTEM_CERTS"] = "1"  # those that the machine's owner trusts, else those that uv brings
    if request.index and not request.recipe.wheels:
        environment["UV_DEFAULT_INDEX"] = request.index
    return environment
