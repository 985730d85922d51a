"""One generation at work: each request of a batch is answered by the plan of the operation that it asks for."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from hotswap.batch import Answer, Ask, Code, Format, Refusal, ScoredBatch
from hotswap.codec.proto import Operation, Schema
from hotswap.codec.text import wire
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration

_SHOWN: Final = 10_000  # characters of a model's description: it names each of its columns


class Plan(Protocol):
    """How one operation is answered. It lives in the host's process and is used by one thread."""

    @property
    def problems(self) -> Sequence[str]:
        """A line for each thing that does not fit; where there is any it must not answer."""

    @property
    def path(self) -> str:
        """The way that a request goes to the model and its answer back, for a person."""

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer each request, a serialized input message, in order. A bad one is refused alone; nothing is raised."""

    def invent(self, count: int) -> Sequence[bytes]:
        """Make up requests to warm up with; none where the model must not be called with what nobody sent."""


class LoadedModel(Protocol):
    """A loaded model, as a runtime gives it."""

    @property
    def description(self) -> str:
        """What it is, takes and gives, in a line."""

    def plan(self, operation: Operation, configuration: Configuration) -> Plan:
        """Make the plan for an operation of the proto."""


class Dispatcher:
    """A generation whose three parts fit each other."""

    def __init__(self, *, model: LoadedModel, schema: Schema, configuration: Configuration) -> None:
        """Check the model and the proto against each other: all operations, all columns, all output fields.

        Raises SwapError SCHEMA_MISMATCH with a line for each that does not fit.
        """
        self._model = model
        self._text = configuration.text
        self._schema = schema
        self.plans: Mapping[str, Plan] = {
            name: model.plan(rpc, configuration) for name, rpc in schema.operations.items()
        }
        problems = [f"{name}: {problem}" for name, plan in self.plans.items() for problem in plan.problems]
        if problems:
            raise SwapError(
                SwapCode.SCHEMA_MISMATCH, "\n".join(["the model and the proto do not fit each other:", *problems])
            )

    def describe(self) -> dict[str, object]:
        """Give the facts that a status shows."""
        return {
            "operations": list(self.plans),
            "inputs": {name: rpc.input.DESCRIPTOR.full_name for name, rpc in self._schema.operations.items()},
            "outputs": {name: rpc.output.DESCRIPTOR.full_name for name, rpc in self._schema.operations.items()},
            "columns": self._model.description[:_SHOWN],
            "paths": {name: plan.path for name, plan in self.plans.items()},
        }

    def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None) -> ScoredBatch:
        """Answer a batch. `asks[i]` is what request i asks for; None, or no operation: the only one there is."""
        groups = self._groups(len(values), asks)
        if len(groups) == 1:
            return self._answer(next(iter(groups)), values)
        answers: list[Answer] = [b""] * len(values)
        unknown: dict[str, int] = {}
        for ask, positions in groups.items():
            given, odd = self._answer(ask, [values[position] for position in positions])
            for position, answer in zip(positions, given, strict=True):
                answers[position] = answer
            for column, times in odd.items():
                unknown[column] = unknown.get(column, 0) + times
        return ScoredBatch(answers, unknown)

    def _groups(self, count: int, asks: Sequence[Ask] | None) -> Mapping[Ask, Sequence[int]]:
        if asks is None or len(set(asks)) <= 1:
            return {asks[0] if asks else Ask(""): range(count)}
        groups: dict[Ask, list[int]] = {}
        for position, ask in enumerate(asks):
            groups.setdefault(ask, []).append(position)
        return groups

    def _answer(self, ask: Ask, values: Sequence[bytes]) -> ScoredBatch:
        name = ask.operation or self._schema.default or ""
        plan = self.plans.get(name)
        if plan is None:
            return ScoredBatch([self._unknown_operation(ask.operation)] * len(values), {})
        if ask.content is ask.accept is Format.PROTOBUF:
            return plan.answer(values)
        return self._answer_text(plan, self._schema.operations[name], ask, values)

    def _answer_text(self, plan: Plan, operation: Operation, ask: Ask, values: Sequence[bytes]) -> ScoredBatch:
        read: list[Answer] = list(values)
        if ask.content is not Format.PROTOBUF:
            read = [wire.read(value, ask.content, operation, self._text) for value in values]
        answers, unknown = plan.answer([value for value in read if isinstance(value, bytes)])
        rest = iter(answers)
        whole = [value if isinstance(value, Refusal) else next(rest) for value in read]
        if ask.accept is not Format.PROTOBUF:
            whole = [
                answer if isinstance(answer, Refusal) else wire.write(answer, ask.accept, operation) for answer in whole
            ]
        return ScoredBatch(whole, unknown)

    def _unknown_operation(self, name: str) -> Refusal:
        known = ", ".join(self.plans)
        what = f"there is no operation `{name}`" if name else "the request names no operation, and there are several"
        return Refusal(Code.UNKNOWN_OPERATION, f"{what}; the header `operation` may name: {known}")
