"""Prepares a package of a model: detects its inputs and outputs, drafts a proto, and checks that they fit together.

Types come from the model itself if its runtime knows them, otherwise from every row of a sample; columns are matched by
name. What is packed has been loaded and checked just as a worker would stage it, including the samples.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from hotswap.artifacts.detect import find_kind, find_model
from hotswap.batch import Answer
from hotswap.client import protos
from hotswap.client.change import read_proto
from hotswap.client.scoring import answer, check
from hotswap.codec.golden import GoldenAnswers
from hotswap.codec.proto import Schema
from hotswap.codec.text.hints import explain_header
from hotswap.codec.versions import FIRST, Version, next_version
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.generation import Configuration, Proto, frozen
from hotswap.host.describe import ask
from hotswap.host.interface import Interface
from hotswap.host.load import Load
from hotswap.packages.draft import Draft, draft_proto, fields_of
from hotswap.packages.fitting import renamed, unfilled
from hotswap.packages.functions import draft_functions, rows_of
from hotswap.packages.package import encode_samples, open_package, schema_of
from hotswap.packages.packing import Content
from hotswap.packages.sample import Sample, open_sample
from hotswap.packages.staged import loading
from hotswap.runtimes.kinds import kinds, runtime_of
from hotswap.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SPARK = "spark"
_SHOWN = 20  # columns that are missing
_USUAL_ANSWER_BYTES = 2_031_640  # what kafka/topics/topics.py allows a prediction beside its key and headers
_NUMBER, _NUMBER_BYTES = "optional double", 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The request of a package. None: detected (`kind`, `name`), drafted (`proto`), or absent.

    `previous` is a package or a proto of the version before; `previous_version` its number, None: the package's.
    `may_lack`: the sample need not have each column that the model reads. `is_flat`: draft a proto that /v2 can use.
    `golden`: how many rows of the sample become golden answers.
    """

    model: Path
    kind: str | None = None
    name: str | None = None
    sample: Path | None = None
    proto: Path | None = None
    configuration: Configuration = field(default_factory=Configuration)
    previous: Path | None = None
    previous_version: str | None = None
    may_lack: bool = False
    is_flat: bool = False
    golden: int = 0


class _Known(NamedTuple):
    """The facts of the model and the sample."""

    name: str
    kind: str
    about: str
    interface: Interface | None
    sample: Sample | None


class _Fitted(NamedTuple):
    proto: Proto
    configuration: Configuration
    samples: str
    notes: list[str]


class Onboarded(NamedTuple):
    """The content to pack, and notes on it for the user, a line each."""

    content: Content
    notes: list[str]


async def onboard(settings: Settings, wish: Wish) -> Onboarded:
    """Prepare the content of a package; writes and uploads nothing.

    Raises:
        UsageError: a file is not what it should be, or the model's inputs are unknown.
        SwapError: the model cannot be loaded, or the model, the proto, the configuration and the sample do not fit
            each other; the error is a worker's own.

    """
    name, sample, given = _name(wish), _sample(wish), wish
    model, kind = find_model(given.model, given.kind)
    wish = replace(wish, model=model)
    # A kind without a runtime here is packed for workers that have one; it cannot be described or checked here.
    is_served = kind in kinds()
    async with loading(settings, wish.model, kind, is_served=is_served) as load:
        wish, interface = await _ask(wish, kind, sample, load) if is_served and not wish.proto else (wish, None)
        if sample and interface and interface.columns is not None:
            sample = sample.called_by([column.name for column in interface.columns])
        what = interface.description.partition(": ")[0] if interface else f"a model of kind {kind}"
        about = f"{name}, {what}"
        fitted = _fit(wish, _Known(name, kind, about, interface, sample))
        schema = await protos.in_thread(schema_of, fitted.proto)
        if wish.proto and sample:
            described = await check(load(fitted.configuration, fitted.proto)) if is_served else None
            fitted = fitted._replace(samples=renamed(sample, schema, fitted.configuration, described))
        samples = io.StringIO(fitted.samples, newline="")
        messages = encode_samples(samples, schema, f"sample {wish.sample}") if fitted.samples else ()
        answers: Sequence[Answer] = ()
        if is_served:
            final = load(fitted.configuration, fitted.proto, messages)
            description, answers = await answer(final, wish.golden) if wish.golden else (await check(final), ())
            if wish.proto and fitted.samples:
                fitted.notes.extend(_lacking(wish, unfilled(fitted.samples, schema, description.reads)))
        else:
            fitted.notes.append(f"not checked: no runtime for kind {kind} is installed here")
    if given.kind is None and kind != (whole := find_kind(given.model)):
        fitted.notes.append(f"packed as kind {kind}, which needs no Python: --kind {whole} packs the MLflow folder")
    content = _content(wish, kind, name, about, schema, fitted)
    return Onboarded(replace(content, golden=_golden(wish, schema, messages, answers)), fitted.notes)


