"""Scores data that does not fit on one machine: the same saved pipeline as a job on an existing Spark cluster.

    spark-submit worker/hotswap/runtimes/spark/job.py MODEL INPUT OUTPUT [--schema DDL] [--stream CHECKPOINT]
    python -m hotswap.runtimes.spark.job …          the same, with the session that PySpark finds or starts

MODEL is the folder that Spark saved (unpack a zip first). It must be on storage that the cluster reads, as must INPUT
and OUTPUT. INPUT is a folder or file of Parquet (if its name ends in .parquet) or else of JSON lines, with a column for
each of the model's columns; OUTPUT is a folder in the same format for the predictions: the input's columns plus those
that the pipeline adds. `--schema` is configuration.runtime's `schema`. With `--stream`, only what was added to the
folder INPUT since the last run is scored (Structured Streaming); the folder CHECKPOINT keeps track of it.

Columns and types are found as in a model host, and a NaN is null as there: the predictions are identical, bit by bit,
if both run on the same Java.
"""

import argparse
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

from hotswap.runtimes.spark.columns import find_schema, flatten


def main() -> None:
    """Run the job of the command line."""
    parser = argparse.ArgumentParser(
        prog="hotswap.runtimes.spark.job", description="score a file with a saved Spark pipeline"
    )
    for name in ("model", "input", "output"):
        parser.add_argument(name)
    parser.add_argument("--schema", default="")
    parser.add_argument("--stream", metavar="CHECKPOINT")
    given = parser.parse_args()
    spark = SparkSession.builder.appName("hotswap").getOrCreate()
    model = Model(spark, given.model, given.schema)
    style = "parquet" if given.input.endswith(".parquet") else "json"
    if given.stream:
        table = spark.readStream.schema(model.schema).format(style).load(given.input)
        to = model.transform(table).writeStream.format(style).option("checkpointLocation", given.stream)
        to.trigger(availableNow=True).start(given.output).awaitTermination()
    else:
        table = spark.read.schema(model.schema).format(style).load(given.input)
        model.transform(table).write.format(style).save(given.output)


class Model:
    """A saved pipeline, loaded by a cluster's session; `schema` is the required input schema, as DDL."""

    def __init__(self, spark: SparkSession, path: str, ddl: str = "") -> None:
        """Load it from a path that the cluster can read. Raises SwapError, see find_schema."""
        self._spark = spark
        java: Any = spark._jvm  # noqa: SLF001 - Spark's own objects, which the model host has too
        self._model = java.org.apache.spark.ml.PipelineModel.load(path)
        types = java.org.apache.spark.sql.types.StructType
        found = find_schema(
            list(flatten(self._model.stages())),
            types.fromDDL(ddl) if ddl else types(),
            java.org.apache.spark.ml.linalg.SQLDataTypes.VectorType(),
        )
        self.schema = str(found.toDDL())

    def transform(self, table: DataFrame) -> DataFrame:
        """Return the table with the columns that the pipeline adds."""
        for name, kind in table.dtypes:
            if kind in ("double", "float"):
                table = table.withColumn(name, sql.when(~sql.isnan(name), table[name]))
        java_table: Any = table._jdf  # noqa: SLF001 - the same
        return DataFrame(self._model.transform(java_table), self._spark)


if __name__ == "__main__":
    main()
