"""Scores rows with Spark: by the compiled expressions of a plan, or as the fallback by a job for each batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import jpype
import numpy as np

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.runtimes.spark.session import reason, rows_class, session

_ROW: Final = "__row"


class SparkPipeline:
    """A sequence of loaded stages. `schema` is the last one's output, a Java StructType."""

    def __init__(self, stages: Sequence[Any], schema: Any) -> None:
        """Transform a table without rows to find the output's schema. Raises Spark's own errors."""
        self._stages = stages
        self.input: Final = schema
        self._empty: Final = self.transform(_empty_table(schema))
        self.schema: Final = self._empty.schema()

    def transform(self, table: Any) -> Any:
        """Return a DataFrame transformed by all stages."""
        for stage in self._stages:
            table = stage.transform(table)
        return table

    def selected(self, outputs: Sequence[Output]) -> Any:
        """Return the transformed table without rows, with these columns only."""
        return _select(self._empty, [output.name for output in outputs])


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores tables by one call into Java, which returns None if rows are dropped.

    `rows` is the compiled plan, a SparkRows; None: a Spark job for each table.
    """

    columns: Sequence[Column]
    outputs: Sequence[Output]
    call: Callable[[Any, Any, int], Any]
    rows: Any = None

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs. Raises ModelError with Spark's message."""
        try:
            results = self.call(*_to_java(table, self.columns), len(table))
        except jpype.JException as error:
            raise ModelError(f"the model raised {reason(error)}") from error
        if results is None:
            raise ModelError('the pipeline dropped a row, as with handleInvalid="skip", and has no prediction for it')
        return _from_java(results, self.outputs, len(table))


def compiled(pipeline: SparkPipeline, columns: Sequence[Column], outputs: Sequence[Output]) -> Scores:
    """Return the scorer of a pipeline that runs its compiled plan.

    Raises a Java exception if it cannot be scored row by row: UnsupportedOperationException with the node's name.
    """
    table = pipeline.selected(outputs)
    rows = rows_class()(pipeline.input, table.schema(), table.queryExecution().optimizedPlan())
    return Scores(columns, outputs, rows.score, rows)


def job(pipeline: SparkPipeline, columns: Sequence[Column], outputs: Sequence[Output]) -> Scores:
    """Return the scorer of a pipeline that runs a Spark job for each batch.

    Raises SwapError MODEL_UNSUPPORTED if answers could not be matched to their rows, or if a job would need files.
    """
    rows, schema = rows_class(), pipeline.selected(outputs).schema()
    numbered = pipeline.input.add(_ROW, "int", False)
    names = [*(output.name for output in outputs), _ROW]

    def execution(table: Any) -> Any:
        return _select(pipeline.transform(table), names).queryExecution().executedPlan()

    def call(numbers: Any, others: Any, count: int) -> Any:
        table = _local_table(numbered, rows.rows(pipeline.input, numbers, others, count))
        return rows.columns(schema, execution(table).executeCollect(), count)

    try:
        plan = execution(_empty_table(numbered))
    except jpype.JException as error:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED, f"the pipeline's results cannot be matched to its rows: {reason(error)}"
        ) from error
    if "Exchange" in _nodes(plan):
        # The folder that a host starts in is removed once the host is ready.
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED, "the pipeline shuffles its rows, for which a model host has no files"
        )
    return Scores(columns, outputs, call)


def _empty_table(schema: Any) -> Any:
    # From an RDD: an empty local table would be optimized away, and the plan with it.
    context = jpype.JClass("org.apache.spark.api.java.JavaSparkContext")(session().sparkContext())
    return session().createDataFrame(context.emptyRDD(), schema)


def _local_table(schema: Any, rows: Any) -> Any:
    attributes = jpype.JClass("org.apache.spark.sql.catalyst.types.DataTypeUtils").toAttributes(schema)
    content = (
        jpype.JClass("scala.jdk.javaapi.CollectionConverters").asScala(jpype.java.util.Arrays.asList(rows)).toSeq()
    )
    nowhere = jpype.JClass("scala.Option").empty()
    relation = jpype.JClass("org.apache.spark.sql.catalyst.plans.logical.LocalRelation")
    return jpype.JClass("org.apache.spark.sql.classic.Dataset").ofRows(
        session(),
        relation(attributes, content, False, nowhere),
    )


def _select(table: Any, names: Sequence[str]) -> Any:
    # As columns, not as strings, in which dots and stars have a special meaning.
    columns = [table.col(f"`{name.replace('`', '``')}`") for name in names]
    return table.select(jpype.JArray(jpype.JClass("org.apache.spark.sql.Column"))(columns))


def _nodes(plan: Any) -> set[str]:
    inner = jpype.JClass("scala.jdk.javaapi.CollectionConverters").asJava(plan.children())
    return {str(plan.nodeName())}.union(*map(_nodes, inner))


def _to_java(table: Table, columns: Sequence[Column]) -> tuple[Any, Any]:
    """Convert a table to the arguments of SparkRows."""
    numbers = np.ascontiguousarray(table.matrix.T)
    others = jpype.JArray(jpype.JObject)(len(columns))
    for index, column in enumerate(columns):
        if column.type == "number":
            continue
        values = table.objects[index]
        if column.type == "text":
            others[index] = jpype.JArray(jpype.JString)(values)
            continue
        numbers[index] = [np.nan if value is None else 0.0 for value in values]
        others[index] = _lists_to_java(values, column) if column.is_list else _wholes(values, column)
    return jpype.JArray.of(numbers), others


def _wholes(values: Sequence[int | None], column: Column) -> Any:
    try:
        return jpype.JArray.of(np.array([value or 0 for value in values], np.int64))
    except OverflowError as error:
        raise ModelError(f"a value of column `{column.name}` is too large for a signed 64-bit integer") from error


def _lists_to_java(values: Sequence[list[Any] | None], column: Column) -> Any:
    flat = list(chain.from_iterable(value or () for value in values))
    if column.type == "texts":
        elements = jpype.JArray(jpype.JString)(flat)
    elif column.type == "wholes":
        elements = _wholes(flat, column)
    else:
        elements = jpype.JArray.of(np.array(flat, np.float64))
    ends = np.cumsum([len(value or ()) for value in values], dtype=np.int32)
    return jpype.JArray(jpype.JObject)([elements, jpype.JArray.of(ends)])


def _from_java(results: Any, outputs: Sequence[Output], count: int) -> Table:
    matrix = np.full((count, len(outputs)), np.nan)
    objects: dict[int, list[Any]] = {}
    for index, ((is_null, values), output) in enumerate(zip(results, outputs, strict=True)):
        present = ~np.array(is_null, np.bool_)
        if output.is_vector:
            objects[index] = _lists(values, present)
        elif output.is_text:
            objects[index] = _texts(values)
        elif output.is_object:
            numbers = np.array(values).tolist()
            objects[index] = [number if has else None for number, has in zip(numbers, present.tolist(), strict=True)]
        else:
            matrix[present, index] = np.array(values)[present]
    return Table(matrix, objects)


def _texts(values: Any) -> list[str | None]:
    return [None if text is None else str(text) for text in values]


def _lists(vectors: Any, present: Any) -> list[list[Any] | None]:
    values, ends = vectors
    stops = np.array(ends).tolist()
    used = values[: stops[-1] if stops else 0]
    flat = _texts(used) if isinstance(values, jpype.JArray(jpype.JString)) else np.array(used).tolist()
    starts = [0, *stops[:-1]]
    return [flat[a:b] if has else None for a, b, has in zip(starts, stops, present.tolist(), strict=True)]