def _golden(wish: Wish, schema: Schema, messages: Sequence[bytes], answers: Sequence[Answer]) -> bytes:
    """Return the model's own answers to the first rows of the sample as golden ones, if they are wished for."""
    if not wish.golden:
        return b""
    good = [one for one in answers if isinstance(one, bytes)]
    if not good or len(good) < len(answers):
        raise UsageError("there are no answers to be golden: --golden needs a --sample, and the model's runtime here")
    operation = next(iter(schema.operations.values()))
    try:
        return GoldenAnswers.predicted(operation, messages[: len(good)], good).dump()
    except ValueError as error:
        raise UsageError(f"the golden answers cannot be packed: {error}: take fewer with --golden") from error


def _content(wish: Wish, kind: str, name: str, about: str, schema: Schema, fitted: _Fitted) -> Content:
    version = _version(wish, schema)
    return Content(
        name=name,
        version=version.number,
        reasons=version.reasons,
        kind=kind,
        about=about,
        model=wish.model,
        proto=fitted.proto,
        schema=schema,
        configuration=fitted.configuration,
        samples=fitted.samples,
    )


async def _ask(wish: Wish, kind: str, sample: Sample | None, load: Callable[..., Load]) -> tuple[Wish, Interface]:
    """Return the model's interface, and the wish with the sample's types if Spark's stages do not tell all of them."""
    rows = {"samples": rows_of(sample)} if sample and runtime_of(kind).has_guest else {}
    try:
        return wish, await ask(load(wish.configuration, **rows))
    except SwapError as error:
        options = wish.configuration.runtime
        if kind != _SPARK or error.code is not SwapCode.SCHEMA_MISMATCH or sample is None or "schema" in options:
            raise
    options = frozen({**options, "schema": sample.schema})
    wish = replace(wish, configuration=replace(wish.configuration, runtime=options))
    return wish, await ask(load(wish.configuration))


def _name(wish: Wish) -> str:
    name = wish.name or re.sub(r"[^A-Za-z0-9_-]", "_", wish.model.resolve().stem)
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: the name of a model consists of letters, digits, `_` and `-`")
    return name


def _sample(wish: Wish) -> Sample | None:
    return open_sample(wish.sample, wish.configuration.text) if wish.sample else None


def _fit(wish: Wish, known: _Known) -> _Fitted:
    """Return the proto, given or drafted, with the configuration and samples that fit it."""
    configuration, sample = wish.configuration, known.sample
    if wish.proto:
        return _Fitted(read_proto(wish.proto), configuration, "", [])
    draft = _draft(wish, known)
    merged = replace(
        configuration,
        columns=frozen({**draft.columns, **configuration.columns}),
        outputs=frozen({**draft.outputs, **configuration.outputs}),
    )
    notes = [
        f"column {column!r} is called {valid} in the proto" for column, valid in draft.fields.items() if column != valid
    ]
    notes += [*_compare(wish, known, draft), *_remarks(known, draft, merged)]
    return _Fitted(Proto.inline(draft.text), merged, sample.as_csv(draft.fields) if sample else "", notes)


def _draft(wish: Wish, known: _Known) -> Draft:
    if known.interface and known.interface.functions:
        return draft_functions(known.name, known.interface, known.sample)
    if known.interface and known.interface.columns is not None:
        truths = {part.name for part in known.sample.fields if part.type.endswith("bool")} if known.sample else set()
        inputs = [
            part._replace(type="optional bool") if part.name in truths and part.type == _NUMBER else part
            for part in fields_of(known.interface.columns)
        ]
    elif known.sample:
        inputs = known.sample.fields
    else:
        raise UsageError(
            f"model {wish.model} (kind {known.kind}) does not describe its inputs: pass sample rows with --sample "
            "data.csv, whose header names the columns, or the model's proto with --proto"
        )
    names = [part.name for part in inputs]
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"model {wish.model} has several columns called {', '.join(twins)}, which no request can tell apart: "
            "rename them and train it again (a MOJO does not keep the spaces around a name)"
        )
    return draft_proto(
        known.name,
        about=known.about,
        operations=_operations(wish.configuration.runtime),
        inputs=inputs,
        outputs=known.interface.outputs if known.interface else None,
        asked=set(wish.configuration.outputs.values()),
        is_flat=wish.is_flat,
    )


