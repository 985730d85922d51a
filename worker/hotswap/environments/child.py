"""Makes an environment in a process that can be killed: an index may hang, and a blocked thread cannot be ended.

    python -m hotswap.environments.child FD PARENT LOG

FD is its end of a socket pair, which carries lines of JSON: the request to it; `{}` back once the environment is in the
cache, verified, or the SwapError; it then holds the entry until the connection is closed, by when the worker does. The
index, whose URL may have a password, comes with the request, since everybody may read a command line. It ends when the
worker closes the connection or dies, and takes with it what it has started, as the worker does by its process group.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hotswap import logs
from hotswap.artifacts.cache import Cache
from hotswap.environments.install import install
from hotswap.environments.manifest import find_fault
from hotswap.environments.needed import NeededEnvironments
from hotswap.environments.recipe import EnvironmentRequest, Recipe
from hotswap.errors import SwapError
from hotswap.local import system
from hotswap.local.lifeline import die_with

_NICE: Final = 10  # below what scores
_UNKEPT: Final = "CACHE_FAILED"


def main() -> None:
    """Make one environment."""
    descriptor, parent = map(int, sys.argv[1:3])
    die_with(parent)
    logs.set_up(**json.loads(sys.argv[3]))
    os.nice(_NICE)
    with (
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
        socket.socket(fileno=descriptor) as connection,
    ):
        lines = connection.makefile("rb")
        asked = json.loads(lines.readline())
        connection.sendall(
            json.dumps(_answer(EnvironmentRequest(**asked | {"recipe": Recipe(**asked["recipe"])}))).encode() + b"\n"
        )
        lines.readline()


def _answer(request: EnvironmentRequest) -> dict[str, str]:
    try:
        provide(request)
    except SwapError as error:
        return {"code": error.code, "message": error.message}
    except OSError as error:
        return {"code": _UNKEPT, "message": error.strerror or str(error)}
    return {}


def provide(request: EnvironmentRequest) -> None:
    """Have the environment in the cache, verified, and hold it there until this process ends; blocks.

    Raises SwapError as `install` does, and OSError.
    """
    root, name = Path(request.root), request.recipe.name
    cache = Cache(root, max_bytes=request.cache_max_bytes, needed=NeededEnvironments.beside(root).names)
    cache.sweep()
    if _have(cache, name):
        return
    with _turn(root, name):
        # Another worker may have made it while this one waited.
        if not _have(cache, name):
            cache.put(name, lambda folder: install(folder, request))


def _have(cache: Cache, name: str) -> bool:
    return cache.check(name, find_fault) and cache.get(name) is not None


@contextlib.contextmanager
def _turn(root: Path, name: str) -> Iterator[None]:
    """Wait while another process makes this environment; when that dies, the kernel gives its turn to the next one.

    The lock is on a folder that any worker removes as a leftover once nobody has it locked (`Cache.sweep`).
    """
    folder = root / f".making-{name}"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = system.open_folder(folder)
        except FileNotFoundError:
            continue
        with contextlib.ExitStack() as ends:
            ends.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_still(folder, descriptor):
                continue
            ends.callback(_remove, folder)  # before it is unlocked
            yield
            return


def _is_still(folder: Path, descriptor: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    return False


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


if __name__ == "__main__":
    main()
