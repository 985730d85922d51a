"""Models of scikit-learn become ONNX: what a host answers is scikit-learn's own, and what cannot be is refused."""

import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness.converting import MODELS, converted, packed
from harness.lab import Lab
from hotswap.cli.main import main
from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.reader import read_rows
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.packages.draft import draft_proto, fields_of
from hotswap.packages.package import open_package, schema_of

joblib = pytest.importorskip("joblib")
pd = pytest.importorskip("pandas")
pytest.importorskip("skl2onnx")

pytestmark = pytest.mark.sklearn
SCORES = {
    "anomalies": "decision_function", "arrays": "", "credit": "predict_proba", "credit_gbm": "predict_proba",
    "forest": "predict_proba", "gbm": "", "kmeans": "transform", "mlp": "predict_proba", "mood": "predict_proba",
    "scaled_forest": "predict_proba", "svc": "", "vote": "predict_proba",
}  # fmt: skip
"""What each model answers beside its prediction."""
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "onnx", "onnx") as made:
        yield made


def load_of(model: Path, proto: bytes, configuration: Configuration) -> Load:
    return Load(
        generation=1, kind="onnx", model=model, proto=proto, is_descriptor_set=False, configuration=configuration,
        samples=(), heap_mb=512,
    )  # fmt: skip


def loaded(lab: Lab, model: Path) -> tuple[Operation, Mapping[str, str], set[str]]:
    """Load a model by its drafted proto; return the operation, the fields of columns, and how requests reach it."""
    interface = lab.describe(load_of(model, b"", Configuration()))
    assert interface.columns is not None
    draft = draft_proto(
        "m", about=interface.description, operations=["score"], inputs=fields_of(interface.columns),
        outputs=interface.outputs, is_flat=True,
    )  # fmt: skip
    configuration = Configuration(columns=dict(draft.columns), outputs=dict(draft.outputs))
    ready = lab.load(load_of(model, draft.text.encode(), configuration))
    (operation,) = compile_proto(draft.text.encode()).operations.values()
    return operation, draft.fields, set(ready.paths.values())


def answers_of(lab: Lab, operation: Operation, fields: Mapping[str, str], sample: Path) -> list[list[Any]]:
    """Return the values of the answers to the rows of a sample, the prediction first."""
    header, _, cells = sample.read_text().partition("\n")
    named = ",".join(fields[name] for name in header.split(","))
    rows = read_rows(io.StringIO(f"{named}\n{cells}"), "csv", operation.input)
    requests = [rows.layout.pack([row.message]).SerializeToString() for row in rows]  # type: ignore[union-attr]
    answers, _ = lab.score(requests)
    return [values_of(operation.output.FromString(answer)) for answer in answers]


def values_of(message: Any) -> list[Any]:
    values: list[Any] = []
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        values += list(value) if field.is_repeated else [value]
    return values


def scikit_learn_of(name: str) -> tuple[Any, Any]:
    """Return a model and its rows, as scikit-learn takes them."""
    model = joblib.load(MODELS / f"{name}.joblib")
    rows = pd.read_csv(MODELS / f"{name}.csv", dtype={"code": str})
    return model, rows.text if name == "mood" else rows.to_numpy() if name == "arrays" else rows


def check(name: str, answers: list[list[Any]]) -> None:
    """Check that answers are those of scikit-learn."""
    model, rows = scikit_learn_of(name)
    predicted = model.predict(rows)
    if predicted.dtype.kind == "f":
        np.testing.assert_allclose([answer[0] for answer in answers], predicted, rtol=TOLERANCE, atol=TOLERANCE)
    else:
        assert [str(answer[0]) for answer in answers] == [str(label) for label in predicted]
    if SCORES[name]:
        scores = getattr(model, SCORES[name])(rows).reshape(len(rows), -1)
        np.testing.assert_allclose([answer[1:] for answer in answers], scores, rtol=TOLERANCE, atol=TOLERANCE)
    else:
        assert {len(answer) for answer in answers} == {1}


@pytest.mark.parametrize("name", SCORES)
def test_a_host_answers_as_scikit_learn_does(lab: Lab, tmp_path: Path, name: str) -> None:
    model, notes = converted(tmp_path, MODELS / f"{name}.joblib")

    operation, fields, paths = loaded(lab, model)

    check(name, answers_of(lab, operation, fields, MODELS / f"{name}.csv"))
    assert "60 rows of the sample: labels are equal" in notes[0]
    assert paths == {"in the JVM"}


@pytest.mark.parametrize("name", ["credit_gbm", "scaled_forest", "forest", "gbm"])
def test_rows_at_the_thresholds_of_trees_take_the_same_branch(tmp_path: Path, name: str) -> None:
    _, notes = converted(tmp_path, MODELS / f"{name}.joblib")

    assert ", 0 differ (" in notes[1]


