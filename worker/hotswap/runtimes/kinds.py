"""The kinds of model that a host can load: the module, the jars and the JVM options of each."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hotswap.errors import StartError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.local.jvm import fetch_jars, installed_jars


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A library that scores models of one kind.

    `module` has `load(path, configuration)`, which returns a `host.dispatcher.LoadedModel`; only the host imports it.
    It may have `prepare()`, which does the slow work that does not depend on the model, for a warm standby. `jars`
    finds or downloads the jars (raises StartError). `java_modules` are added if the Java at hand has them.
    `least_heap_mb`: the minimum Java heap, MiB.
    `needs_folder`: its host keeps the folder that it started in, which is Java's temporary one, while it serves.
    `needs_loopback`: it talks to itself over the loopback interface.
    `is_stateless`: its models leave no state in the process, so a standby may prewarm on one model and then load
    another.
    `is_ours`: its models are data, and bring no code: what its host runs is ours.
    """

    module: str
    jars: Callable[[], Sequence[Path]]
    jvm_options: tuple[str, ...] = ()
    java_modules: tuple[str, ...] = ()
    least_heap_mb: int = 0
    needs_folder: bool = False
    needs_loopback: bool = False
    is_stateless: bool = False
    is_ours: bool = False

    def load(self, path: Path, configuration: Configuration) -> Any:
        """Load a model into this process's JVM. Raises SwapError if it is not a model of this kind."""
        return importlib.import_module(self.module).load(path, configuration)

    def prepare(self) -> None:
        """Do everything for a model of this kind that can be done without one."""
        module = importlib.import_module(self.module)
        if hasattr(module, "prepare"):
            module.prepare()


def _with_libraries(jars: Sequence[Path], *packages: str, extra: str) -> Sequence[Path]:
    """Return the jars if these Python packages are installed. Raises StartError, naming the extra to install."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise StartError(f"{package} is not installed here: install hotswap[{extra}] on every worker")
    return jars


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
        jars=lambda: _with_libraries([_FLAT], "lightgbm", extra="lightgbm"),
        is_stateless=True,
        is_ours=True,
    ),
    "onnx": Runtime(
        module="hotswap.runtimes.onnx.runtime",
        jars=lambda: _with_libraries([_FLAT], "onnxruntime", "onnx", extra="onnx"),
        is_stateless=True,
        is_ours=True,
    ),
    "xgboost": Runtime(
        module="hotswap.runtimes.xgboost.runtime",
        jars=lambda: _with_libraries([_FLAT], "xgboost", extra="xgboost"),
        is_stateless=True,
        is_ours=True,
    ),
    "java": Runtime(module="hotswap.runtimes.java.runtime", jars=lambda: _JAR_CALLS, needs_folder=True),
    "spark": _SPARK,
    "spark-jar": replace(
        _SPARK, module="hotswap.runtimes.spark.jar", jars=lambda: [*installed_jars("pyspark", "spark"), *_JAR_CALLS]
    ),
}


def kinds() -> list[str]:
    """Return the kinds that have a runtime."""
    return list(_RUNTIMES)


def runtime_of(kind: str) -> Runtime:
    """Return the runtime of a kind. Raises SwapError MODEL_UNSUPPORTED, listing the known kinds, if there is none."""
    if kind not in _RUNTIMES:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED, f"there is no runtime `{kind}`; the runtimes are: {', '.join(_RUNTIMES)}"
        )
    return _RUNTIMES[kind]
