"""The kinds of model that a host can hold: which module loads each, on which jars, with which options of the JVM."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from worker.errors import SwapError
from worker.generation import Configuration
from worker.jvm import fetch_jars


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A library that scores models of one kind.

    `module` has `load(path, configuration)`, which gives a `host.scorer.Model`; only the host's process imports it.
    `jars` finds or fetches what it runs on (StartError).
    """

    module: str
    jars: Callable[[], Sequence[Path]]
    jvm_options: tuple[str, ...] = ()

    def load(self, path: Path, configuration: Configuration) -> Any:
        """Load a model into this process's JVM. Raises SwapError where it is no model of this kind."""
        return importlib.import_module(self.module).load(path, configuration)


_RUNTIMES: Final = {
    "h2o": Runtime(module="worker.runtimes.h2o", jars=partial(fetch_jars, "h2o-genmodel")),
    "java": Runtime(module="worker.runtimes.java", jars=tuple),
}


def kinds() -> list[str]:
    """Give the kinds that have a runtime here."""
    return list(_RUNTIMES)


def runtime_of(kind: str) -> Runtime:
    """Give the runtime of a kind. Raises SwapError MODEL_UNSUPPORTED where there is none, with those there are."""
    if kind not in _RUNTIMES:
        raise SwapError("MODEL_UNSUPPORTED", f"there is no runtime `{kind}`; the runtimes are: {', '.join(_RUNTIMES)}")
    return _RUNTIMES[kind]
