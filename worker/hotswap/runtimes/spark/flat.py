"""The fast path of a compiled plan: from bytes to bytes inside the JVM (SparkBlocks.java).

A text travels as its number among those that are known: an indexer's labels, and what IndexToString returns. Requests
with any other text, and with whatever else is not plain, go to the fallback.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final, TypeAlias

import jpype
from google.protobuf.descriptor import FieldDescriptor

from hotswap.codec.outputs import FLOATS, Fill, Output
from hotswap.codec.sources import FieldSource
from hotswap.runtimes.flat.answers import LABEL, Part, parts_of
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.flat.requests import as_number
from hotswap.runtimes.rows import RowPlan
from hotswap.runtimes.spark import columns
from hotswap.runtimes.spark.scores import Scores
from hotswap.runtimes.spark.session import blocks_class

_MAX_WIDTH: Final = 1_024  # numbers that answer a row: the JVM holds those of hundreds of rows
_MAX_KNOWN: Final = 100_000  # texts of a column, or whole numbers of an output: the JVM holds each beforehand

_Texts: TypeAlias = Mapping[str, Sequence[str]]


def flat_plan(fallback: RowPlan, scores: Scores, stages: Sequence[Any]) -> FlatPlan:
    """Return the fast path of the plan `fallback`, which scores by `scores`. Raises NotFlat."""
    if scores.rows is None:
        raise NotFlat("the pipeline is scored by Spark jobs")
    taken, output_texts = columns.taken_texts(stages), columns.given_texts(stages)
    sources = [_source(source, taken) for source in fallback.decoder.sources]
    outputs = scores.outputs
    starts = list(accumulate(map(_size, outputs), initial=0))
    if starts[-1] > _MAX_WIDTH:
        raise NotFlat(f"{starts[-1]:,} numbers answer a row, more than {_MAX_WIDTH:,}")
    fields = scores.rows.output.fields()
    fills = [_fill(fill, starts, output_texts, fields[fill.output.start]) for fill in fallback.encoder.fills]
    is_scored = Output("", starts[-1], starts[-1] + 1)
    # A part without bytes: a row that is not scored has none of its classes, and so no answer.
    parts = [Part(LABEL, is_scored, labels=[b""]), *parts_of(fallback.encoder, fills, is_scored.stop)]
    scorer = blocks_class()(
        scores.rows,
        _to_java([taken[column.name] if column.type == "text" else None for column in scores.columns]),
        _to_java([output_texts[output.name] if output.is_text else None for output in outputs]),
        jpype.JArray(jpype.JInt)(starts),
        jpype.JArray(jpype.JBoolean)([output.is_whole for output in outputs]),
    )
    return FlatPlan(fallback, scorer, sources=sources, parts=parts, width=is_scored.stop)


def _source(source: FieldSource, known: _Texts) -> FieldSource:
    """Return the source of a column's numbers. Raises NotFlat."""
    column, name = source.column, source.column.name
    if number := as_number(source):
        return number
    if column.type != "text" or source.convert is None:
        raise NotFlat(f"column `{name}` is {column.kind}, from field `{source.path}`")
    if name not in known:
        raise NotFlat(f"column `{name}` holds any text")
    if len(known[name]) > _MAX_KNOWN:
        raise NotFlat(f"column `{name}` has {len(known[name]):,} texts, more than {_MAX_KNOWN:,}")
    numbers: dict[Any, float] = {text: float(number) for number, text in enumerate(known[name])}
    if source.leaf.enum_type:
        texts = {value.number: source.convert(value.number) for value in source.leaf.enum_type.values}
        numbers = {number: numbers[text] for number, text in texts.items() if text in numbers}
    return replace(source, kind="lookup", lookup=numbers, convert=None)


def _size(output: Output) -> int:
    """Return how many numbers an output has. Raises NotFlat."""
    if output.is_list or (output.is_vector and not output.size):
        raise NotFlat(f"output `{output.name}` is {output.kind}, of any length")
    return output.size or 1


def _count(field: Any) -> int:
    """Return how many whole numbers a nominal column may hold, from 0 on; 0 if it does not say."""
    attribute = jpype.JClass("org.apache.spark.ml.attribute.Attribute").fromStructField(field)
    count = attribute.getNumValues() if hasattr(attribute, "getNumValues") else None
    return int(count.get()) if count is not None and count.isDefined() else 0


def _fill(fill: Fill, starts: Sequence[int], texts_by_output: _Texts, field: Any) -> Fill:
    """Return the fill with its output where it is among the numbers, as a label where it must be. Raises NotFlat."""
    output, part = fill.output, fill.field
    place = output.start
    placed = replace(output, start=starts[place], stop=starts[place + 1])
    if output.is_text:
        if output.name not in texts_by_output:
            raise NotFlat(f"output `{output.name}` is any text")
        texts = [*texts_by_output[output.name]]
        labels: Sequence[Any] = texts if fill.names is None else [fill.names.get(text.lower()) for text in texts]
        if None in labels:
            raise NotFlat(f"output field `{part.name}` does not have every text of output `{output.name}`")
        return replace(fill, output=replace(placed, classes=tuple(texts)), labels=labels)
    wholes = range(_count(field) if output.is_whole and part.cpp_type not in FLOATS else 0)
    if 0 < len(wholes) <= _MAX_KNOWN:
        labels = [*map(str, wholes)] if part.type == FieldDescriptor.TYPE_STRING else wholes
        return replace(fill, output=replace(placed, classes=tuple(map(str, wholes))), labels=labels)
    return replace(fill, output=placed)


def _to_java(texts: Sequence[Sequence[str] | None]) -> Any:
    strings = jpype.JArray(jpype.JString)
    return jpype.JArray(strings)([None if some is None else strings(some) for some in texts])
