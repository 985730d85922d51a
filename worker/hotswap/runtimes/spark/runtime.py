"""Scores saved Spark ML pipelines in this process's JVM, row by row, without a Spark job.

The model is a saved `PipelineModel`, or a single saved model or transformer: the folder that Spark wrote, at the top of
the artifact or one level down. Spark's `transform` is called once, over a table without rows, for its plan; the plan's
projections and filters are then evaluated for each row (SparkRows.java). So a row's scores are what Spark computes.
Flat rows are decoded and encoded inside the JVM (flat.py).

Options of `configuration.runtime`:

    schema    types of a request's columns as Spark DDL: "plan STRING, age DOUBLE"; ARRAY<DOUBLE> is a vector. Or as
              the JSON that Spark's `DataFrame.schema.json()` writes, which may state the length of a vector. Needed
              only where the stages do not tell them (runtimes/spark/columns.py, widths.py).
    allow     prefixes of classes, beyond Spark's own, that a model may name, separated by commas
    fallback  "dataframe": a pipeline with steps other than projections and filters (the join of ALS) is scored by a
              Spark job for each batch, a hundred times slower; without it, such a pipeline is refused at the swap

Outputs: every column that the pipeline adds, by its own name. `prediction` also matches the usual names of a label,
`probability` matches `probabilities` and its synonyms. A null is NaN in a number, is left out of a text, and refuses
the request in a whole number or a boolean. Lists of texts and of numbers are offered; lists of anything else,
structures and dates are not. A value missing in a request is null to Spark (as is a NaN, which cannot be told from it).

A row that makes a stage raise is refused by itself with Spark's message, and so is one that a filter drops
(`handleInvalid="skip"`). A vector of another length than the model's is refused before that.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import jpype
import numpy as np

from hotswap.codec.fields import Column, ColumnType
from hotswap.codec.outputs import Output, predict_names
from hotswap.codec.proto import Operation
from hotswap.codec.values import Table
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.options import check_options
from hotswap.runtimes.rows import RowPlan
from hotswap.runtimes.spark import columns, folder
from hotswap.runtimes.spark.flat import flat_plan
from hotswap.runtimes.spark.prewarm import save_pipeline
from hotswap.runtimes.spark.scores import Scores, SparkPipeline, compiled, job
from hotswap.runtimes.spark.session import blocks_class, reason, session
from hotswap.runtimes.spark.widths import fitted_width, stated_width

_COLUMN_TYPES: Final[Mapping[str, ColumnType]] = {
    "double": "number",
    "float": "number",
    "boolean": "number",
    "byte": "whole",
    "short": "whole",
    "integer": "whole",
    "long": "whole",
    "string": "text",
    "vector": "vector",
}
_LIST_TYPES: Final[Mapping[ColumnType, ColumnType]] = {"text": "texts", "whole": "wholes"}
_WHOLE: Final = {"byte", "short", "integer", "long"}
_REAL: Final = {"double", "float"}
_PROBABILITY: Final = ("probabilities", "probs", "class_probabilities")
# The first load takes seconds to load classes; the following ones make Java compile the code that a load runs.
_PREWARM_LOADS: Final = 8
_OPTIONS: Final = ("allow", "fallback", "schema")


def load(path: Path, configuration: Configuration) -> "SparkModel":
    """Load a saved pipeline. Raises SwapError, see SparkModel."""
    return SparkModel(path, configuration.runtime)


def versions(_: object) -> str:
    """Return the version of Spark."""
    return f"Spark {session().version()}"


def prepare() -> None:
    """Start the session, then load and score a made-up model: the next model finds all of Spark loaded."""
    blocks_class()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = save_pipeline(Path(folder))
        for _ in range(_PREWARM_LOADS):
            SparkModel(path, {}).score(Table(np.zeros((1, 2)), {0: ["a"]}))


class SparkModel:
    """A loaded pipeline. `columns` and `outputs` are all that it reads and can return.

    `unoffered` describes the columns that it adds and no answer can hold.
    """

    def __init__(self, path: Path, options: Mapping[str, str]) -> None:
        """Load it from the folder that it was unpacked to.

        Raises SwapError: CONFIGURATION_INVALID for an unknown option, MODEL_INVALID if it is not a saved model,
        MODEL_UNSUPPORTED if it names an untrusted class or reads a type that no request can hold, SCHEMA_MISMATCH if
        its stages reject their input columns.
        """
        _check_options(options)
        top = folder.find_top(path)
        folder.check_classes(top, tuple(filter(None, map(str.strip, options.get("allow", "").split(",")))))
        self._stages: Final = list(columns.flatten(_load(*stage) for stage in folder.stage_folders(top)))
        self._is_job_allowed: Final = "fallback" in options
        with _mismatch(self._stages):
            self._input: Final = _find_input(self._stages, options.get("schema", ""))
            self._table: Final = SparkPipeline(self._stages, self._input)
        labels = columns.labels_of(self._stages)
        self.columns: Final[Sequence[Column]] = [self._column(field, labels) for field in self._input.fields()]
        self.unoffered: Final[list[str]] = []
        self.outputs: Final[Sequence[Output]] = self._find_outputs()

    @property
    def description(self) -> str:
        """The stages, the columns and the outputs."""
        stages = ", ".join(map(columns.kind_of, self._stages))
        taken = ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        return f"Spark {stages}: {taken} -> {', '.join(output.name for output in self.outputs)}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | FlatPlan:
        """Return the plan of an operation, for which Spark computes only the outputs that fill a field.

        It is the fast path in the JVM if its rows are flat. Raises SwapError MODEL_UNSUPPORTED if the pipeline cannot
        be scored row by row.
        """
        plan = RowPlan(self, operation, configuration)
        if plan.problems:
            return plan
        scores = self._limited_to(plan.used)
        plan = RowPlan(scores, operation, configuration)
        try:
            return flat_plan(plan, scores, self._stages)
        except NotFlat as reason:
            plan.path = f"through Python: {reason}"
            return plan

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x all outputs. Raises ModelError with Spark's message."""
        return self._whole.score(table)

    @cached_property
    def _whole(self) -> Scores:
        return self._limited_to(self.outputs)

    def _limited_to(self, outputs: Sequence[Output]) -> Scores:
        chosen = [replace(output, start=place, stop=place + 1) for place, output in enumerate(outputs)]
        try:
            return compiled(self._table, self.columns, chosen)
        except jpype.JException as error:
            why = reason(error)
        if self._is_job_allowed:
            return job(self._table, self.columns, chosen)
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"the pipeline cannot be scored row by row, its plan has: {why}; to score it by a Spark job for each "
            'batch, set configuration.runtime `fallback` to "dataframe"',
        )

    def _column(self, field: Any, labels: Mapping[str, tuple[str, ...]]) -> Column:
        column = _column(field, labels)
        if column.type != "vector":
            return column
        return column._replace(width=stated_width(field) or fitted_width(self._stages, column.name))

    def _find_outputs(self) -> list[Output]:
        prediction, response = columns.response_of(self._stages)
        names: dict[str, tuple[str, ...]] = {"probability": _PROBABILITY, prediction: predict_names(response)}
        taken = {column.name for column in self.columns}
        inner = columns.inner_columns(self._stages, self._input)
        outputs: list[Output] = []
        for field in self._table.schema.fields():
            name, place = str(field.name()), len(outputs)
            if name in taken:
                continue
            bare = Output(name, place, place + 1, names.get(name, ()), is_inner=name in inner)
            if output := _output(field, bare):
                outputs.append(output)
            else:
                self.unoffered.append(f"{name} ({field.dataType().simpleString()})")
        if not outputs:
            added = ", ".join(self.unoffered) or "none"
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                f"the pipeline adds no column that an answer can hold (columns that it adds: {added}); an answer holds "
                "numbers, texts, vectors, and lists of texts or numbers: convert it in a further stage of the pipeline",
            )
        return outputs


