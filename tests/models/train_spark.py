"""Trains the small Spark pipelines of the tests, with their inputs and what Spark's own `transform` makes of them.

    .venv-spark/bin/python tests/models/train_spark.py [NAME ...]      (needs a whole Java: pyspark's own launcher does)

Each is three files in tests/models/spark: <name>.zip as Spark saved it, <name>.input.jsonl, <name>.pred.jsonl.
"""

import csv
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.clustering import BisectingKMeans, KMeans
from pyspark.ml.feature import (
    HashingTF,
    IndexToString,
    NGram,
    RFormula,
    SQLTransformer,
    StopWordsRemover,
    StringIndexer,
    Tokenizer,
    VectorAssembler,
)
from pyspark.ml.fpm import FPGrowth
from pyspark.ml.linalg import Vector, Vectors
from pyspark.ml.pipeline import PipelineModelWriter
from pyspark.ml.recommendation import ALS
from pyspark.ml.regression import GBTRegressor, GeneralizedLinearRegression
from pyspark.sql import SparkSession

FOLDER = Path(__file__).parent / "spark"
IRIS = Path(__file__).parents[2] / "examples" / "data" / "iris.csv"
ROWS = 60
PLANS, REGIONS = ("basic", "pro", "team"), ("eu", "us", "apac")


def churn(random):
    """Texts and numbers; a label that was a text in training, and is one again in the end."""
    rows = customers(random)
    stages = [
        StringIndexer(inputCol="plan", outputCol="plan_ix", handleInvalid="error"),
        StringIndexer(inputCol="region", outputCol="region_ix", handleInvalid="keep"),
        StringIndexer(inputCol="churned", outputCol="label_ix"),
        VectorAssembler(inputCols=["plan_ix", "region_ix", "age", "balance", "calls"], outputCol="features"),
        LogisticRegression(labelCol="label_ix", regParam=0.01),
        IndexToString(inputCol="prediction", outputCol="churn", labels=["no", "yes"]),
    ]
    return rows, "plan string, region string, age double, balance double, calls double, churned string", stages


def forest(random):
    """The same customers for a random forest."""
    rows, schema, stages = churn(random)
    return rows, schema, [*stages[:4], RandomForestClassifier(labelCol="label_ix", numTrees=5, maxDepth=4, seed=1)]


def formula(random):
    """An RFormula, which hides its columns, before a regression by boosted trees."""
    rows = customers(random)
    stages = [RFormula(formula="balance ~ plan + age + calls"), GBTRegressor(maxIter=3, maxDepth=3, seed=1)]
    return rows, "plan string, region string, age double, balance double, calls double, churned string", stages


def offset(random):
    """A generalized linear regression with an offset, as a model by itself: it takes a vector and a number."""
    rows = [{"features": [random.gauss(0, 1), random.gauss(0, 1)], "base": random.random()} for _ in range(ROWS)]
    for row in rows:
        row["label"] = float(random.randint(0, 4))
    regression = GeneralizedLinearRegression(family="poisson", offsetCol="base", linkPredictionCol="link")
    return rows, "features vector, base double, label double", [regression]


def words(random):
    """Text all the way to a label; its features are a vector of 262,144."""
    good, bad = ("great", "quick", "kind", "nice"), ("slow", "rude", "broken", "late")
    rows = []
    for _ in range(ROWS):
        is_good = random.random() < 0.5
        text = " ".join(random.choice(good if is_good or random.random() < 0.2 else bad) for _ in range(6))
        rows.append({"text": text, "label": float(is_good)})
    stages = [
        Tokenizer(inputCol="text", outputCol="words"),
        HashingTF(inputCol="words", outputCol="features"),
        LogisticRegression(maxIter=5),
    ]
    return rows, "text string, label double", stages


def sql(random):
    """Columns that only a statement names, of every width; rows that it drops; clusters at the end."""
    rows = [
        {
            "a": random.gauss(0, 3),
            "b": random.randint(-100, 100),
            "c": 2**53 + random.randint(0, 9),
            "d": index % 3 == 0,
        }
        for index in range(ROWS)
    ]
    stages = [
        SQLTransformer(
            statement="SELECT *, a * 2 AS twice, c + 1 AS next, d OR b > 0 AS positive, "
            "CASE WHEN b > 50 THEN 'high' WHEN b > -50 THEN 'low' END AS level FROM __THIS__ WHERE a IS NOT NULL"
        ),
        VectorAssembler(inputCols=["twice", "b"], outputCol="features"),
        KMeans(k=3, seed=1, predictionCol="cluster"),
    ]
    return rows, "a double, b int, c bigint, d boolean", stages


def skip(random):
    """Rows that do not fit are dropped by a filter."""
    rows = [{"x": random.gauss(0, 1), "y": random.gauss(0, 1), "label": float(index % 2)} for index in range(ROWS)]
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="skip")
    return rows, "x double, y double, label double", [assembler, LogisticRegression()]


