"""The kinds of model that a host can load: the module, the jars and the JVM options of each."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.local.jvm import fetch_jars, installed_jars


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A library that scores models of one kind.

    `module` has `load(path, configuration)`, which returns a `host.dispatcher.LoadedModel`; only the host imports it.
    It may have `prepare()`, which does the slow work that does not depend on the model, for a warm standby, and
    `versions(model)`, see there; without it, they are those of `packages`, which scoring then has imported. `jars`
    finds or downloads the jars (raises StartError). `java_modules` are added if the Java at hand has them.
    `packages`: the Python packages that it needs, which hotswap's extra `extra` installs.
    `least_heap_mb`: the minimum Java heap, MiB.
    `needs_folder`: its host keeps the folder that it started in, which is Java's temporary one, while it serves.
    `needs_loopback`: it talks to itself over the loopback interface.
    `is_stateless`: its models leave no state in the process, so a standby may prewarm on one model and then load
    another.
    `is_ours`: its models are data, and bring no code, or run it in a guest: what its host runs is ours.
    `has_guest`: its models are run by an interpreter of their own (host/guest.py), which `load` gets.
    `refuses_pickles`: nor may they be, or have, files that only run as they are read (artifacts/pickles.py).
    """

    module: str
    jars: Callable[[], Sequence[Path]]
    packages: tuple[str, ...] = ()
    extra: str = ""
    jvm_options: tuple[str, ...] = ()
    java_modules: tuple[str, ...] = ()
    least_heap_mb: int = 0
    needs_folder: bool = False
    needs_loopback: bool = False
    is_stateless: bool = False
    is_ours: bool = False
    has_guest: bool = False
    refuses_pickles: bool = False

    @property
    def lack(self) -> str:
        """Why no model of this kind can be loaded by this installation, for a person; empty if one can."""
        missing = [package for package in self.packages if importlib.util.find_spec(package) is None]
        what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed here"
        return f"{what}: install hotswap[{self.extra}] on every worker" if missing else ""

    def load(self, path: Path, configuration: Configuration, *guest: Any) -> Any:
        """Load a model into this process's JVM, or into a guest of it and its packages (`has_guest`).

        Raises SwapError: it is not a model of this kind; KIND_MISSING if a package that it needs cannot be imported.
        """
        try:
            return importlib.import_module(self.module).load(path, configuration, *guest)
        except ImportError as error:
            what = f"what this kind of model needs cannot be imported here ({error})"
            raise SwapError(SwapCode.KIND_MISSING, f"{what}: install hotswap[{self.extra}] again") from error

    def prepare(self) -> None:
        """Do everything for a model of this kind that can be done without one."""
        module = importlib.import_module(self.module)
        if hasattr(module, "prepare"):
            module.prepare()

    def versions(self, model: Any) -> str:
        """Return the versions of what scores a model that was loaded here: libraries, and the model's own format."""
        module = importlib.import_module(self.module)
        if hasattr(module, "versions"):
            return str(module.versions(model))
        return ", ".join(f"{package} {importlib.import_module(package).__version__}" for package in self.packages)


# The packages that Spark's own launcher opens (org.apache.spark.launcher.JavaModuleOptions).
_SPARK_OPENS: Final = (
    *(f"java.base/java.{name}" for name in ("io", "lang", "lang.invoke", "lang.reflect", "net", "nio", "util")),
    *(f"java.base/java.util.{name}" for name in ("concurrent", "concurrent.atomic")),
    *(f"java.base/{name}" for name in ("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action")),
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)
_HERE: Final = Path(__file__).parent
_FLAT: Final = _HERE / "flat" / "flat_engine.jar"
_SPARK: Final = Runtime(
    module="hotswap.runtimes.spark.runtime",
    jars=lambda: [_FLAT, *installed_jars("pyspark", "spark")],
    packages=("pyspark",),
    extra="spark",
    jvm_options=(
        *(f"--add-opens={place}=ALL-UNNAMED" for place in _SPARK_OPENS),
        "-Djdk.reflect.useDirectMethodHandle=false",
        "-Dio.netty.tryReflectionSetAccessible=true",
    ),
    # With it, Spark adds products in another order; without it, the last bits differ from a cluster's.
    java_modules=("jdk.incubator.vector",),
    least_heap_mb=512,  # Spark's own bound
    needs_folder=True,  # its jobs exchange files there
    needs_loopback=True,
)
_PYTHON: Final = Runtime(
    module="hotswap.runtimes.python.runtime",
    jars=lambda: [_FLAT],
    needs_folder=True,  # its models write there
    is_ours=True,
    has_guest=True,
)
_JAR_CALLS: Final = (_FLAT, _HERE / "java" / "jar_calls.jar")
_RUNTIMES: Final = {
    "h2o": Runtime(
        module="hotswap.runtimes.h2o.runtime",
        jars=lambda: [_FLAT, _HERE / "h2o" / "mojos.jar", *fetch_jars("h2o-genmodel")],
        is_stateless=True,
        is_ours=True,
    ),
    "lightgbm": Runtime(
        module="hotswap.runtimes.lightgbm.runtime",
        jars=lambda: [_FLAT],
        packages=("lightgbm",),
        extra="lightgbm",
        is_stateless=True,
        is_ours=True,
    ),
    "onnx": Runtime(
        module="hotswap.runtimes.onnx.runtime",
        jars=lambda: [_FLAT],
        packages=("onnxruntime", "onnx"),
        extra="onnx",
        is_stateless=True,
        is_ours=True,
    ),
    "xgboost": Runtime(
        module="hotswap.runtimes.xgboost.runtime",
        jars=lambda: [_FLAT],
        packages=("xgboost",),
        extra="xgboost",
        is_stateless=True,
        is_ours=True,
    ),
    "python": replace(_PYTHON, refuses_pickles=True),
    "python-pickle": _PYTHON,
    "java": Runtime(module="hotswap.runtimes.java.runtime", jars=lambda: _JAR_CALLS, needs_folder=True),
    "spark": _SPARK,
    "spark-jar": replace(
        _SPARK, module="hotswap.runtimes.spark.jar", jars=lambda: [*installed_jars("pyspark", "spark"), *_JAR_CALLS]
    ),
}


def kinds() -> list[str]:
    """Return the kinds that have a runtime."""
    return list(_RUNTIMES)


def lacks(allowed: Iterable[str]) -> dict[str, str]:
    """Return the kinds that have a runtime, each with why a worker that loads the `allowed` ones loads none of it."""
    allowed = frozenset(allowed)
    return {kind: runtime.lack if kind in allowed else not_allowed(kind) for kind, runtime in _RUNTIMES.items()}


def not_allowed(kind: str) -> str:
    """Return why a worker does not load a kind of model that its settings do not name, with advice."""
    return f"HOTSWAP_KINDS does not name {kind} here: add it on every worker, if its makers are trusted (SECURITY.md)"


def no_runtime(kind: str, known: Iterable[str]) -> str:
    """Return why a version that knows these kinds cannot load another one, with advice."""
    return f"there is no runtime `{kind}` in this version, but {', '.join(sorted(known))}: correct the kind, or upgrade"


def runtime_of(kind: str) -> Runtime:
    """Return the runtime of a kind. Raises SwapError KIND_MISSING, listing the known kinds, if there is none."""
    if kind not in _RUNTIMES:
        raise SwapError(SwapCode.KIND_MISSING, no_runtime(kind, _RUNTIMES))
    return _RUNTIMES[kind]