def _operations(options: Mapping[str, str]) -> list[str]:
    """Return the operations: for a jar the methods that its configuration names, for any other model one."""
    several = [name.removeprefix("method.") for name in options if name.startswith("method.")]
    methods = (options.get(name, "").partition("(")[0].strip() for name in ("method", "modelMethod"))  # or a signature
    one = next(filter(None, methods), "transform")
    names = several or [one]
    if odd := [name for name in names if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII)]:
        raise UsageError(
            f"configuration: {odd[0]!r} is not a valid rpc name; name the method with `method.<operation>`"
        )
    return names


def _compare(wish: Wish, known: _Known, draft: Draft) -> list[str]:
    """Return notes on the differences between the sample and the model's inputs. Raises UsageError if it lacks any."""
    columns = known.interface.columns if known.interface else None
    if known.sample is None or columns is None:
        return []
    types = {part.name: part.type.removeprefix("optional ") for part in known.sample.fields}
    advice = known.interface.advice if known.interface else ""
    if not set(types) & set(draft.fields):
        raise UsageError(
            f"none of the sample's columns ({', '.join(types)}) is a column of the model ({', '.join(draft.fields)}): "
            + (advice or explain_header(list(types), list(draft.fields)))
        )
    numbers = [column.name for column in columns if column.categories is None and column.type == "number"]
    texts = [name for name in numbers if types.get(name) == "string"]
    if texts and advice:
        raise UsageError(
            f"the sample has texts in {', '.join(map(repr, texts))}, which the model reads as numbers: {advice}"
        )
    return [
        *(
            f"column {name!r} of the sample is not a column of the model: left out"
            for name in types
            if name not in draft.fields
        ),
        *_lacking(wish, [name for name in draft.fields if name not in types], advice),
        *(
            f"column {name!r} is numeric in the model, but not in every row of the sample: add --missing for each text "
            "that means that a value is missing, such as NA"
            for name in texts
        ),
    ]


def _lacking(wish: Wish, columns: Sequence[str], advice: str = "") -> list[str]:
    """Return notes on columns that the model reads and the sample lacks. Raises UsageError unless it may lack some."""
    if not columns or wish.may_lack:
        return [f"column {name!r} of the model is not in the sample" for name in columns]
    shown = ", ".join(columns[:_SHOWN]) + (f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else "")
    raise UsageError(
        f"sample {wish.sample}: the file lacks columns that the model reads: {shown}; --allow-missing scores them as "
        f"missing{f' ({advice})' if advice else ''}"
    )


def _remarks(known: _Known, draft: Draft, configuration: Configuration) -> Iterator[str]:
    """Yield notes on the draft: guessed types, outputs that are left out or too large."""
    schema = configuration.runtime.get("schema")
    if known.sample and schema == known.sample.schema:
        yield (
            "the model does not tell the types of all its columns, so all have the sample's: the configuration's "
            f"runtime option `schema` is {schema}; if a type is wrong, pass the right ones with --config"
        )
    if unoffered := known.interface.unoffered if known.interface else ():
        yield f"left out of the answer, since no field can hold it: {', '.join(unoffered)}"
    if draft.left_out:
        outputs = ", ".join(f"{output.name} ({output.kind})" for output in draft.left_out)
        example = json.dumps({"outputs": {draft.left_out[0].name: draft.left_out[0].name}})
        yield (
            f"left out of the answer, as steps towards other outputs: {outputs}; to have one answered, "
            f"name it in the configuration's `outputs`, as by --config file.json with {example}"
        )
    elif inner := [output.name for output in draft.answered if output.is_inner and unoffered]:
        yield f"the answer has only what other stages of the model read: {', '.join(inner)}"
    size = _NUMBER_BYTES * sum(output.size or 0 for output in draft.answered)
    if size > _USUAL_ANSWER_BYTES:
        yield (
            f"the answer to a row has {size:,} bytes, but a predictions topic usually allows {_USUAL_ANSWER_BYTES:,}: "
            "a swap to it is refused unless the topic's max.message.bytes is larger"
        )


def _version(wish: Wish, schema: Schema) -> Version:
    if wish.previous is None:
        if wish.previous_version:
            raise UsageError("--previous-version needs --previous: the package or the proto of that version")
        return Version(FIRST, ("it is the first version",))
    if wish.previous.suffix == ".zip":
        with open_package(wish.previous) as package:
            proto, number = package.proto, wish.previous_version or package.version
    else:
        proto, number = read_proto(wish.previous), wish.previous_version
    if proto is None:
        raise UsageError(f"--previous {wish.previous} has no proto: pass its modeldump.zip, or its .proto")
    if number is None:
        raise UsageError(f"--previous {wish.previous} has no version: add --previous-version 1.2.3")
    return next_version(number, schema_of(proto), schema)