def _check_options(options: Mapping[str, str]) -> None:
    check_options(options, "spark", _OPTIONS)
    if (fallback := options.get("fallback", "dataframe")) != "dataframe":
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID, f'configuration.runtime `fallback` is "{fallback}"; make it "dataframe"'
        )


def _load(name: str, folder: Path) -> Any:
    session()
    try:
        stage = jpype.JClass(name).load(f"file://{folder.absolute()}")
    except (TypeError, AttributeError, jpype.JException) as error:
        cause = reason(error) if isinstance(error, jpype.JException) else f"there is no class {name} that can be loaded"
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact is not a readable Spark model: {cause}") from error
    if not isinstance(stage, jpype.JClass("org.apache.spark.ml.Transformer")):
        raise SwapError(SwapCode.MODEL_INVALID, f"{name} is not a Transformer: save the model that `fit` returned")
    return stage


@contextmanager
def _mismatch(stages: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    except jpype.JException as error:
        message = f"Spark rejects the columns of the model: {reason(error)}{columns.advice(stages)}"
        raise SwapError(SwapCode.SCHEMA_MISMATCH, message) from error


def _find_input(stages: Sequence[Any], ddl: str) -> Any:
    vector = jpype.JClass("org.apache.spark.ml.linalg.SQLDataTypes").VectorType()
    schema = jpype.JClass("org.apache.spark.sql.types.StructType")()
    for field in _parse_schema(ddl) if ddl else ():
        kind = vector if str(field.dataType().sql()) == "ARRAY<DOUBLE>" else field.dataType()
        schema = schema.add(field.name(), kind, True, field.metadata())
    return columns.find_schema(stages, schema, vector)


def _parse_schema(ddl: str) -> Sequence[Any]:
    types = jpype.JClass("org.apache.spark.sql.types.StructType")
    try:
        is_json = ddl.lstrip().startswith("{")
        struct = jpype.JClass("org.apache.spark.sql.types.DataType").fromJson(ddl) if is_json else types.fromDDL(ddl)
        fields: Sequence[Any] = struct.fields()
    except jpype.JException as error:
        message = f"configuration.runtime `schema` cannot be read: {reason(error)}"
        raise SwapError(SwapCode.CONFIGURATION_INVALID, message) from error
    return fields


def _column(field: Any, labels: Mapping[str, tuple[str, ...]]) -> Column:
    kind = _COLUMN_TYPES.get(str(field.dataType().typeName()))
    if kind is None and str(field.dataType().typeName()) == "array":
        element = _COLUMN_TYPES.get(str(field.dataType().elementType().typeName()), "number")
        kind = _LIST_TYPES.get(element)
    if kind is None:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"column `{field.name()}` is {field.dataType().sql()}, which no request can hold: it holds numbers, texts, "
            "vectors (ARRAY<DOUBLE>), and lists of texts or whole numbers",
        )
    name = str(field.name())
    return Column(name, type=kind, known=labels.get(name, ()) if kind == "text" else ())


def _output(field: Any, output: Output) -> Output | None:
    """Return the output with its kind set; None if no answer can hold its type."""
    kind = str(field.dataType().typeName())
    if kind == "array":
        element = str(field.dataType().elementType().typeName())
        is_text = element == "string"
        made = replace(
            output, is_vector=True, is_list=True, is_object=True, is_text=is_text, is_whole=element in _WHOLE
        )
        return made if is_text or element in _WHOLE | _REAL else None
    if kind in _WHOLE:
        return replace(output, is_whole=True, is_object=True)
    make: Mapping[str, Callable[[], Output]] = {
        # The number of a class or category is whole, although Spark stores it as a double.
        "double": lambda: replace(output, is_whole=_is_nominal(field) and not field.nullable()),
        "float": lambda: output,
        "boolean": lambda: replace(output, classes=("false", "true")),
        "string": lambda: replace(output, is_text=True),
        "vector": lambda: replace(output, is_vector=True, is_object=True, size=stated_width(field)),
    }
    return make[kind]() if kind in make else None


def _is_nominal(field: Any) -> bool:
    attributes = jpype.JClass("org.apache.spark.ml.attribute.Attribute").fromStructField(field)
    return bool(attributes.isNominal())
