"""The columns that a Spark model reads, which its files do not list: derived from its stages' parameters.

A column that a stage reads and no earlier stage adds comes from the request. It has the type that the reading stage
accepts; Spark's own `transformSchema` confirms it, stage by stage. If the type cannot be known (SQLTransformer does not
even declare what it reads, FeatureHasher accepts anything), it must be configured. The objects here are Spark's Java
objects, through JPype.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError

_TEXT: Final = {"StringIndexerModel", "Tokenizer", "RegexTokenizer"}
_WORDS: Final = {"CountVectorizerModel", "HashingTF", "NGram", "StopWordsRemover", "Word2VecModel"}
_NUMBERS: Final = {
    "Binarizer",
    "Bucketizer",
    "ImputerModel",
    "IndexToString",
    "Interaction",
    "OneHotEncoderModel",
    "VectorAssembler",
}
_WHOLE: Final = {"ALSModel"}
_WANTED: Final = ("predictionCol", "probabilityCol")
_UNKNOWN: Final = {"FeatureHasher", "SQLTransformer"}
_ADVICE: Final = 'declare the types in configuration.runtime `schema`, as in "plan STRING, age DOUBLE"'


def flatten(stages: Iterable[Any]) -> Iterator[Any]:
    """Yield the stages one by one, descending into nested pipelines."""
    for stage in stages:
        if kind_of(stage) == "PipelineModel":
            yield from flatten(stage.stages())
        else:
            yield stage


def find_schema(stages: Sequence[Any], declared: Any, vector: Any) -> Any:
    """Return the StructType of the columns that a request must have: the `declared` ones, then others that stages read.

    `vector` is Spark's vector type. Raises SwapError SCHEMA_MISMATCH if a type cannot be known, and Spark's own errors
    if a stage rejects its input.
    """
    labels = {name for stage in stages for name in _parameters(stage, "labelCol")}
    needed = schema = declared
    for stage in stages:
        for reader, name in _inputs(stage, labels, stages):
            if name not in map(str, schema.fieldNames()):
                kind = _type(reader, name, vector)
                schema, needed = schema.add(name, kind, True), needed.add(name, kind, True)
        schema = stage.transformSchema(schema)
    return needed


def labels_of(stages: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """Return the columns whose unknown values an indexer keeps (`handleInvalid="keep"`), with the values it knows."""
    return {
        name: tuple(map(str, labels))
        for stage in stages
        if kind_of(stage) == "StringIndexerModel" and _parameters(stage, "handleInvalid") == ["keep"]
        for name, labels in zip(inputs_of(stage), stage.labelsArray(), strict=True)
    }


def taken_texts(stages: Iterable[Any]) -> dict[str, list[str]]:
    """Return the columns that indexers read, with the texts that they know."""
    known: dict[str, dict[str, None]] = {}
    for stage in stages:
        if kind_of(stage) == "RFormulaModel":
            inner = taken_texts(flatten(stage.pipelineModel().stages()))
        elif kind_of(stage) == "StringIndexerModel":
            columns = zip(inputs_of(stage), stage.labelsArray(), strict=True)
            inner = {name: [*map(str, labels)] for name, labels in columns}
        else:
            continue
        for name, texts in inner.items():
            known.setdefault(name, {}).update(dict.fromkeys(texts))
    return {name: list(texts) for name, texts in known.items()}


def given_texts(stages: Iterable[Any]) -> dict[str, list[str]]:
    """Return the columns that `IndexToString` adds, with the texts that they may hold, where the stage lists them."""
    return {
        name: texts
        for stage in stages
        if kind_of(stage) == "IndexToString" and (texts := _parameters(stage, "labels"))
        for name in outputs_of(stage)
    }


def advice(stages: Sequence[Any]) -> str:
    """Return advice for columns that Spark rejects."""
    odd = sorted({kind_of(stage) for stage in stages} & _UNKNOWN)
    return f"; the columns that {' and '.join(odd)} reads are not known: {_ADVICE}" if odd else f"; or {_ADVICE}"


def kind_of(stage: Any) -> str:
    """Return the name of a stage's class."""
    return str(stage.getClass().getSimpleName())


def inner_columns(stages: Sequence[Any], schema: Any) -> set[str]:
    """Return the columns that a stage adds only for another one to read: all but predictions and probabilities."""
    present = set(map(str, schema.fieldNames()))
    read: set[str] = set()
    wanted: set[str] = set()
    for stage in stages:
        read.update(set(inputs_of(stage)) & set(map(str, schema.fieldNames())))
        wanted.update(name for parameter in _WANTED for name in _parameters(stage, parameter))
        schema = stage.transformSchema(schema)
    return read - present - wanted


def response_of(stages: Sequence[Any]) -> tuple[str, str | None]:
    """Return the prediction column, and the name of the column that the model was trained to predict, if known."""
    for stage in reversed(stages):
        if names := _parameters(stage, "predictionCol"):
            return names[0], next(iter(_parameters(stage, "labelCol")), None)
    return "prediction", None


def _type(reader: Any, name: str, vector: Any) -> Any:
    kind = kind_of(reader)
    if kind in _UNKNOWN:
        raise SwapError(
            SwapCode.SCHEMA_MISMATCH, f"{kind} reads column `{name}`, for which it accepts any type; {_ADVICE}"
        )
    if kind == "FPGrowthModel":
        return reader.freqItemsets().schema().apply("items").dataType()
    if kind in _WORDS:
        return "array<string>"
    if kind in _NUMBERS or name in _parameters(reader, "offsetCol"):
        return "double"
    return "string" if kind in _TEXT else "int" if kind in _WHOLE else vector


def _inputs(stage: Any, labels: set[str], stages: Sequence[Any]) -> list[tuple[Any, str]]:
    """Return the columns that a stage needs to transform, each with the stage that actually reads it."""
    if kind_of(stage) == "RFormulaModel":
        # A pipeline in disguise: its formula's columns are those that its stages read.
        inner = list(flatten(stage.pipelineModel().stages()))
        made = {name for part in inner for name in outputs_of(part)}
        return [read for part in inner for read in _inputs(part, labels, inner) if read[1] not in made]
    names = inputs_of(stage)
    if kind_of(stage) == "StringIndexerModel":
        # An indexer of the label is needed in training only; Spark skips it if its input column is absent.
        used = {name for other in stages if other is not stage for name in inputs_of(other)}
        names = [
            name for name, made in zip(names, outputs_of(stage), strict=True) if made in used or made not in labels
        ]
    return [(stage, name) for name in names]


def inputs_of(stage: Any) -> list[str]:
    """Return the columns that a stage names as its inputs."""
    odd = [name for parameter in ("userCol", "itemCol", "itemsCol") for name in _parameters(stage, parameter)]
    usual = _parameters(stage, "inputCols") or _parameters(stage, "inputCol") or _parameters(stage, "featuresCol")
    return odd or [*usual, *_parameters(stage, "offsetCol")]


def outputs_of(stage: Any) -> list[str]:
    """Return the columns that a stage names as its outputs."""
    return _parameters(stage, "outputCols") or _parameters(stage, "outputCol")


def _parameters(stage: Any, name: str) -> list[str]:
    """Return the texts of a parameter; none if the stage lacks it or it is not set."""
    if not stage.hasParam(name):
        return []
    parameter = stage.getParam(name)
    if not stage.isDefined(parameter):
        return []
    value = stage.getOrDefault(parameter)
    texts = map(str, value) if name.endswith(("Cols", "labels")) else (str(value),)
    return [text for text in texts if text]
