"""Measures the CPU microseconds per row of a model's own library, called in a bare loop in its own language.

No worker that uses the library can be faster. Standard input is a task of kinds.py, JSON: kind, model, rows, runtime.
For h2o it is score0, for java the method itself, for spark `transform` on a table of all rows, collected; for a library
of Python its own call on a matrix of all rows, and for a function of kind python that on its columns
(python_libraries.py).
"""

import csv
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpype
import numpy as np
from python_libraries import SCORERS, alone

from hotswap.codec.values import Table
from hotswap.generation import Configuration
from hotswap.local.jvm import find_java
from hotswap.runtimes.kinds import runtime_of

WARM_S, MEASURED_S = 4.0, 4.0


def main() -> None:
    """Prints the figure."""
    task = json.load(sys.stdin)
    if task["kind"] in SCORERS:
        run = alone(task["kind"], Path(task["model"]), task["rows"])
    else:
        _start_jvm(task)
        run = {"h2o": _h2o, "java": _java, "spark": _spark}[task["kind"]](task)
    _repeat(run, WARM_S)
    before = time.process_time()
    times = _repeat(run, MEASURED_S)
    sys.stdout.write(f"{(time.process_time() - before) / times / len(task['rows']) * 1e6}\n")
    sys.stdout.flush()


def _start_jvm(task: dict[str, Any]) -> None:
    runtime = runtime_of(task["kind"])
    jars = [str(jar) for jar in runtime.jars()]
    if task["kind"] == "java":
        jars.append(task["model"])
    options = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xrs", "-Xmx512m", *runtime.jvm_options)
    jpype.startJVM(*options, jvmpath=str(find_java().library), classpath=jars, convertStrings=False)


def _repeat(run: Callable[[], object], seconds: float) -> int:
    until, times = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        run()
        times += 1
    return times


def _h2o(task: dict[str, Any]) -> Callable[[], None]:
    model = runtime_of("h2o").load(Path(task["model"]), Configuration())
    numbers = [{name: number for number, name in enumerate(column.categories or ())} for column in model.columns]
    columns = list(zip([column.name for column in model.columns], numbers, strict=True))
    matrix = [[known[row[name]] if known else row[name] for name, known in columns] for row in task["rows"]]
    table = Table(np.array(matrix, dtype=np.float64))
    return lambda: model.score(table) and None


def _java(task: dict[str, Any]) -> Callable[[], None]:
    """A loop put together from method handles: for each row, f(row)."""
    given = task["runtime"]
    kind = jpype.JClass(given.get("class") or given["modelClassName"])
    name = given.get("method") or given["modelMethod"]
    (method,) = (method for method in kind.class_.getMethods() if method.getName() == name)
    (parameter,) = method.getParameterTypes()
    taken = jpype.JClass(parameter)
    array = jpype.JArray(taken)([_argument(taken, row) for row in task["rows"]])
    loop = _loop(method, array.getClass()).bindTo(array).bindTo(jpype.JArray(jpype.JObject)(len(array)))
    run: Callable[[], None] = loop.invokeWithArguments
    return run


def _loop(method: Any, kind: Any) -> Any:
    """loop(rows, results): results[i] = f(rows[i]). What nobody keeps, the compiler may leave out."""
    handles = jpype.JClass("java.lang.invoke.MethodHandles")
    method_type = jpype.JClass("java.lang.invoke.MethodType").methodType
    whole, void = jpype.JClass("java.lang.Integer").TYPE, jpype.JClass("java.lang.Void").TYPE
    results = jpype.JArray(jpype.JObject).class_
    call = handles.publicLookup().unreflect(method)
    call = call.asType(call.type().changeReturnType(jpype.JObject.class_))
    call = handles.collectArguments(call, 0, handles.arrayElementGetter(kind))
    keep = handles.collectArguments(handles.arrayElementSetter(results), 2, call)
    classes = jpype.JArray(jpype.JClass("java.lang.Class"))
    body = handles.permuteArguments(keep, method_type(void, classes([whole, kind, results])), 2, 0, 1, 0)
    return handles.countedLoop(handles.dropArguments(handles.arrayLength(kind), 1, results), None, body)


def _argument(taken: Any, row: dict[str, Any]) -> Any:
    """A text, an array of numbers, or an object with setters."""
    if taken is jpype.JClass("java.lang.String"):
        return _text(row)
    if taken.class_.isArray():
        return taken(list(row.values()))
    made = taken()
    for name, value in row.items():
        getattr(made, f"set{name.capitalize()}")(value)
    return made


def _text(row: dict[str, Any]) -> Any:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), lineterminator="\n")
    writer.writeheader()
    writer.writerow(row)
    return jpype.JString(text.getvalue())


def _spark(task: dict[str, Any]) -> Callable[[], None]:
    from hotswap.runtimes.spark.session import session  # noqa: PLC0415 - each library only when needed

    spark = session()
    model = jpype.JClass("org.apache.spark.ml.PipelineModel").load(f"file://{task['model']}")
    lines = jpype.JClass("java.util.ArrayList")()
    for row in task["rows"]:
        lines.add(jpype.JString(json.dumps(row)))
    encoder = jpype.JClass("org.apache.spark.sql.Encoders").STRING()
    read = spark.read().json(spark.createDataset(lines, encoder))
    rows = spark.createDataFrame(read.collectAsList(), read.schema())
    return lambda: model.transform(rows).select("prediction", "probability").collectAsList() and None


if __name__ == "__main__":
    main()
