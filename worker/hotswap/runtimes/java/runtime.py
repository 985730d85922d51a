"""Scores with any jar: one of its classes, a method for each operation, called by reflection per request or per row.

`configuration.runtime` selects what is called. The keys of an Acumos modelConfig.properties mean the same:

    class  (modelClassName)         the class; default: the Main-Class of the manifest, or the only public class that
                                    has the method
    method (modelMethod)            the method; `method.<operation>` for a single operation; default: the operation's
                                    name, as it is or with a lower-case first letter. With the types of its parameters,
                                    add(long,long), it is that overload
    input  (modelInputType)         csv, json, file (the path of a CSV): the request's rows as text; row: as values;
                                    default: according to the parameters (arguments.py)
    output (modelOutputType)        csv, json: the format of a String that the method returns; default: it is a value

Except that, as in Acumos, JSON in modelInputType is the whole input message, as {"rows": [...]}, and in modelOutputType
the whole output message: the first element of the List that the method returns.

The method must be public. Unless it is static, one object is created by the public constructor without parameters, and
kept as long as the generation. Among overloads, the one whose parameters fit is called, or of several the nearest to
the proto's types (fits.py). arguments.py and results.py have the rules of what fits. A model must tolerate repeated
calls for a request: after a crash, its batch is retried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jpype

from hotswap.codec.proto import Operation
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.java.arguments import MESSAGE, TEXTS
from hotswap.runtimes.java.classes import Classes, call, explain, java, shown
from hotswap.runtimes.java.flat import FlatMethodPlan
from hotswap.runtimes.java.methods import Signature, methods_of, signature
from hotswap.runtimes.java.plan import JavaPlan

_ACUMOS_KEYS: Final = {
    "modelClassName": "class",
    "modelMethod": "method",
    "modelInputType": "input",
    "modelOutputType": "output",
}
_KNOWN: Final = ("class", "method", "method.<operation>", "input", "output", *_ACUMOS_KEYS)


def load(path: Path, configuration: Configuration) -> "JavaModel":
    """Load a jar, or a zip or folder of jars.

    Raises SwapError: CONFIGURATION_INVALID for an unknown option, MODEL_INVALID if the jar cannot be used.
    """
    options = read_options(configuration.runtime)
    return JavaModel(Classes(path), options)


@dataclass(frozen=True, slots=True)
class JarOptions:
    """The options in `configuration.runtime`."""

    class_name: str | None = None
    method: str | None = None
    methods: Mapping[str, str] = field(default_factory=dict)
    input: str | None = None
    output: str | None = None


def read_options(configuration: Mapping[str, str]) -> JarOptions:
    """Read `configuration.runtime`. Raises SwapError CONFIGURATION_INVALID for an unknown option or value."""
    named = {_ACUMOS_KEYS.get(key, key): value.strip() for key, value in configuration.items()}
    methods = {key.removeprefix("method."): value for key, value in named.items() if key.startswith("method.")}
    odd = sorted(named.keys() - {*_ACUMOS_KEYS.values(), *(f"method.{name}" for name in methods)})
    if odd:
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"the runtime java has no option `{odd[0]}`; its options are: {', '.join(_KNOWN)}",
        )
    taken, returned = named.get("input", "").lower() or None, named.get("output", "").lower() or None
    if taken not in (None, "row", *TEXTS):
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"runtime option input must be one of {', '.join(TEXTS)}, row; not `{taken}`",
        )
    if returned not in (None, "csv", "json"):
        # Acumos writes a Java type there, and accepted a List whatever it said.
        if "output" in configuration:
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID, f"runtime option output must be csv or json, not `{returned}`"
            )
        returned = None
    if "modelClassName" in configuration and taken is None:
        taken = "csv"
    # Under its own names, Acumos's JSON is a whole message.
    taken = MESSAGE if taken == "json" and "input" not in configuration else taken
    returned = MESSAGE if returned == "json" and "output" not in configuration else returned
    return JarOptions(named.get("class"), named.get("method"), methods, taken, returned)


class JavaModel:
    """A loaded jar. Each class is loaded, and each object that a method needs is created, once."""

    def __init__(self, classes: Classes, options: JarOptions) -> None:
        """Load the class, if the options name it. Raises SwapError MODEL_INVALID."""
        self._classes = classes
        self._options = options
        self._loaded: dict[str, Any] = {}
        self._instances: dict[str, Any] = {}
        self._said: list[str] = []
        if options.class_name:
            self._load(options.class_name)

    @property
    def description(self) -> str:
        """The method that answers each operation, and why its class was chosen."""
        return f"Java {'; '.join(self._said)}"

    def plan(self, operation: Operation, configuration: Configuration) -> JavaPlan | FlatMethodPlan:
        """Return the plan of an operation: the fast path in the JVM if its values are flat, else the fallback.

        Raises SwapError MODEL_INVALID if the class of its method cannot be used.
        """
        options = self._options
        plan = JavaPlan(operation, configuration, self._classes, taken=options.input, returned=options.output)
        try:
            self._choose(plan, operation.name)
            return plan if plan.problems else FlatMethodPlan(plan)
        except jpype.JException as error:  # usually a class in a signature that cannot be loaded
            raise SwapError(
                SwapCode.MODEL_INVALID, f"the method of {operation.name} cannot be called: {explain(error)}"
            ) from error
        except NotFlat as reason:
            plan.path = f"through Python: {reason}"
            return plan

    def _choose(self, plan: JavaPlan, operation: str) -> None:
        options = self._options
        rpc = operation.rpartition(".")[2]
        option = options.methods.get(operation) or options.method
        wanted = Signature.read(option) if option else None
        names = [wanted.name] if wanted else list(dict.fromkeys([rpc, rpc[:1].lower() + rpc[1:]]))
        class_name, why = self._find_class(names)
        kind = self._load(class_name)
        named = ([one for one in methods_of(kind) if str(one.getName()) == name] for name in names)
        methods = next(filter(None, named), None)
        if methods is None:
            plan.problems.append(_no_method(kind, names[-1], class_name))
            return
        chosen = [one for one in methods if wanted is None or wanted.is_of(one)]
        if not chosen:
            there = ", ".join(map(signature, methods))
            plan.problems.append(f"{class_name} has no method `{option}`; those of that name are: {there}")
            return
        plan.choose(chosen)
        if plan.method is not None:
            plan.target = self._instance(class_name, plan.method)
            self._said.append(f"{operation}: {class_name}.{signature(plan.method)}{why}")

    def _find_class(self, methods: Sequence[str]) -> tuple[str, str]:
        if self._options.class_name:
            return self._options.class_name, ""
        candidates = self._classes.with_method(methods)
        if len(candidates) == 1:
            is_main = candidates[0] == self._classes.main
            why = "the manifest's Main-Class" if is_main else f"the only public class with `{methods[-1]}`"
            return candidates[0], f" ({why})"
        if not self._classes.names:
            raise SwapError(
                SwapCode.MODEL_INVALID, "the artifact holds no class: it is neither a jar nor a zip of jars"
            )
        named = f"{len(candidates)} public classes have" if candidates else "no public class was found with"
        listed = f"the classes are: {shown(candidates or self._classes.names)}"
        raise SwapError(SwapCode.MODEL_INVALID, f"{named} a public method `{methods[-1]}`: name the `class`; {listed}")

    def _load(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._classes.load(name)
        return self._loaded[name]

    def _instance(self, class_name: str, method: Any) -> Any:
        if java("java.lang.reflect.Modifier").isStatic(method.getModifiers()):
            return None
        if class_name not in self._instances:
            kind = self._load(class_name)
            bare = [one for one in kind.getConstructors() if one.getParameterCount() == 0]
            is_abstract = java("java.lang.reflect.Modifier").isAbstract(kind.getModifiers())
            if not bare or is_abstract:
                why = f"{method.getName()} is not static, but {class_name} has no public constructor without parameters"
                raise SwapError(SwapCode.MODEL_INVALID, f"{why} (or is abstract): add one, or make the method static")
            try:
                self._instances[class_name] = call(bare[0].newInstance, jpype.JArray(jpype.JObject)(0))
            except ModelError as error:
                raise SwapError(SwapCode.MODEL_INVALID, f"no object of {class_name} can be created: {error}") from error
        return self._instances[class_name]


def _no_method(kind: Any, name: str, class_name: str) -> str:
    if any(str(one.getName()) == name for one in kind.getDeclaredMethods()):
        return f"method `{name}` of {class_name} is not public: declare it `public`"
    there = ", ".join(map(signature, methods_of(kind))) or "none"
    return f"{class_name} has no method `{name}`; its public methods are: {there}"
