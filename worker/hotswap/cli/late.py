"""Late imports: what a command needs to run, but neither its options, nor its help, nor its completion.

    with late:
        from hotswap.client.client import Client

`hotswap` first imports the module of a command for its options. To import what runs it takes ten times as long, so the
imports of such a block are deferred until the command is called; those of `with later:` further, each until it is
called itself: what draws, and what only some options need. Whoever else imports the module has them all at once.

Until then a deferred name is a `Due`. Only functions may use it, which are called later, and, with `from __future__
import annotations`, their signatures.
"""

import builtins
import gc
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

_import = builtins.__import__


class Due:
    """Stands for a name whose import is deferred; `name` None: for the module itself. It is called as that is."""

    def __init__(self, block: "Late", module: str, name: str | None = None) -> None:
        self.block, self.module, self.name = block, module, name

    def load(self) -> Any:
        """Import it."""
        module = _import(self.module, fromlist=(self.name or "",))
        return getattr(module, self.name) if self.name else module

    def __call__(self, *given: Any, **more: Any) -> Any:
        """Call what it stands for."""
        return self.load()(*given, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.load(), name)


class Late:
    """Blocks of imports; they are carried out at once, unless they are deferred."""

    def __init__(self) -> None:
        self._is_deferring = False
        self._namespaces: list[dict[str, Any]] = []

    def defer(self) -> None:
        """Defer the blocks that follow."""
        self._is_deferring = True

    def __enter__(self) -> None:
        if self._is_deferring:
            builtins.__import__ = self._note

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = _import

    def _note(
        self,
        name: str,
        globals: Any = None,  # noqa: A002 - as Python calls it
        locals: object = None,  # noqa: A002, ARG002 - the same
        fromlist: Sequence[str] | None = None,
        level: int = 0,
    ) -> Any:
        """Take an import statement of a block: what it binds is due."""
        assert not level
        self._namespaces.append(globals)
        return SimpleNamespace(**{one: Due(self, name, one) for one in fromlist}) if fromlist else Due(self, name)

    def load(self) -> None:
        """Carry out what was deferred; what it imports in turn is not deferred."""
        self._is_deferring = False
        while self._namespaces:
            names = self._namespaces.pop()
            names |= {name: due.load() for name, due in names.items() if isinstance(due, Due) and due.block is self}

    def before(self, callback: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """Return what carries out the imports before it calls a command, if they are deferred."""
        if callback is None or not self._is_deferring:
            return callback

        def called(*given: Any, **more: Any) -> Any:
            self.load()
            gc.freeze()
            gc.enable()
            return callback(*given, **more)

        return called


late, later = Late(), Late()


def defer() -> None:
    """Defer all such imports from here on, and look for no garbage until they are done: imports leave none."""
    gc.disable()
    late.defer()
    later.defer()
