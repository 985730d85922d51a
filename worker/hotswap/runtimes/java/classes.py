"""The classes of a jar: one class loader over the whole artifact, and Java's errors explained.

The artifact is a jar, or a zip or folder with several (the model's and its libraries', at any depth); all of them are
then on the class path, after the artifact's own classes. The worker's own class path is not visible.
"""

import os
import re
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import IO, Any, Final

import jpype

from hotswap.errors import ModelError, SwapCode, SwapError

_SHOWN: Final = 20
_LONGEST: Final = 2_000
_SEARCHED: Final = 2_000
_FIRST_JAVA: Final = 44  # a class file's version is its Java's version plus 44
_JDK: Final = re.compile(r"(java|javax|jdk|sun|org\.jpype)\.|hotswap\.java\.Jar")  # and what calls the model


@cache
def java(name: str) -> Any:
    """Return a class of the JVM's class path by its full name."""
    return jpype.JClass(name)


class _Here(threading.local):
    """The calling thread as a java.lang.Thread: models are loaded in one thread and score in another."""

    def __init__(self) -> None:
        self.thread = java("java.lang.Thread").currentThread()


@dataclass(frozen=True, slots=True)
class JavaType:
    """A type in a signature: its class (java.lang.Class) and its type arguments."""

    raw: Any
    arguments: tuple["JavaType", ...] = ()

    def __str__(self) -> str:
        """Return it without packages: `List<double[]>`."""
        inner = f"<{', '.join(map(str, self.arguments))}>" if self.arguments else ""
        return str(self.raw.getSimpleName()) + inner

    @property
    def name(self) -> str:
        """The class's full name."""
        return str(self.raw.getName())

    @property
    def component(self) -> "JavaType":
        """The element type of an array or a collection; Object if it is not declared."""
        if self.raw.isArray():
            return JavaType(self.raw.getComponentType(), self.arguments)
        return self.arguments[-1] if self.arguments else JavaType(java("java.lang.Object").class_)

    def takes(self, name: str) -> bool:
        """Return whether a value of the class `name` is assignable to it."""
        return bool(self.raw.isAssignableFrom(java(name).class_))


def type_of(declared: Any) -> JavaType:
    """Convert a java.lang.reflect.Type; a type variable or wildcard becomes its upper bound."""
    if isinstance(declared, java("java.lang.reflect.ParameterizedType")):
        return JavaType(declared.getRawType(), tuple(map(type_of, declared.getActualTypeArguments())))
    if isinstance(declared, java("java.lang.reflect.GenericArrayType")):
        inner = type_of(declared.getGenericComponentType())
        array = java("java.lang.reflect.Array").newInstance(inner.raw, 0)
        return JavaType(array.getClass(), inner.arguments)
    if isinstance(declared, java("java.lang.reflect.WildcardType")):
        return type_of(declared.getUpperBounds()[0])
    if isinstance(declared, java("java.lang.reflect.TypeVariable")):
        bound = declared.getBounds()[0]  # its type arguments may refer to the variable itself
        is_generic = isinstance(bound, java("java.lang.reflect.ParameterizedType"))
        return JavaType(bound.getRawType()) if is_generic else type_of(bound)
    return JavaType(declared)


class Classes:
    """The classes of an artifact, loaded by their own class loader, which is the only one that the model sees."""

    def __init__(self, path: Path, *, has_class_path: bool = False) -> None:
        """Open the artifact; with `has_class_path` it also sees this JVM's class path, not only Java's own classes.

        Raises SwapError MODEL_INVALID if it is not a jar.
        """
        self._path = path
        self._jars = [Path(jar) for jar in _find_jars(path)]
        url = java("java.net.URL")
        urls = [java("java.io.File")(os.fspath(jar)).toURI().toURL() for jar in [path, *self._jars]]
        loaders = java("java.lang.ClassLoader")
        above = loaders.getSystemClassLoader() if has_class_path else loaders.getPlatformClassLoader()
        self.loader: Final = java("java.net.URLClassLoader")(jpype.JArray(url)(urls), above)
        self._here = _Here()
        self.enter()

    def enter(self) -> None:
        """Set this thread's context class loader, so that lookups through it find the jar's classes."""
        self._here.thread.setContextClassLoader(self.loader)

    @cached_property
    def names(self) -> Sequence[str]:
        """The top-level classes, the model's own before its libraries'."""
        return list(dict.fromkeys(name for entry in [self._path, *self._jars] for name in _class_names(entry)))

    @cached_property
    def main(self) -> str | None:
        """The Main-Class of the first manifest that names one, or None."""
        for entry in [self._path, *self._jars]:
            text = _read(entry, "META-INF/MANIFEST.MF").decode(errors="replace")
            match = re.search(r"^Main-Class:\s*(\S+)", re.sub(r"\r?\n ", "", text), re.MULTILINE)
            if match:
                return match[1]
        return None

    def load(self, name: str) -> Any:
        """Load and initialize a public class. Raises SwapError MODEL_INVALID with the reason if that fails."""
        try:
            loaded = java("java.lang.Class").forName(name, True, self.loader)
            loaded.getMethods()  # resolves the classes in its signatures
        except jpype.JException as error:
            if isinstance(error, java("java.lang.ClassNotFoundException")) and name in str(error.getMessage()):
                there = shown(self.names) or "none"
                raise SwapError(
                    SwapCode.MODEL_INVALID, f"the jar has no class `{name}`; the classes are: {there}"
                ) from None
            raise SwapError(SwapCode.MODEL_INVALID, f"class {name} cannot be loaded: {explain(error)}") from error
        if not java("java.lang.reflect.Modifier").isPublic(loaded.getModifiers()):
            raise SwapError(SwapCode.MODEL_INVALID, f"class {name} is not public: declare it `public class`")
        return loaded

    def with_method(self, methods: Sequence[str]) -> list[str]:
        """Return the public classes with a public method of one of these names; only the main class if it has one."""
        if self.main and self._has_method(self.main, methods):
            return [self.main]
        names = self.names if len(self.names) <= _SEARCHED else ()
        return [name for name in names if self._has_method(name, methods)]

    def _has_method(self, name: str, methods: Sequence[str]) -> bool:
        """Return whether a public class has such a method, without running any of its code."""
        try:
            loaded = self.loader.loadClass(name)
            is_public = java("java.lang.reflect.Modifier").isPublic(loaded.getModifiers())
            return bool(is_public) and any(str(one.getName()) in methods for one in loaded.getMethods())
        except jpype.JException:
            return False  # usually an optional part of a library


