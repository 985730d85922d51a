"""What an environment is made from, and thus its name in the cache."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hotswap.environments.interpreters import Interpreter
from hotswap.environments.lock import Lock

_VERSION: Final = 1
"""Of the way in which environments are made: another one makes all anew."""
WHEELS: Final = "wheels"
"""The folder of a model that has its packages, where `hotswap pack --vendor` put them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to install, and for which Python; values that JSON has, since another process works by it."""

    name: str
    """The name of the environment in the cache: 64 hexadecimal digits."""
    requirements: str
    """The canonical text of the lock; empty: nothing to install."""
    file: str
    """The file of the model that has the lock, for messages."""
    python: str
    """The path of the Python's program."""
    version: str
    """Its full version."""
    reads: tuple[str, ...]
    """What that Python must be able to read."""
    wheels: str
    """The folder with the model's own wheels, which are then the only ones; empty: the packages come from an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRequest:
    """A recipe, and what the process that makes an environment needs of the worker's settings."""

    recipe: Recipe
    root: str
    """The folder of the cache."""
    cache_max_bytes: int
    max_bytes: int
    """Largest environment."""
    index: str
    """URL of the index, perhaps with user info; empty: PyPI."""
    sandbox: Literal["auto", "require", "off"]


def recipe_of(lock: Lock, interpreter: Interpreter, folder: Path) -> Recipe:
    """Return the recipe for the model in `folder`."""
    wheels = folder / WHEELS
    identity = json.dumps([_VERSION, lock.digest, interpreter.digest])
    return Recipe(
        name=hashlib.sha256(identity.encode()).hexdigest(),
        requirements=lock.text,
        file=lock.file,
        python=str(interpreter.path),
        version=interpreter.version,
        reads=interpreter.reads,
        wheels=str(wheels.absolute()) if wheels.is_dir() else "",
    )
