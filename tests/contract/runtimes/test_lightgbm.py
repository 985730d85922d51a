"""Models of LightGBM: answers equal to the library's to the last bit, whatever their options."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.flat import Requests
from harness.drafts import REQUESTS, agree, load_of, loadable
from harness.lab import Lab
from hotswap.batch import Ask, Code, Format, Refusal
from hotswap.codec.proto import Operation
from hotswap.errors import SwapError
from hotswap.generation import Configuration, Policy
from hotswap.host.load import Load

lightgbm = pytest.importorskip("lightgbm")

pytestmark = pytest.mark.lightgbm
MODELS = Path(__file__).parents[2] / "models" / "lightgbm"
TRAINED = sorted(path.stem for path in MODELS.glob("*.json"))
OPTIONS = {"other_levels": {"categories": "only,rooms,size,flag,zip"}, "binary": {"classes": "no,yes"}}
LABELS = {"binary": ("no", "yes"), "multiclass": ("0", "1", "2"), "ova": ("0", "1", "2")}
TOLERANCE = 1e-12  # of what another machine's exp() gives


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "fast", "lightgbm") as made:
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab") / "plain", "lightgbm", main="fakes.plain_lab")
    yield made
    made.close()


def drafted(
    lab: Lab, model: Path, runtime: Mapping[str, str], asked: Sequence[str] = (), **policies: Policy
) -> tuple[Operation, Load]:
    """Return the operation of the proto that is drafted for a model, and what loads it."""
    return loadable(lab, model, Configuration(runtime=runtime, **policies), asked)


def kept_of(name: str) -> Any:
    return json.loads((MODELS / f"{name}.json").read_text())


def requests_of(operation: Operation, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return a message for each row, without the fields that have no value; a category is a text."""
    texts = {field.name for field in operation.input.DESCRIPTOR.fields if field.type == field.TYPE_STRING}
    return [
        operation.input(
            **{name: str(value) if name in texts else value for name, value in row.items() if value is not None}
        )
        for row in rows
    ]


