"""Another operating system, as far as our own code sees it: what Windows or macOS lacks is hidden from it.

    python tests/fakes/elsewhere.py win32 swap …     as `hotswap swap …`, with what win32 lacks hidden

Which names there are comes from typeshed, which mypy ships. They are hidden from `hotswap` alone: other libraries know
this system, and have their own ways on others.
"""

import ast
import asyncio
import builtins
import sys
import types
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_STUBS = Path((find_spec("mypy") or find_spec("hotswap")).origin or "").parent / "typeshed" / "stdlib"  # type: ignore[union-attr]
_HERE = "linux"
METHODS = ("add_signal_handler", "remove_signal_handler", "add_reader", "remove_reader", "add_writer", "remove_writer")
"""Those of an event loop that raise NotImplementedError on Windows."""


@cache
def lacking(module: str, system: str) -> frozenset[str]:
    """Return the names that a module of the standard library has on Linux, and not on `system`; "*": none of it."""
    stub = _STUBS / module.replace(".", "/") / "__init__.pyi"
    stub = stub if stub.exists() else stub.parent.with_suffix(".pyi")
    if not stub.exists():
        return frozenset()
    body = ast.parse(stub.read_text()).body
    here, there = ({name for name in _names(body, of) if name[0] != "_"} for of in (_HERE, system))
    return frozenset({"*"} if here and not there else here - there)


def _names(body: list[ast.stmt], platform: str) -> Iterator[str]:
    """Yield what is defined, or imported by name, where the conditions hold."""
    known = {"sys": SimpleNamespace(platform=platform, version_info=sys.version_info)}
    for node in body:
        match node:
            case ast.If():
                holds = eval(compile(ast.Expression(node.test), "stub", "eval"), known)
                yield from _names(node.body if holds else node.orelse, platform)
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.AnnAssign(target=ast.Name(name)):
                yield name
            case ast.Assign(targets=[ast.Name(name)]) if name != "__all__":
                yield name
            case ast.ImportFrom(module=origin, names=names) if origin in ("posix", "_socket", "_curses", "signal"):
                yield from (name.asname or name.name for name in names)


class Hidden(types.ModuleType):
    """A module as it is on another system."""

    def __init__(self, of: types.ModuleType, names: frozenset[str], instead: Mapping[str, Any]) -> None:
        super().__init__(of.__name__)
        self._of, self._names, self._instead = of, names, instead

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            raise AttributeError(f"{self._of.__name__} has no {name} on this system")
        return self._instead[name] if name in self._instead else getattr(self._of, name)


class _Finder(PathFinder):
    """Finds the modules of `hotswap`, to be loaded as on another system."""

    system = ""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = super().find_spec(name, path, target) if name.partition(".")[0] == "hotswap" else None
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Gives a module an `import` of its own, which finds what there is on another system."""

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _import_there}
        super().exec_module(module)


def _import_there(name: str, *given: Any, **options: Any) -> Any:
    gone, system = lacking(name, _Finder.system), _Finder.system
    if "*" in gone:
        raise ModuleNotFoundError(f"No module named {name!r} on {system}", name=name)
    found = __import__(name, *given, **options)
    is_plain = "." not in name and (gone or name == "sys")
    return Hidden(found, gone, {"platform": system} if name == "sys" else {}) if is_plain else found


def hide(system: str) -> None:
    """Let the code of `hotswap`, which is not imported yet, see what there is on `system`."""
    _Finder.system = system
    sys.meta_path.insert(0, _Finder)
    if system == "win32":
        for name in METHODS:
            setattr(asyncio.SelectorEventLoop, name, _not_there)


def _not_there(*_: Any) -> None:
    raise NotImplementedError("not on Windows")


if __name__ == "__main__":
    hide(sys.argv.pop(1))
    from hotswap.__main__ import main

    main()