def test_a_packed_model_answers_as_scikit_learn_does(lab: Lab, tmp_path: Path) -> None:
    result = packed(MODELS / "credit.joblib", MODELS / "credit.csv", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert "converted by skl2onnx" in result.stderr
    with open_package(tmp_path / "out" / "modeldump.zip") as package:
        assert package.kind == "onnx"
        assert package.proto
        assert len(package.samples) == 60
        lab.load(load_of(package.model, package.proto.source or b"", package.configuration))
        (operation,) = schema_of(package.proto).operations.values()
        answers, _ = lab.score(package.samples)
        messages = [operation.output.FromString(answer) for answer in answers]
        check("credit", [[*message.label, *message.p_no, *message.p_yes] for message in messages])


@pytest.mark.parametrize("sample", [[], ["--sample", "-"]])
def test_a_model_without_a_file_of_rows_is_refused(sample: list[str]) -> None:
    result = CliRunner().invoke(main, ["pack", str(MODELS / "plain.pkl"), *sample])

    assert result.exit_code == 2
    assert "pass a file with --sample data.csv" in result.stderr


def test_the_python_of_an_environment_may_have_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(sys.executable).parent)

    _, notes = converted(tmp_path, MODELS / "plain.pkl", python=Path("./python"))

    assert "labels are equal" in notes[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("function", "step `functiontransformer` (FunctionTransformer) cannot be converted to ONNX: it calls a Python"),
        ("histgbm", "HistGradientBoostingRegressor cannot be converted to ONNX: train scikit-learn's GradientBoosting"),
        ("target", "TransformedTargetRegressor cannot be converted to ONNX: train its regressor on the transformed"),
    ],
)
def test_a_step_that_cannot_be_converted_is_named_with_what_to_do(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SwapError, match="cannot be converted") as raised:
        converted(tmp_path, MODELS / f"{name}.joblib")

    assert raised.value.code is SwapCode.MODEL_UNSUPPORTED
    assert words in raised.value.message


def test_a_number_beyond_the_tolerance_is_refused_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(SwapError, match="differs from scikit-learn") as raised:
        converted(tmp_path, MODELS / "gbm.joblib", tolerance=1e-12)

    assert "of 60 rows of the sample, by more than 1e-12; row " in raised.value.message
    assert "sepal length (cm)=" in raised.value.message


def test_a_plain_pickle_and_what_skops_trusts_are_converted(lab: Lab, tmp_path: Path) -> None:
    answers = []
    for name in ("plain.pkl", "safe.skops"):
        model, _ = converted(tmp_path, MODELS / name)
        operation, fields, _ = loaded(lab, model)
        answers.append(answers_of(lab, operation, fields, MODELS / "plain.csv"))

    assert answers[0] == answers[1]


def test_a_type_that_skops_does_not_trust_is_loaded_only_if_the_operator_names_it(tmp_path: Path) -> None:
    with pytest.raises(
        SwapError, match=r"does not trust: fractions\.Fraction\. If .* --trust-types fractions\.Fraction"
    ):
        converted(tmp_path, MODELS / "unsafe.skops")

    converted(tmp_path, MODELS / "unsafe.skops", trusts_types=["fractions.Fraction"])


def test_another_versions_model_is_refused_naming_both_versions(tmp_path: Path) -> None:
    older = tmp_path / "older.pkl"
    older.write_bytes((MODELS / "plain.pkl").read_bytes().replace(b"1.9.1", b"1.4.2"))

    with pytest.raises(SwapError, match=r"scikit-learn 1\.4\.2 wrote the model, and 1\.9\.\d+ would convert it"):
        converted(tmp_path, older, MODELS / "plain.csv")


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("a,b,d", "1,2,3", "the sample lacks sepal length (cm)"),
        ("a,b,sepal length (cm),d", "1,2,x,3", "scikit-learn does not score the sample: ValueError: could not convert"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path: Path, header: str, row: str, words: str) -> None:
    (tmp_path / "rows.csv").write_text(f"{header}\n{row}\n")

    with pytest.raises(SwapError) as raised:
        converted(tmp_path, MODELS / "forest.joblib", tmp_path / "rows.csv")

    assert raised.value.code is SwapCode.SAMPLE_REFUSED
    assert words in raised.value.message


def test_a_sample_with_a_missing_text_is_refused_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,income,city,zip,code\n40,,Bern,3000,1\n40,50000,,3000,1\n")

    with pytest.raises(SwapError, match="no value of `city` in row 2: ONNX has no missing text"):
        converted(tmp_path, MODELS / "credit.joblib", tmp_path / "rows.csv")
