"""A Spark job as one writes it by hand, for one model alone: h2o-genmodel in a UDF (benchmarks/java/lake)."""

import json
import sys
import time

from pyspark.sql import SparkSession


def main():
    """Score the files that the JSON document of the command line names; print the seconds as JSON."""
    given = json.loads(sys.argv[1])
    builder = SparkSession.builder.master(given["master"]).appName("by hand")
    for key, value in given["conf"].items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    began = time.monotonic()
    spark.sparkContext.addFile(given["model"])
    spark.udf.registerJavaFunction("score", "lake.GenmodelUdf", "label string, p_no double, p_yes double")
    columns = ", ".join([*(f"x{number}" for number in range(10)), "color", "country"])
    scored = spark.read.parquet(given["input"]).selectExpr("*", f"score({columns}) AS answer")
    scored.write.parquet(given["output"])
    sys.stdout.write(json.dumps({"seconds": round(time.monotonic() - began, 1)}))
    spark.stop()


if __name__ == "__main__":
    main()
