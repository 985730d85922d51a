"""The columns that a Spark model takes, which its files do not say: from its stages, by their own parameters.

What no earlier stage makes, and a stage reads, comes from the request. Its type is what the stage that reads it takes;
Spark's own `transformSchema` confirms it, stage by stage. Where the type cannot be known (SQLTransformer does not even
say what it reads, FeatureHasher takes anything) it must be given. The objects here are Spark's own, of Java: by JPype
in a model host, by Py4J in a job on a cluster.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError

_TEXT: Final = {"StringIndexerModel", "Tokenizer", "RegexTokenizer"}
_WORDS: Final = {"CountVectorizerModel", "FPGrowthModel", "HashingTF", "NGram", "StopWordsRemover", "Word2VecModel"}
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
_UNKNOWN: Final = {"FeatureHasher", "SQLTransformer"}
_ADVICE: Final = 'say the types in configuration.runtime `schema`, as in "plan STRING, age DOUBLE"'


def flatten(stages: Iterable[Any]) -> Iterator[Any]:
    """Give the stages of pipelines within pipelines one by one."""
    for stage in stages:
        if kind_of(stage) == "PipelineModel":
            yield from flatten(stage.stages())
        else:
            yield stage


def find_schema(stages: Sequence[Any], given: Any, vector: Any) -> Any:
    """Give the StructType of the columns that a request must have: those `given`, then what stages read beyond them.

    `vector` is Spark's vector type. Raises SwapError SCHEMA_MISMATCH where a type cannot be known; Spark's own errors
    where a stage does not take what it gets.
    """
    labels = {name for stage in stages for name in _parameters(stage, "labelCol")}
    needed = schema = given
    for stage in stages:
        for reader, name in _inputs(stage, labels, stages):
            if name not in map(str, schema.fieldNames()):
                kind = _type(reader, name, vector)
                schema, needed = schema.add(name, kind, True), needed.add(name, kind, True)
        schema = stage.transformSchema(schema)
    return needed


def advice(stages: Sequence[Any]) -> str:
    """Say what to do where Spark refuses the columns that were found."""
    odd = sorted({kind_of(stage) for stage in stages} & _UNKNOWN)
    return f"; what {' and '.join(odd)} reads cannot be known: {_ADVICE}" if odd else f"; or {_ADVICE}"


def kind_of(stage: Any) -> str:
    """Give the name of a stage's class."""
    return str(stage.getClass().getSimpleName())


def response_of(stages: Sequence[Any]) -> tuple[str, str | None]:
    """Give the column of the prediction itself, and the name of the column that it was trained to predict."""
    for stage in reversed(stages):
        if found := _parameters(stage, "predictionCol"):
            return found[0], next(iter(_parameters(stage, "labelCol")), None)
    return "prediction", None


def _type(reader: Any, name: str, vector: Any) -> Any:
    kind = kind_of(reader)
    if kind in _UNKNOWN:
        raise SwapError(
            SwapCode.SCHEMA_MISMATCH, f"{kind} reads column `{name}`, of which it takes any type; {_ADVICE}"
        )
    if kind in _WORDS:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"{kind} reads column `{name}`, a list of words, which a request cannot hold yet",
        )
    if kind in _NUMBERS or name in _parameters(reader, "offsetCol"):
        return "double"
    return "string" if kind in _TEXT else "int" if kind in _WHOLE else vector


def _inputs(stage: Any, labels: set[str], stages: Sequence[Any]) -> list[tuple[Any, str]]:
    """Give the columns that a stage must have to transform, each with the stage that really reads it."""
    if kind_of(stage) == "RFormulaModel":
        # It is a pipeline in disguise: its formula's columns are those that its stages read.
        inner = list(flatten(stage.pipelineModel().stages()))
        made = {name for part in inner for name in _outputs(part)}
        return [read for part in inner for read in _inputs(part, labels, inner) if read[1] not in made]
    names = _reads(stage)
    if kind_of(stage) == "StringIndexerModel":
        # One that makes the label was of use in training only; Spark leaves it out where its column is not there.
        used = {name for other in stages if other is not stage for name in _reads(other)}
        names = [name for name, made in zip(names, _outputs(stage), strict=True) if made in used or made not in labels]
    return [(stage, name) for name in names]


def _reads(stage: Any) -> list[str]:
    odd = [name for parameter in ("userCol", "itemCol", "itemsCol") for name in _parameters(stage, parameter)]
    usual = _parameters(stage, "inputCols") or _parameters(stage, "inputCol") or _parameters(stage, "featuresCol")
    return odd or [*usual, *_parameters(stage, "offsetCol")]


def _outputs(stage: Any) -> list[str]:
    return _parameters(stage, "outputCols") or _parameters(stage, "outputCol")


def _parameters(stage: Any, name: str) -> list[str]:
    """Give the texts of a parameter, of which there may be none."""
    if not stage.hasParam(name):
        return []
    parameter = stage.getParam(name)
    if not stage.isDefined(parameter):
        return []
    value = stage.getOrDefault(parameter)
    texts = map(str, value) if name.endswith("Cols") else (str(value),)
    return [text for text in texts if text]
