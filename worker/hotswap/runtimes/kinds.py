"""The kinds of model that a host can hold: which module loads each, on which jars, with which options of the JVM."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.local.jvm import fetch_jars, installed_jars


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A library that scores models of one kind.

    `module` has `load(path, configuration)`, which gives a `host.dispatcher.LoadedModel`; only the host imports it.
    It may have `prepare()`, which does what takes long before the model is known, for a standby. `jars` finds or
    fetches what it runs on (StartError). `java_modules` are used where this Java has them. `least_heap_mb`: Java's
    heap, MiB.
    `needs_folder`: its host keeps the folder that it started in, Java's temporary one, while it serves.
    `is_stateless`: a model of it leaves nothing behind in a process, so a standby may be prewarmed on one before it
    has its own.
    """

    module: str
    jars: Callable[[], Sequence[Path]]
    jvm_options: tuple[str, ...] = ()
    java_modules: tuple[str, ...] = ()
    least_heap_mb: int = 0
    needs_folder: bool = False
    is_stateless: bool = False

    def load(self, path: Path, configuration: Configuration) -> Any:
        """Load a model into this process's JVM. Raises SwapError where it is no model of this kind."""
        return importlib.import_module(self.module).load(path, configuration)

    def prepare(self) -> None:
        """Get this process as ready for a model of this kind as it can be without one."""
        module = importlib.import_module(self.module)
        if hasattr(module, "prepare"):
            module.prepare()


# What Spark's own launcher opens to it (org.apache.spark.launcher.JavaModuleOptions).
_SPARK_OPENS: Final = (
    *(f"java.base/java.{name}" for name in ("io", "lang", "lang.invoke", "lang.reflect", "net", "nio", "util")),
    *(f"java.base/java.util.{name}" for name in ("concurrent", "concurrent.atomic")),
    *(f"java.base/{name}" for name in ("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action")),
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)
_SPARK: Final = Runtime(
    module="hotswap.runtimes.spark.runtime",
    jars=partial(installed_jars, "pyspark", "spark"),
    jvm_options=(
        *(f"--add-opens={place}=ALL-UNNAMED" for place in _SPARK_OPENS),
        "-Djdk.reflect.useDirectMethodHandle=false",
        "-Dio.netty.tryReflectionSetAccessible=true",
    ),
    # With it Spark adds products in another order: without it the last bits are not those of a cluster.
    java_modules=("jdk.incubator.vector",),
    least_heap_mb=512,  # Spark's own bound
    needs_folder=True,  # what its jobs say to each other
)
_RUNTIMES: Final = {
    "h2o": Runtime(
        module="hotswap.runtimes.h2o.runtime",
        jars=lambda: [Path(__file__).parent / "h2o" / "flat_rows.jar", *fetch_jars("h2o-genmodel")],
        is_stateless=True,
    ),
    "java": Runtime(module="hotswap.runtimes.java.runtime", jars=tuple, needs_folder=True),
    "spark": _SPARK,
    "spark-jar": replace(_SPARK, module="hotswap.runtimes.spark.jar"),
}


def kinds() -> list[str]:
    """Give the kinds that have a runtime here."""
    return list(_RUNTIMES)


def runtime_of(kind: str) -> Runtime:
    """Give the runtime of a kind. Raises SwapError MODEL_UNSUPPORTED where there is none, with those there are."""
    if kind not in _RUNTIMES:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED, f"there is no runtime `{kind}`; the runtimes are: {', '.join(_RUNTIMES)}"
        )
    return _RUNTIMES[kind]
