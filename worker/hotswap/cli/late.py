"""Late imports, of modules needed to run a command, but not for its options, help or completion.

    with late:
        from hotswap.client.client import Client

`hotswap` first imports the module of a command for its options. The imports for running it take ten times as long: a
`with late:` block is deferred until the command is called. The names of a `with later:` block (drawing, and modules
for some options only) are deferred until each is called. Any other importer of the module gets them all at once.

Until then the name stands for a `Deferred`. Only functions may use it, which are called later, and, with `from
__future__ import annotations`, their signatures.
"""

import builtins
import gc
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

_import = builtins.__import__


class Deferred:
    """A placeholder for a name whose import is deferred (`name` None: for the module), callable like it."""

    def __init__(self, block: "Late", module: str, name: str | None = None) -> None:
        self.block, self.module, self.name = block, module, name

    def load(self) -> Any:
        """Import it."""
        module = _import(self.module, fromlist=(self.name or "",))
        return getattr(module, self.name) if self.name else module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import and call it."""
        return self.load()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.load(), name)


class Late:
    """Blocks of imports, executed at once unless deferred."""

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
        """Note an import statement of a block; bind its names to placeholders."""
        assert not level
        self._namespaces.append(globals)
        return (
            SimpleNamespace(**{one: Deferred(self, name, one) for one in fromlist})
            if fromlist
            else Deferred(self, name)
        )

    def load(self) -> None:
        """Execute the deferred imports, and their own imports undeferred."""
        self._is_deferring = False
        while self._namespaces:
            names = self._namespaces.pop()
            names |= {
                name: one.load() for name, one in names.items() if isinstance(one, Deferred) and one.block is self
            }

    def before(self, callback: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """Return the callback of a command, wrapped to execute deferred imports first."""
        if callback is None or not self._is_deferring:
            return callback

        def load_and_call(*args: Any, **kwargs: Any) -> Any:
            self.load()
            gc.freeze()
            gc.enable()
            return callback(*args, **kwargs)

        return load_and_call


late, later = Late(), Late()


def defer() -> None:
    """Defer all further late imports, and collect no garbage until they are done: imports leave none."""
    gc.disable()
    late.defer()
    later.defer()
