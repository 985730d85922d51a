"""The classes of a jar: one class loader over all that the artifact holds, and what Java's errors mean, in words.

The artifact is a jar; or a zip or a folder with several (the model's and its libraries', at any depth), and then all of
them are on the class path, behind its own classes. Nothing of the worker's own class path is.
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
_FIRST_JAVA: Final = 44  # the version of a class file is 44 more than that of its Java
_JDK: Final = re.compile(r"(java|javax|jdk|sun|org\.jpype)\.")


@cache
def java(name: str) -> Any:
    """A class of Java's own, by its full name."""
    return jpype.JClass(name)


class _Here(threading.local):
    """The thread that calls, as Java sees it: models are loaded in one and score in another."""

    def __init__(self) -> None:
        self.thread = java("java.lang.Thread").currentThread()


@dataclass(frozen=True, slots=True)
class JavaType:
    """A type as a signature writes it: its class (java.lang.Class), and what is between < and >."""

    raw: Any
    arguments: tuple["JavaType", ...] = ()

    def __str__(self) -> str:
        """`List<double[]>`: without packages."""
        inner = f"<{', '.join(map(str, self.arguments))}>" if self.arguments else ""
        return str(self.raw.getSimpleName()) + inner

    @property
    def name(self) -> str:
        """The class's full name."""
        return str(self.raw.getName())

    @property
    def component(self) -> "JavaType":
        """What an array holds, or a collection; Object where that is not said."""
        if self.raw.isArray():
            return JavaType(self.raw.getComponentType(), self.arguments)
        return self.arguments[-1] if self.arguments else JavaType(java("java.lang.Object").class_)

    def takes(self, name: str) -> bool:
        """Whether a value of the class `name` may be given for it."""
        return bool(self.raw.isAssignableFrom(java(name).class_))


def type_of(given: Any) -> JavaType:
    """The type that a java.lang.reflect.Type is; a variable and a wildcard are what they extend."""
    if isinstance(given, java("java.lang.reflect.ParameterizedType")):
        return JavaType(given.getRawType(), tuple(map(type_of, given.getActualTypeArguments())))
    if isinstance(given, java("java.lang.reflect.GenericArrayType")):
        inner = type_of(given.getGenericComponentType())
        array = java("java.lang.reflect.Array").newInstance(inner.raw, 0)
        return JavaType(array.getClass(), inner.arguments)
    if isinstance(given, java("java.lang.reflect.WildcardType")):
        return type_of(given.getUpperBounds()[0])
    if isinstance(given, java("java.lang.reflect.TypeVariable")):
        bound = given.getBounds()[0]  # its arguments may name the variable itself
        is_generic = isinstance(bound, java("java.lang.reflect.ParameterizedType"))
        return JavaType(bound.getRawType()) if is_generic else type_of(bound)
    return JavaType(given)


