"""Environments of Python models: each made once from a lock with hashes, verified before each use, and shared."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hotswap.artifacts.cache import Cache
from hotswap.environments.build import Builds, unkept
from hotswap.environments.interpreters import Interpreters, wanted_version
from hotswap.environments.lock import read_lock
from hotswap.environments.needed import NeededEnvironments
from hotswap.environments.recipe import EnvironmentRequest, Recipe, recipe_of
from hotswap.errors import SwapCode, SwapError
from hotswap.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A Python, and a folder of packages for it, which stays as it is until it is released."""

    python: Path
    """The Python's program."""
    site: Path
    """The folder to put on `sys.path`; empty if the model needs no packages."""
    reads: tuple[str, ...]
    """Absolute paths that a sandbox must allow it to read, beside the system's libraries."""
    digest: str
    """Its name in the cache, which says what it is made from: 64 hexadecimal digits."""
    version: str
    """The Python's full version."""


class Environments:
    """The environments of a worker, in a cache that all workers of a machine share. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.environments
        self._needed = NeededEnvironments.beside(self._root)
        self._cache = Cache(self._root, max_bytes=settings.cache_max_bytes, needed=self._needed.names)
        self._interpreters = Interpreters(settings.pythons)
        log = {"level": settings.log_level, "style": settings.log_format}
        self._builds = Builds(log, self._cache.sweep)
        self._recipes: dict[str, Recipe] = {}

    async def prepare(self, folder: Path, version: str | None = None) -> Environment:
        """Return the environment of the model in `folder`, verified; it is made if it is not in the cache.

        `version`: the Python to use, such as "3.12"; "": the first one of HOTSWAP_PYTHONS; None: what the model's file
        `.python-version` says. The environment stays until as many `release` calls name it. Cancelled, it leaves no
        process at once, and no files soon.

        Raises SwapError: ENVIRONMENT_INVALID (its lock, its Python, its packages), KIND_MISSING (no uv), CACHE_FAILED
        (this machine's disk), HOST_FAILED (the sandbox is required, and impossible here).
        """
        recipe = await asyncio.to_thread(self._recipe, folder, version)
        site = await self._have(recipe)
        self._recipes[recipe.name] = recipe
        return Environment(
            python=Path(recipe.python),
            site=site,
            reads=(*recipe.reads, str(site)),
            digest=recipe.name,
            version=recipe.version,
        )

    async def verify(self, environment: Environment) -> None:
        """Verify that a prepared environment is unchanged; otherwise make it again, in the same place.

        Call it before each later use. Raises SwapError as `prepare` does.
        """
        self._cache.release(await self._have(self._recipes[environment.digest]))

    def release(self, environment: Environment) -> None:
        """Undo one `prepare`: an environment that no worker uses or needs may be pruned."""
        self._cache.release(environment.site)

    async def keep(self, owner: str, environments: Iterable[str]) -> None:
        """Keep these environments, by their digests, from being pruned for 30 days, in place of the owner's last ones.

        `owner`: the consumer group. Call it when they change, and at each start. Raises SwapError CACHE_FAILED.
        """
        with self._kept():
            await asyncio.to_thread(self._needed.keep, owner, list(environments))

    async def stop(self) -> None:
        """Wait until cancelled ones have left nothing behind, for 5 s at most."""
        await self._builds.stop()

    def _recipe(self, folder: Path, version: str | None) -> Recipe:
        lock = read_lock(folder)
        interpreter = self._interpreters.find(wanted_version(folder) if version is None else version)
        return recipe_of(lock, interpreter, folder)

    async def _have(self, recipe: Recipe) -> Path:
        """Return the folder of packages, verified, and held. Raises SwapError."""
        request = EnvironmentRequest(
            recipe=recipe,
            root=str(self._root),
            cache_max_bytes=self._settings.cache_max_bytes,
            max_bytes=self._settings.environment_max_bytes,
            index=self._settings.python_index or "",
            sandbox=self._settings.sandbox,
        )
        async with self._builds.build(request):
            # The process still holds it, so nobody can be removing it, and this does not block.
            with self._kept():
                if path := self._cache.get(recipe.name):
                    return path
        raise SwapError(SwapCode.CACHE_FAILED, unkept(self._root, "files were removed from it by hand"))

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SwapError(SwapCode.CACHE_FAILED, unkept(self._root, error.strerror or str(error))) from error
