"""What H2O's own EasyPredict answers to rows by the names of their columns: the judge of other ways to score them."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jpype

from hotswap.local.jvm import find_java
from hotswap.runtimes.kinds import runtime_of

Answer = dict[str, str | float]
"""`predict` is the label, the value or the cluster; each class has its probability."""


def easy_predictions(tables: Sequence[tuple[Path, Path]]) -> list[list[Answer]]:
    """Return the answers to the rows of CSVs by MOJOs, in a process of their own: Java starts once in one."""
    command = [sys.executable, __file__, *(str(path) for table in tables for path in table)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answers: list[list[Answer]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def _main(paths: Sequence[str]) -> None:
    jars = [str(jar) for jar in runtime_of("h2o").jars()]
    jpype.startJVM("-XX:+UseSerialGC", "-Xmx512m", jvmpath=str(find_java().library), classpath=jars)
    easy = jpype.JPackage("hex").genmodel.easy
    answered = [_answers(easy, model, table) for model, table in zip(paths[::2], paths[1::2], strict=True)]
    sys.stdout.write(json.dumps(answered) + "\n")


def _answers(easy: Any, model: str, table: str) -> list[Answer]:
    mojo = jpype.JClass("hex.genmodel.MojoModel").load(model)
    config = easy.EasyPredictModelWrapper.Config().setModel(mojo).setConvertUnknownCategoricalLevelsToNa(True)
    wrapper = easy.EasyPredictModelWrapper(config)
    with Path(table).open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return [_answer(wrapper, mojo, easy.RowData, header, row) for row in rows]


def _answer(wrapper: Any, mojo: Any, row_data: Any, header: Sequence[str], cells: Sequence[str]) -> Answer:
    row = row_data()
    for name, cell in zip(header, cells, strict=True):
        if cell:
            row.put(name.strip(" \t"), cell)  # as the MOJO has it
    category = str(mojo.getModelCategory())
    if category in ("Binomial", "Multinomial"):
        given = wrapper.predictBinomial(row) if category == "Binomial" else wrapper.predictMultinomial(row)
        classes = zip(mojo.getDomainValues(mojo.getResponseIdx()), given.classProbabilities, strict=True)
        return {"predict": str(given.label), **{f"p_{name}": float(value) for name, value in classes}}
    if category == "Regression":
        return {"predict": float(wrapper.predictRegression(row).value)}
    assert category == "Clustering", category
    return {"predict": int(wrapper.predictClustering(row).cluster)}


if __name__ == "__main__":
    _main(sys.argv[1:])
