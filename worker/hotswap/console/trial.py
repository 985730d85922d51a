"""The trial of a draft: a sample scored by the new and the serving model, side by side."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hotswap.batch import Ask, Refusal
from hotswap.client.change import as_samples
from hotswap.client.scoring import own_host
from hotswap.codec.proto import Operation, Schema
from hotswap.console.drafts import ModelDraft
from hotswap.console.rows import Reads, cells_of
from hotswap.errors import HotswapError
from hotswap.gateway import documents, rows
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.problems import Problem
from hotswap.gateway.work import Work
from hotswap.generation import Configuration, Model, Proto
from hotswap.host.facts import Description
from hotswap.settings import Settings

_MOST_ROWS = 20
_MOST_OUTPUTS = 8
_MOST_NOTES = 5


class Pair(NamedTuple):
    """An output of a row, by the new model and by the serving one; empty: it has none."""

    new: str
    serving: str

    @property
    def differs(self) -> bool:
        """Whether both have answered, differently."""
        return bool(self.new and self.serving and self.new != self.serving)


@dataclass(slots=True)
class Trial:
    """The result of a trial: the misfit of the new model, if any; its inputs; the predictions side by side."""

    fault: str = ""
    reads: Reads = field(default_factory=dict)
    outputs: Sequence[str] = ()
    rows: Sequence[tuple[int, Sequence[Pair]]] = ()
    notes: list[str] = field(default_factory=list)
    samples: tuple[bytes, ...] = ()
    """The sample as messages, which each worker scores before it serves."""


class _Scored(NamedTuple):
    rows: dict[int, dict[str, str]]
    reads: Reads
    notes: list[str]


async def attempt(
    draft: ModelDraft, schema: Schema, deployment: Deployment, limits: GatewayLimits, work: Work
) -> Trial:
    """Load the model with its proto, and score the first rows of the sample, if there is one, by both models."""
    trial = Trial(samples=draft.samples if draft.proto == draft.drafted else ())
    operation = next(iter(schema.operations.values()))
    if not draft.is_loadable:
        await _read(draft, operation, trial, None, work)
        return trial
    sample: rows.Rows | None = None

    async def read(description: Description) -> rows.Rows | None:
        nonlocal sample
        sample = await _read(draft, operation, trial, description, work)
        return sample

    proto = Proto.inline(draft.proto)
    arguments = (draft.model, draft.kind, proto, draft.configuration, operation, read)
    try:
        async with limits.host():
            new = await _score(deployment.settings, *arguments)
    except HotswapError as error:
        trial.fault = str(error)
        await _read(draft, operation, trial, None, work)
        return trial
    trial.reads = new.reads
    trial.notes += new.notes
    if sample and sample.values:
        serving = await _serving(draft, deployment, limits, work, trial.notes)
        names = [*dict.fromkeys(name for one in (new.rows, serving) for cells in one.values() for name in cells)]
        trial.outputs = names[:_MOST_OUTPUTS]
        trial.rows = [
            (number, [Pair(cells.get(name, ""), serving.get(number, {}).get(name, "")) for name in trial.outputs])
            for number, cells in new.rows.items()
        ]
    return trial


async def _read(
    draft: ModelDraft, operation: Operation, trial: Trial, description: Description | None, work: Work
) -> rows.Rows | None:
    """Read the sample, by the model's names if it could be loaded; None: there is none, or it is no table."""
    if not draft.sample:
        return None
    table = draft.configuration.table(description.fields.get(operation.name) if description else None)
    reads = description.reads.get(operation.name, ()) if description else ()
    try:
        sample = await rows.read(draft.sample, draft.content, operation, table, work, reads)
    except Problem as problem:
        trial.notes.append(f"the sample: {problem}")
        return None
    trial.samples = as_samples(sample.values)
    trial.notes += [str(fault["detail"]) for fault in sample.faults[:_MOST_NOTES]]
    trial.notes += [f"the sample: {note}" for note in sample.notes]
    return sample


async def _serving(
    draft: ModelDraft, deployment: Deployment, limits: GatewayLimits, work: Work, notes: list[str]
) -> dict[int, dict[str, str]]:
    """Score the sample by the serving model; note the reason if that fails."""
    generation = deployment.served.generation if deployment.is_serving else None
    if generation is None:
        return {}
    if not limits.may_load(generation.model.kind):
        notes.append("the serving model brings code of its own, which this console does not run")
        return {}
    served = deployment.served
    operation = next(iter(served.schema.operations.values()))
    proto = Proto.inline(served.source, is_descriptor_set=generation.proto.is_descriptor_set)

    async def read(description: Description) -> rows.Rows:
        table = generation.configuration.table(description.fields.get(operation.name))
        reads = description.reads.get(operation.name, ())
        sample = await rows.read(draft.sample, draft.content, operation, table, work, reads)
        notes.extend(f"the sample, for the serving model: {note}" for note in sample.notes)
        return sample

    try:
        async with limits.host():
            arguments = (generation.model, None, proto, generation.configuration, operation, read)
            return (await _score(deployment.settings, *arguments)).rows
    except (HotswapError, Problem) as error:
        notes.append(f"the serving model does not score the sample: {error}")
        return {}


async def _score(
    settings: Settings,
    model: Path | Model,
    kind: str | None,
    proto: Proto,
    configuration: Configuration,
    operation: Operation,
    read: Callable[[Description], Awaitable[rows.Rows | None]],
) -> _Scored:
    async with own_host(settings, model, kind, proto, configuration) as (host, description):
        sample = await read(description)
        values = sample.values[:_MOST_ROWS] if sample else []
        numbers = sample.numbers[:_MOST_ROWS] if sample else []
        answers = await host.score(values, [Ask(operation.name)] * len(values)) if values else []
        reads = description.reads.get(operation.name, {})
    scored: dict[int, dict[str, str]] = {}
    notes = []
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, Refusal):
            notes.append(f"row {number}: {answer.code}: {answer.message}")
            scored[number] = {}
        else:
            scored[number] = dict(cells_of(documents.as_json(operation.output.FromString(answer))))
    return _Scored(scored, reads, notes[:_MOST_NOTES])