class Classes:
    """What a jar holds, loaded by a class loader of its own, under which alone the model then runs."""

    def __init__(self, path: Path, *, has_class_path: bool = False) -> None:
        """Open the artifact; `has_class_path`: it sees this JVM's class path too, and not only Java's own classes.

        Raises SwapError MODEL_INVALID where it is no jar.
        """
        self._path = path
        self._jars = [Path(jar) for jar in _find_jars(path)]
        url = java("java.net.URL")
        urls = [java("java.io.File")(os.fspath(jar)).toURI().toURL() for jar in [path, *self._jars]]
        loaders = java("java.lang.ClassLoader")
        above = loaders.getSystemClassLoader() if has_class_path else loaders.getPlatformClassLoader()
        self._loader = java("java.net.URLClassLoader")(jpype.JArray(url)(urls), above)
        self._here = _Here()
        self.enter()

    def enter(self) -> None:
        """Make this thread the model's: what it looks up by the thread's class loader is found in the jar."""
        self._here.thread.setContextClassLoader(self._loader)

    @cached_property
    def names(self) -> Sequence[str]:
        """The classes there are, without those within others, the model's own before its libraries'."""
        return list(dict.fromkeys(name for entry in [self._path, *self._jars] for name in _class_names(entry)))

    @cached_property
    def main(self) -> str | None:
        """The Main-Class of the first manifest that names one."""
        for entry in [self._path, *self._jars]:
            text = _read(entry, "META-INF/MANIFEST.MF").decode(errors="replace")
            found = re.search(r"^Main-Class:\s*(\S+)", re.sub(r"\r?\n ", "", text), re.MULTILINE)
            if found:
                return found[1]
        return None

    def load(self, name: str) -> Any:
        """Load and initialize a public class. Raises SwapError MODEL_INVALID with what is wrong with it."""
        try:
            found = java("java.lang.Class").forName(name, True, self._loader)
            found.getMethods()  # the classes of its signatures are looked for here
        except jpype.JException as error:
            if isinstance(error, java("java.lang.ClassNotFoundException")) and name in str(error.getMessage()):
                there = shown(self.names) or "none"
                raise SwapError(
                    SwapCode.MODEL_INVALID, f"the jar has no class `{name}`; the classes are: {there}"
                ) from None
            raise SwapError(SwapCode.MODEL_INVALID, f"class {name} cannot be loaded: {explain(error)}") from error
        if not java("java.lang.reflect.Modifier").isPublic(found.getModifiers()):
            raise SwapError(SwapCode.MODEL_INVALID, f"class {name} is not public: declare it `public class`")
        return found

    def with_method(self, methods: Sequence[str]) -> list[str]:
        """The public classes that have a public method of one of these names, or only the main one where it has."""
        if self.main and self._has_method(self.main, methods):
            return [self.main]
        names = self.names if len(self.names) <= _SEARCHED else ()
        return [name for name in names if self._has_method(name, methods)]

    def _has_method(self, name: str, methods: Sequence[str]) -> bool:
        """Whether a public class has such a method; none of its code runs for that."""
        try:
            found = self._loader.loadClass(name)
            is_public = java("java.lang.reflect.Modifier").isPublic(found.getModifiers())
            return bool(is_public) and any(str(one.getName()) in methods for one in found.getMethods())
        except jpype.JException:
            return False  # a library's optional part, mostly


def call(function: Any, *arguments: Any) -> Any:
    """Call the model: a method's `invoke`, or a constructor's `newInstance`, of java.lang.reflect.

    Raises ModelError with the exception's words; MemoryError where Java has none left.
    """
    try:
        return function(*arguments)
    except jpype.JException as error:
        raise ModelError(f"the model raised {explain(error)}") from error


def explain(error: Any) -> str:
    """An exception of Java in words: what it is, what it says, and where in the jar it was raised.

    Raises MemoryError where Java has no memory left: whoever cannot start a thread is not to be trusted further.
    """
    # Ours is one; a jar that reflects itself has more.
    while isinstance(error, java("java.lang.reflect.InvocationTargetException")) and error.getCause() is not None:
        error = error.getCause()
    if isinstance(error, java("java.lang.OutOfMemoryError")):
        raise MemoryError(str(error))  # noqa: TRY004 - it is what it is
    if isinstance(error, java("java.lang.ExceptionInInitializerError")) and error.getCause() is not None:
        return f"its static initializer raised {explain(error.getCause())}"
    try:
        said = str(error.toString())[:_LONGEST]
    except jpype.JException:
        said = str(error.getClass().getName())
    if isinstance(error, java("java.lang.UnsupportedClassVersionError")):
        return _explain_version(said)
    if isinstance(error, (java("java.lang.NoClassDefFoundError"), java("java.lang.ClassNotFoundException"))):
        said += " (a class that it needs is not there: put the library's jar beside the model's into one zip)"
    frames = [str(frame) for frame in error.getStackTrace()]
    own = next((frame for frame in frames if not _JDK.match(frame.rpartition("/")[2])), "")
    return said + (f", at {own.rpartition('/')[2]}" if own else "")


def _explain_version(said: str) -> str:
    needs = re.search(r"class file version (\d+)", said)
    if not needs:
        return said
    here = java("java.lang.System").getProperty("java.specification.version")
    return (
        f"it was compiled for Java {int(needs[1]) - _FIRST_JAVA}, and the workers run Java {here}: compile it for that"
    )


def shown(names: Sequence[str]) -> str:
    """Names in a line for a person, however many there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def keep_file(content: IO[bytes], suffix: str) -> tuple[str, Callable[[], None]]:
    """Keep bytes where Java can open them by a path; gives the path, and what lets go of it.

    However this process ends, nothing is left: the file is in memory where the system has that. Its own folder cannot
    hold it, that goes once the host is ready.
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
    """The jars within: a loader reads no jar in a jar, and reads a resource by its path long after it was opened."""
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
                        raise SwapError(SwapCode.MODEL_INVALID, f"{name} in the artifact is no jar, or a damaged one")
                    yield jar
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact is no jar, and no zip with jars: {error}") from error


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
