"""The public methods of a jar's class, and their signatures, by which a configuration names one of several."""

import re
from dataclasses import dataclass
from typing import Any, Self

from hotswap.runtimes.java.classes import JavaType, java, type_of


@dataclass(frozen=True, slots=True)
class Signature:
    """A method as a configuration names it; `types` are those of its parameters, None if it does not say."""

    name: str
    types: tuple[str, ...] | None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `add`, `add(long, long)`, or a signature as messages show it; packages may be left out."""
        name, opened, rest = text.partition("(")
        if not opened:
            return cls(text.strip(), None)
        inside = rest.rpartition(")")[0]
        while inside != (shorter := re.sub(r"<[^<>]*>", "", inside)):
            inside = shorter
        types = (each.strip().replace("...", "[]").replace(" ", "") for each in inside.split(","))
        return cls(name.strip(), tuple(filter(None, types)))

    def is_of(self, method: Any) -> bool:
        """Return whether it names this method (java.lang.reflect.Method)."""
        if str(method.getName()) != self.name:
            return False
        if self.types is None:
            return True
        known = [{str(one.getTypeName()), str(one.getSimpleName())} for one in method.getParameterTypes()]
        return len(known) == len(self.types) and all(map(set.__contains__, known, self.types))


def methods_of(kind: Any) -> list[Any]:
    """Return a class's public methods, without those of java.lang.Object, in a stable order."""
    everything = java("java.lang.Object").class_
    resolved = (one if not one.isBridge() else _bridged(one) for one in kind.getMethods())
    # A method that a package keeps to itself otherwise, such as a default method of its interface, is public here.
    own = [one for one in resolved if one and one.getDeclaringClass() != everything and one.trySetAccessible()]
    return sorted(own, key=signature)


def _bridged(bridge: Any) -> Any | None:
    """Return the method behind a bridge if it is inherited from a class that is not public; None for any other bridge.

    The compiler also adds bridges as copies of generic and of overridden methods, which `getMethods` lists beside them.
    """
    kind = bridge.getDeclaringClass().getSuperclass()
    while kind is not None:
        for one in kind.getDeclaredMethods():
            is_same = one.getName() == bridge.getName() and one.getReturnType() == bridge.getReturnType()
            if is_same and not one.isBridge() and list(one.getParameterTypes()) == list(bridge.getParameterTypes()):
                return one
        kind = kind.getSuperclass()
    return None


def signature(method: Any) -> str:
    """Return a method's signature: `predict(double[], String) -> List<String>`."""
    taken = ", ".join(map(str, parameters(method)))
    return f"{method.getName()}({taken}) -> {type_of(method.getGenericReturnType())}"


def parameters(method: Any) -> list[JavaType]:
    """Return the types of a method's parameters."""
    return [type_of(one) for one in method.getGenericParameterTypes()]