def call(function: Any, *arguments: Any) -> Any:
    """Call the model through java.lang.reflect: a method's `invoke`, or a constructor's `newInstance`.

    Raises ModelError with the exception explained; MemoryError if Java is out of memory.
    """
    try:
        return function(*arguments)
    except jpype.JException as error:
        raise ModelError(f"the model raised {explain(error)}") from error


def explain(error: Any) -> str:
    """Describe a Java exception: its class, its message, and where in the jar it was raised.

    Raises MemoryError if Java is out of memory: a process that cannot even start a thread must not go on.
    """
    # Our own call adds one; a jar that uses reflection adds more.
    while isinstance(error, java("java.lang.reflect.InvocationTargetException")) and error.getCause() is not None:
        error = error.getCause()
    if isinstance(error, java("java.lang.OutOfMemoryError")):
        raise MemoryError(str(error))  # noqa: TRY004 - it is not a type check
    if isinstance(error, java("java.lang.ExceptionInInitializerError")) and error.getCause() is not None:
        return f"its static initializer raised {explain(error.getCause())}"
    try:
        text = str(error.toString())[:_LONGEST]
    except jpype.JException:
        text = str(error.getClass().getName())
    if isinstance(error, java("java.lang.UnsupportedClassVersionError")):
        return _explain_version(text)
    if isinstance(error, (java("java.lang.NoClassDefFoundError"), java("java.lang.ClassNotFoundException"))):
        text += " (a class that it needs is missing: put the library's jar beside the model's into one zip)"
    frames = [str(frame) for frame in error.getStackTrace()]
    own = next((frame for frame in frames if not _JDK.match(frame.rpartition("/")[2])), "")
    return text + (f", at {own.rpartition('/')[2]}" if own else "")


def _explain_version(text: str) -> str:
    needs = re.search(r"class file version (\d+)", text)
    if not needs:
        return text
    here = java("java.lang.System").getProperty("java.specification.version")
    return (
        f"it was compiled for Java {int(needs[1]) - _FIRST_JAVA}, but the workers run Java {here}: compile it for that"
    )


def shown(names: Sequence[str]) -> str:
    """Join names for people to read, at most 20 of them."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def keep_file(content: IO[bytes], suffix: str) -> tuple[str, Callable[[], None]]:
    """Store bytes where Java can open them by a path; return the path, and the function that releases it.

    The file is in memory if the system supports that, so that nothing is left behind however this process ends. It
    cannot be in the host's own folder, which is removed once the host is ready.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("hotswap")
        with open(descriptor, "wb", closefd=False) as file:
            shutil.copyfileobj(content, file)
        return f"/proc/self/fd/{descriptor}", partial(os.close, descriptor)
    with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as kept:
        shutil.copyfileobj(content, kept)
    return kept.name, partial(os.unlink, kept.name)


def _find_jars(path: Path) -> Iterator[str]:
    """Yield the jars inside: a class loader cannot read a jar in a jar, and reopens its files by path at any time."""
    if path.is_dir():
        yield from map(os.fspath, sorted(path.rglob("*.jar")))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".jar"):
                    with archive.open(name) as content:
                        jar = keep_file(content, ".jar")[0]
                    if not zipfile.is_zipfile(jar):
                        raise SwapError(SwapCode.MODEL_INVALID, f"{name} in the artifact is not a jar, or is damaged")
                    yield jar
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact is neither a jar nor a zip of jars: {error}") from error


def _class_names(entry: Path) -> Iterator[str]:
    if entry.is_dir():
        files = [path.relative_to(entry).as_posix() for path in sorted(entry.rglob("*.class"))]
    else:
        with zipfile.ZipFile(entry) as archive:
            files = archive.namelist()
    for file in files:
        name = file.removesuffix(".class")
        if name != file and "$" not in name and not file.startswith("META-INF/") and "-info" not in name:
            yield name.replace("/", ".")


def _read(entry: Path, name: str) -> bytes:
    if entry.is_dir():
        return (entry / name).read_bytes() if (entry / name).is_file() else b""
    with zipfile.ZipFile(entry) as archive:
        return archive.read(name) if name in archive.namelist() else b""
