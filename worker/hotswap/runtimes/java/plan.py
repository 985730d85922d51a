"""The plan of a jar's method: decode a request, call the method for it or for each of its rows, encode the answer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import jpype
from google.protobuf.message import DecodeError, Message

from hotswap.batch import Answer, Code, Refusal, ScoredBatch
from hotswap.codec.fields import descriptor_of
from hotswap.codec.proto import Operation
from hotswap.errors import ModelError
from hotswap.generation import Configuration
from hotswap.runtimes.java.arguments import Calls, MessageRows, fit_calls
from hotswap.runtimes.java.classes import Classes, call, explain, java, type_of
from hotswap.runtimes.java.fits import Way, nearest, way_of
from hotswap.runtimes.java.methods import parameters, signature
from hotswap.runtimes.java.results import Results
from hotswap.runtimes.java.scalars import BadValue, ScalarMisfit


class JavaPlan:
    """One operation of a jar. `method` answers it, once chosen; `target` is the object that it is called on."""

    def __init__(
        self,
        operation: Operation,
        configuration: Configuration,
        classes: Classes,
        *,
        taken: str | None,
        returned: str | None,
    ) -> None:
        """Choose nothing yet: choose() does. `taken` and `returned` are the runtime options `input` and `output`."""
        self.problems: list[str] = []
        self.path = "through Python"
        self.reads: Final[Mapping[str, Sequence[str]]] = {}  # a method gets the whole message
        self.method: Any = None
        self.target: Any = None
        self.classes: Final = classes
        self.table: Final = MessageRows(operation.input)
        self._message: type[Message] = operation.input
        self.fields: Final = configuration.columns
        self._taken = taken
        self._returned = returned
        self._output = operation.output
        self._outputs = configuration.outputs
        self._fitted: tuple[Calls, Results] | None = None

    @property
    def fitted(self) -> tuple[Calls, Results]:
        """The calls of the chosen method, and the encoder of its results."""
        assert self._fitted, "a plan with problems must not answer"
        return self._fitted

    def choose(self, methods: Sequence[Any]) -> None:
        """Choose the nearest of these methods (overloads) that fit, or add to `problems` why there is none."""
        fitting, reasons = [], []
        for one in methods:
            try:
                fitting.append((one, self._fit(one)))
            except ScalarMisfit as reason:
                prefix = f"{signature(one)}: " if len(methods) > 1 else ""
                reasons += [prefix + line for line in str(reason).splitlines()]
        fixed = [one for one in fitting if not one[0].isVarArgs()] or fitting
        chosen = nearest(fixed, lambda one: _way(*one))
        if chosen:
            self.method, self._fitted = chosen
        elif fitting:
            listed = ", ".join(signature(one) for one, _ in fitting)
            shown = f"{methods[0].getName()}({','.join(map(str, parameters(fixed[0][0])))})"
            self.problems.append(
                f"several methods fit: {listed}; name one with its parameters (method: {shown}), or set `input`"
            )
        else:
            self.problems += reasons

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer each request separately."""
        return ScoredBatch([self.answer_one(value) for value in values], {})

    def invent(self, count: int) -> Sequence[bytes]:  # noqa: ARG002 - every plan's signature
        """Return no requests: only the publisher knows valid ones. Samples warm the jar."""
        return ()

    def _fit(self, method: Any) -> tuple[Calls, Results]:
        calls = fit_calls(method, self.table, kind=self._taken, names=self.fields)
        results = Results(self._output, self._outputs, text=self._returned, is_one_row=calls.is_one_row)
        problems = results.check(type_of(method.getGenericReturnType()), is_each_row=calls.is_each_row)
        if calls.is_each_row and not calls.is_one_row and not results.holds_rows:
            problems.append(
                "a request may have several rows, but the output message holds one result: make it repeated"
            )
        if problems:
            raise ScalarMisfit("\n".join(problems))
        return calls, results

    def answer_one(self, value: bytes) -> Answer:
        """Answer a request."""
        try:
            message = self._message.FromString(value)
        except (DecodeError, TypeError):
            what = "has no value" if value is None else f"({len(value)} bytes) does not parse"
            name = descriptor_of(self._message).full_name
            return Refusal(Code.UNDECODABLE, f"the request {what}; it must be a serialized {name}")
        # The model may have changed the context class loader in an earlier call.
        self.classes.enter()
        return _refused_or(partial(self._call, message))

    def encode(self, values: Sequence[Any], count: int) -> Answer:
        """Return the answer to a request of `count` rows from the values that its calls returned."""
        return _refused_or(partial(self._encode, values, count))

    def _call(self, message: Message) -> bytes:
        calls, _ = self.fitted
        count = calls.count_rows(message)
        values = [call(self.method.invoke, self.target, arguments) for arguments in calls.arguments(message)]
        return self._encode(values, count)

    def _encode(self, values: Sequence[Any], count: int) -> bytes:
        calls, results = self.fitted
        return results.rows(values, count) if calls.is_each_row else results.whole(values[0], count)


def raised(error: Any) -> Refusal:
    """Return the refusal of a request for which the model raised a Java exception."""
    return Refusal(Code.MODEL_ERROR, f"the model raised {explain(error)}")


def _refused_or(make: Callable[[], bytes]) -> Answer:
    try:
        return make()
    except BadValue as error:
        return Refusal(error.code, str(error))
    except ModelError as error:
        return Refusal(Code.MODEL_ERROR, str(error))
    except jpype.JException as error:
        return raised(error)
    except UnicodeDecodeError:
        return Refusal(Code.MODEL_ERROR, "the model returned invalid text: it contains half of a surrogate pair")


def _way(method: Any, fitted: tuple[Calls, Results]) -> Way:
    calls, results = fitted
    # What was not found, or not taken, in earlier versions: methods of classes that are not public, newer types.
    is_hidden = not java("java.lang.reflect.Modifier").isPublic(method.getDeclaringClass().getModifiers())
    is_late = is_hidden or results.is_standard(type_of(method.getGenericReturnType()))
    whole = calls.whole and ("array" if calls.whole.raw.isArray() else "list")
    return way_of(calls.fit, calls.text, calls.is_each_row, whole, is_late=is_late)
