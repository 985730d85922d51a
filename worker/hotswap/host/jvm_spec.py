"""Finds the JVM for a model host's child: a Java, and the jars and options of its kind of model."""

from functools import cache

from hotswap.errors import StartError, SwapCode, SwapError
from hotswap.host.order import Ground
from hotswap.host.sandbox import AUTO, Sandbox
from hotswap.local.jvm import Java, find_java
from hotswap.runtimes.kinds import runtime_of


def make_ground(kind: str, heap_mb: int, sandbox: Sandbox = AUTO) -> Ground:
    """Find the Java, jars and options for this kind of model; may download jars. Raises SwapError."""
    runtime = runtime_of(kind)
    if runtime.lack:
        raise SwapError(SwapCode.KIND_MISSING, runtime.lack)
    java, classpath = _java(kind)
    if heap_mb < runtime.least_heap_mb:
        raise SwapError(
            SwapCode.HOST_FAILED,
            f"kind {kind} needs a heap of at least {runtime.least_heap_mb} MiB, but HOTSWAP_HOST_HEAP_MB is {heap_mb}: "
            "raise it",
        )
    modules = (f"--add-modules={name}" for name in runtime.java_modules if java.has_module(name))
    return Ground(
        kind=kind,
        heap_mb=heap_mb,
        jvm_library=str(java.library),
        jvm_options=(*runtime.jvm_options, *modules),
        classpath=classpath,
        java_files=_files_of(java),
        sandbox=sandbox,
    )


@cache
def _java(kind: str) -> tuple[Java, tuple[str, ...]]:
    runtime = runtime_of(kind)
    try:
        return find_java(), tuple(map(str, runtime.jars()))
    except StartError as error:
        raise SwapError(SwapCode.HOST_FAILED, str(error)) from error


@cache
def _files_of(java: Java) -> tuple[str, ...]:
    """Return the folder of a Java and the targets of links in it: distributions put its configuration in /etc."""
    home = java.library.resolve().parents[2]
    links = {entry.resolve() for part in ("conf", "lib") for entry in (home / part).rglob("*") if entry.is_symlink()}
    return (str(home), *sorted(str(target) for target in links if not target.is_relative_to(home)))
