"""Dispatches each request of a batch to the plan of the operation that it names."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from hotswap.batch import Answer, Ask, Code, Format, Refusal, ScoredBatch
from hotswap.codec.packed import Buffer
from hotswap.codec.proto import Operation, Schema
from hotswap.codec.text import wire
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration

_MAX_DESCRIPTION: Final = 10_000  # characters: a description names each of the model's columns
_MOST_KNOWN: Final = 300  # values of a field
_MAX_KNOWN: Final = 8_000  # characters, of all fields: every worker writes them to the status topic


class Plan(Protocol):
    """How one operation is answered. It lives in the host's process and is used by one thread."""

    @property
    def problems(self) -> Sequence[str]:
        """A line for each mismatch between model and proto; while there are any, `answer` must not be called."""

    @property
    def path(self) -> str:
        """How a request reaches the model and its answer comes back, for people to read."""

    @property
    def reads(self) -> Mapping[str, Sequence[str]]:
        """The paths of the input's fields that it reads, each from a row on; empty if that is not known.

        For a category whose unknown values are scored, the values that the model knows, as str() writes them.
        """

    @property
    def fields(self) -> Mapping[str, str]:
        """The model's columns that are not called as their fields are, each with its field's path from a row on."""

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer each request, a serialized input message, in order. Refuses bad ones individually; never raises."""

    def invent(self, count: int) -> Sequence[bytes]:
        """Make up requests for the warm-up; none if the model must not be called with made-up values."""


@runtime_checkable
class SealingPlan(Plan, Protocol):
    """A plan that also answers record batches with record batches."""

    def seal(self, order: Buffer) -> memoryview:
        """Carry out an order (sealing.py); the result holds until the next one."""


class LoadedModel(Protocol):
    """A model as a runtime loads it."""

    @property
    def description(self) -> str:
        """The model's type, columns and outputs, in a line."""

    def plan(self, operation: Operation, configuration: Configuration) -> Plan:
        """Make the plan for an operation of the proto."""


class Dispatcher:
    """Answers the requests of one generation, whose model, proto and configuration fit each other."""

    def __init__(self, *, model: LoadedModel, schema: Schema, configuration: Configuration) -> None:
        """Check the model against the proto: all operations, all columns, all output fields.

        Raises SwapError SCHEMA_MISMATCH with a line for each mismatch.
        """
        self._model = model
        self._schema = schema
        self.plans: Mapping[str, Plan] = {
            name: model.plan(rpc, configuration) for name, rpc in schema.operations.items()
        }
        self._tables = {name: configuration.table(plan.fields) for name, plan in self.plans.items()}
        problems = [f"{name}: {problem}" for name, plan in self.plans.items() for problem in plan.problems]
        if problems:
            raise SwapError(
                SwapCode.SCHEMA_MISMATCH, "\n".join(["the model and the proto do not fit each other:", *problems])
            )

    def describe(self) -> dict[str, object]:
        """Return the facts that a status shows."""
        return {
            "operations": list(self.plans),
            "inputs": {name: rpc.input.DESCRIPTOR.full_name for name, rpc in self._schema.operations.items()},
            "outputs": {name: rpc.output.DESCRIPTOR.full_name for name, rpc in self._schema.operations.items()},
            "columns": self._model.description[:_MAX_DESCRIPTION],
            "paths": {name: plan.path for name, plan in self.plans.items()},
            "reads": self._reads(),
            "fields": {name: dict(plan.fields) for name, plan in self.plans.items()},
            "seals": self.can_seal(self._schema.default or ""),
        }

    def _reads(self) -> dict[str, dict[str, list[str]]]:
        """Return the plans' `reads`, without the known values of a field that would not keep them short."""
        room = _MAX_KNOWN
        fields: dict[str, dict[str, list[str]]] = {}
        for name, plan in self.plans.items():
            fields[name] = {}
            for path, known in plan.reads.items():
                size = sum(map(len, known))
                is_short = len(known) <= _MOST_KNOWN and size <= room
                fields[name][path] = list(known) if is_short else []
                room -= size if is_short else 0
        return fields

    def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None) -> ScoredBatch:
        """Answer a batch. `asks[i]` has the options of request i; without it, or without an operation, the default."""
        groups = self._groups(len(values), asks)
        if len(groups) == 1:
            return self._answer(next(iter(groups)), values)
        answers: list[Answer] = [b""] * len(values)
        unknown: dict[str, int] = {}
        for ask, positions in groups.items():
            scored, counts = self._answer(ask, [values[position] for position in positions])
            for position, answer in zip(positions, scored, strict=True):
                answers[position] = answer
            for column, times in counts.items():
                unknown[column] = unknown.get(column, 0) + times
        return ScoredBatch(answers, unknown)

    def can_seal(self, name: str) -> bool:
        """Whether an operation is the default one, and `seal` may be called for it."""
        return name == self._schema.default and isinstance(self.plans.get(name), SealingPlan)

    def seal(self, order: Buffer) -> memoryview:
        """Carry out an order for the default operation."""
        plan = self.plans[self._schema.default or ""]
        assert isinstance(plan, SealingPlan)
        return plan.seal(order)

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
            read = [wire.read(value, ask.content, operation, self._tables[operation.name]) for value in values]
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
        what = (
            f"there is no operation `{name}`" if name else "the request names no operation, but the proto has several"
        )
        return Refusal(Code.UNKNOWN_OPERATION, f"{what}; set the header `operation` to one of: {known}")