def codes_of(name: str, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the matrix that pandas' codes of the levels in the file make of these rows."""
    lines = (MODELS / f"{name}.txt").read_text().rstrip().split("\n")
    lists = json.loads(lines[-1].removeprefix("pandas_categorical:")) or []
    columns = {"categorical": ["city", "shop"], "other_levels": OPTIONS["other_levels"]["categories"].split(",")}
    levels = dict(zip(columns.get(name, ()), lists, strict=True))

    def number(column: str, value: Any) -> float:
        if value is None:
            return math.nan
        if column not in levels:
            return float(value)
        return float(levels[column].index(value)) if value in levels[column] else math.nan

    return np.array([[number(column, value) for column, value in row.items()] for row in rows])


def library_of(name: str) -> Any:
    return lightgbm.Booster(model_file=MODELS / f"{name}.txt")


def csv_of(row: Mapping[str, Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([list(row), ["" if value is None else value for value in row.values()]])
    return text.getvalue().encode()


@pytest.mark.parametrize("name", TRAINED)
def test_protobuf_json_csv_and_the_library_agree_to_the_last_bit(lab: Lab, name: str) -> None:
    kept, options = kept_of(name), OPTIONS.get(name, {})
    operation, load = drafted(lab, MODELS / f"{name}.txt", options)
    assert set(lab.load(load).paths.values()) == {"in the JVM"}
    rows = kept["rows"]
    messages = requests_of(operation, rows)

    answers, _ = lab.score([message.SerializeToString() for message in messages])
    texts = [json.dumps({field.name: value for field, value in message.ListFields()}).encode() for message in messages]
    by_json, _ = lab.score(texts, [Ask("", Format.JSON, Format.PROTOBUF) for _ in rows])
    by_csv, _ = lab.score([csv_of(row) for row in rows], [Ask("", Format.CSV, Format.PROTOBUF) for _ in rows])

    assert list(by_json) == list(answers)
    assert list(by_csv) == list(answers)
    given = [operation.output.FromString(answer) for answer in answers]
    library = library_of(name).predict(codes_of(name, rows))
    fields = [field.name for field in operation.output.DESCRIPTOR.fields]
    if labels := LABELS.get(name):
        each = np.column_stack([1 - library, library]) if library.ndim == 1 else library
        assert fields == ["predict", *(f"p_{label}" for label in labels)]
        assert [[getattr(one, field) for field in fields[1:]] for one in given] == each.tolist()
        assert [one.predict for one in given] == [labels[place] for place in each.argmax(axis=1)]
    else:
        assert fields == ["raw_score" if name == "own_objective" else "predict"]
        assert [getattr(one, fields[0]) for one in given] == library.tolist()
    np.testing.assert_allclose(library, kept["predict"], rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["binary", "categorical", "multiclass", "poisson"])
def test_raw_scores_and_contributions_are_the_librarys(lab: Lab, name: str) -> None:
    kept = kept_of(name)
    runtime = {**OPTIONS.get(name, {}), "contributions": "true"}
    classes = LABELS.get(name, ("",)) if name == "multiclass" else ("",)
    raw = [f"raw_score_{label}" for label in classes] if len(classes) > 1 else ["raw_score"]
    operation, load = drafted(lab, MODELS / f"{name}.txt", runtime, asked=raw)
    assert set(lab.load(load).paths.values()) == {"in the JVM"}

    answers, _ = lab.score([message.SerializeToString() for message in requests_of(operation, kept["rows"])])

    given = [operation.output.FromString(answer) for answer in answers]
    codes, library = codes_of(name, kept["rows"]), library_of(name)
    expected = library.predict(codes, raw_score=True).reshape(len(given), -1)
    assert [[getattr(one, field) for field in raw] for one in given] == expected.tolist()
    explained = library.predict(codes, pred_contrib=True).tolist()
    if len(classes) > 1:
        parts = [[getattr(one, f"contributions_{label}") for label in classes] for one in given]
        assert [[value for part in row for value in part] for row in parts] == explained
    else:
        names = [f"contribution_{column}" for column in (*kept["rows"][0], "bias")]
        assert [[getattr(one, field) for field in names] for one in given] == explained
    np.testing.assert_allclose(explained[:3], kept["contributions"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("iterations", "first", "count"), [("2:7", 2, 5), ("0:1", 0, 1), ("", 0, 20)])
def test_the_iterations_that_count_are_those_of_the_option(lab: Lab, iterations: str, first: int, count: int) -> None:
    rows = kept_of("binary")["rows"]
    operation, load = drafted(lab, MODELS / "binary.txt", {"iterations": iterations})
    lab.load(load)

    answers, _ = lab.score([message.SerializeToString() for message in requests_of(operation, rows)])

    codes = codes_of("binary", rows)
    expected = library_of("binary").predict(codes, start_iteration=first, num_iteration=count)
    assert [operation.output.FromString(answer).p_1 for answer in answers] == expected.tolist()


def test_an_unseen_level_is_missing_or_refused_as_the_configuration_says(lab: Lab) -> None:
    kept = kept_of("categorical")["unseen"]
    operation, load = drafted(lab, MODELS / "categorical.txt", {})
    lab.load(load)
    requests = [message.SerializeToString() for message in requests_of(operation, kept["rows"])]
    accepted = lab.score(requests)
    operation, load = drafted(lab, MODELS / "categorical.txt", {}, unknown_category=Policy.REFUSE)
    lab.load(load)

    refused, _ = lab.score([*requests, operation.input(city="Bern", shop="shop 7", age=0.5).SerializeToString()])

    given = [operation.output.FromString(answer).predict for answer in accepted.answers]
    np.testing.assert_allclose(given, kept["predict"], rtol=TOLERANCE)
    assert accepted.unknown == {"city": 2, "shop": 1}
    assert [answer.code for answer in refused[:3] if isinstance(answer, Refusal)] == [Code.UNKNOWN_CATEGORY] * 3
    assert not isinstance(refused[3], Refusal)


def test_threads_do_not_change_a_bit_and_the_size_of_a_batch_does_not_either(lab: Lab) -> None:
    answers = []
    for threads in ("1", "2"):
        try:
            operation, load = drafted(lab, MODELS / "multiclass.txt", {"threads": threads})
        except SwapError:  # of a machine with a single core
            continue
        requests = Requests(operation, seed=1).take(600)
        lab.load(load)
        answers.append(list(lab.score(requests).answers))
        answers.append([answer for one in requests[:300] for answer in lab.score([one]).answers])

    assert all(each[:300] == answers[0][:300] for each in answers)


@pytest.mark.parametrize("name", ["binary", "categorical"])
def test_the_fast_path_and_the_fallback_return_the_same_bytes_and_refusals(lab: Lab, plain: Lab, name: str) -> None:
    operation, load = drafted(lab, MODELS / f"{name}.txt", OPTIONS.get(name, {}))
    known = [message.SerializeToString() for message in requests_of(operation, kept_of(name)["rows"])]

    assert agree(lab, plain, load, [*Requests(operation, seed=3).take(REQUESTS), *known * 40]) > 0


def test_the_names_of_columns_are_those_that_the_configuration_gives(lab: Lab) -> None:
    operation, _ = drafted(lab, MODELS / "codes.txt", {"columns": "length,kind"})

    assert [field.name for field in operation.input.DESCRIPTOR.fields] == ["length", "kind"]


@pytest.mark.parametrize(
    ("name", "runtime", "words"),
    [
        ("binary", {"columns": "a,b"}, "has 2 names; the model has 4 columns"),
        ("binary", {"classes": "no"}, "the model has 2 classes"),
        ("l2", {"classes": "no,yes"}, "the model has no classes"),
        ("binary", {"iterations": "3:21"}, "the model has the iterations 0:20"),
        ("binary", {"iterations": "3:3"}, "the model has the iterations 0:20"),
        ("linear", {"contributions": "true"}, "does not compute for linear trees"),
        ("other_levels", {}, "the levels of 5 columns.*do not fit its categorical columns"),
        ("other_levels", {"categories": "only,rooms,size,flag"}, "do not fit those named"),
        ("other_levels", {"categories": "only,flag,size,rooms,zip"}, "do not fit those named"),
        ("other_levels", {"categories": "color"}, "`color`, which is not a column"),
    ],
)
def test_an_option_that_does_not_fit_the_model_is_refused(
    lab: Lab, name: str, runtime: Mapping[str, str], words: str
) -> None:
    with pytest.raises(SwapError, match=words):
        lab.describe(load_of("lightgbm", MODELS / f"{name}.txt", configuration=Configuration(runtime=runtime)))