def ratings(random):
    """ALS: a join with its factors, nothing that goes row by row."""
    rows = [
        {"user": user, "item": item, "rating": float(random.randint(1, 5))} for user in range(8) for item in range(8)
    ]
    return rows, "user int, item int, rating double", [ALS(rank=2, maxIter=2, userCol="user", itemCol="item", seed=1)]


def terms(random):
    """Text to lists of texts."""
    known = ("the", "Quick", "fox", "of", "kind", "and", "late", "dog")
    rows = [{"text": " ".join(random.choices(known, k=random.randint(0, 8)))} for _ in range(ROWS)]
    stages = [
        Tokenizer(inputCol="text", outputCol="words"),
        StopWordsRemover(inputCol="words", outputCol="kept"),
        NGram(inputCol="kept", outputCol="grams", n=2),
    ]
    return rows, "text string", stages


def baskets(random):
    """Lists of whole numbers, and the ones that are bought with them."""
    rows = [{"items": [item for item in range(1, 6) if random.random() < 0.5]} for _ in range(ROWS)]
    return rows, "items array<bigint>", [FPGrowth(itemsCol="items", minSupport=0.1, minConfidence=0.3)]


def halves(random):
    """Clusters that are halved, for which Spark keeps a model of its older library inside."""
    rows = [{"x": random.gauss(index % 3 * 4, 1), "y": random.gauss(index % 2, 1)} for index in range(ROWS)]
    return (
        rows,
        "x double, y double",
        [
            VectorAssembler(inputCols=["x", "y"], outputCol="features"),
            BisectingKMeans(k=3, seed=1),
        ],
    )


def iris(_):
    """The irises of the examples, with a number of its own beside the label."""
    with IRIS.open(newline="") as file:
        rows = [
            {name: value if name == "species" else float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
    stages = [
        StringIndexer(inputCol="species", outputCol="label_ix", stringOrderType="alphabetAsc"),
        VectorAssembler(inputCols=[name for name in rows[0] if name != "species"], outputCol="features"),
        LogisticRegression(labelCol="label_ix", regParam=0.01),
        IndexToString(inputCol="prediction", outputCol="flower", labels=["setosa", "versicolor", "virginica"]),
        SQLTransformer(statement="SELECT *, petal_length * petal_width AS area FROM __THIS__"),
    ]
    schema = "sepal_length double, sepal_width double, petal_length double, petal_width double, species string"
    return rows, schema, stages


def customers(random):
    rows = []
    for _ in range(ROWS):
        row = {"plan": random.choice(PLANS), "region": random.choice(REGIONS), "age": random.uniform(18, 80)}
        row |= {"balance": random.gauss(500, 200), "calls": float(random.randint(0, 30))}
        row["churned"] = "yes" if row["calls"] + random.gauss(0, 8) > 18 else "no"
        rows.append(row)
    return rows


def train(spark, make):
    rows, schema, stages = make(random.Random(7))
    table = frame(spark, rows, schema)
    model = stages[0].fit(table) if make is offset else Pipeline(stages=stages).fit(table)
    name = make.__name__
    labels = {"label", "churned", "rating", "species", *(("balance", "region") if make is formula else ())}
    inputs = [{key: value for key, value in row.items() if key not in labels} for row in rows]
    kept = ", ".join(part for part in schema.split(", ") if part.split()[0] in inputs[0])
    save(model.write(), name)
    if make is churn:
        save(PipelineModelWriter(model), "by_python")
    predictions = model.transform(frame(spark, inputs, kept))
    if make is ratings:
        predictions = predictions.orderBy("user", "item")  # a join keeps no order
    made = [column for column in predictions.columns if column not in inputs[0] and column not in ("features", "words")]
    write(name, "input", inputs)
    write(name, "pred", [dict(zip(made, map(plain, row), strict=True)) for row in predictions.select(made).collect()])


def frame(spark, rows, schema):
    names = [part.split()[0] for part in schema.split(", ")]
    if "vector" in schema:
        values = [
            tuple(Vectors.dense(row[name]) if name == "features" else row[name] for name in names) for row in rows
        ]
        return spark.createDataFrame(values, names)
    return spark.createDataFrame([tuple(row[name] for name in names) for row in rows], schema).coalesce(1)


def save(writer, name):
    with tempfile.TemporaryDirectory() as folder:
        writer.overwrite().save(f"file://{folder}/model")
        for crc in Path(folder).rglob(".*.crc"):
            crc.unlink()
        shutil.make_archive(str(FOLDER / name), "zip", folder)


def write(name, what, rows):
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (FOLDER / f"{name}.{what}.jsonl").write_text(lines, encoding="utf-8")


def plain(value):
    return value.toArray().tolist() if isinstance(value, Vector) else value


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    every = [churn, forest, formula, offset, words, sql, skip, ratings, terms, baskets, halves, iris]
    for chosen in [make for make in every if not sys.argv[1:] or make.__name__ in sys.argv[1:]]:
        train(session, chosen)
    session.stop()
