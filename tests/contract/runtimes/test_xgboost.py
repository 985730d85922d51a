"""Models of XGBoost: answers equal to the library's, levels from the file, and refusals of what it would misread."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.flat import Requests
from harness.drafts import REQUESTS, Drafted, agree, load_of
from harness.lab import Lab
from hotswap.batch import Ask, Code, Format, Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration, Policy
from hotswap.local.cores import cores_at_hand
from hotswap.runtimes.xgboost.file import read

xgboost = pytest.importorskip("xgboost")

pytestmark = pytest.mark.xgboost
MODELS = Path(__file__).parents[2] / "models" / "xgboost"
TRAINED = sorted(path.stem for path in MODELS.glob("*.kept"))
CLASSIFIERS = {"churn.ubj": 2, "stopped.ubj": 2, "species.json": 3, "forest.ubj": 3, "iris.ubj": 3}
LABELLERS = {"hinge.ubj", "softmax.ubj"}
OTHERS = 1e-6  # of the library on the machine that trained them


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "fast", "xgboost") as made:
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab") / "plain", "xgboost", main="fakes.plain_lab")
    yield made
    made.close()


def kept_of(name: str) -> Any:
    return json.loads((MODELS / f"{name}.kept").read_text())


def booster_of(name: str) -> Any:
    return xgboost.Booster({"nthread": 1}, model_file=MODELS / name)


def matrix_of(kept: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the rows as the library's own matrix, a category as the number of its level."""
    columns = kept["columns"]
    table = np.full((len(rows), len(columns)), np.nan)
    for place, row in enumerate(rows):
        for column, value in row.items():
            levels = kept["levels"].get(column)
            table[place, columns.index(column)] = levels.index(str(value)) if levels else value
    return xgboost.DMatrix(table)


def expected_of(name: str, rows: Sequence[Mapping[str, Any]], **options: Any) -> Any:
    booster = booster_of(name)
    best = booster.attr("best_iteration")
    options.setdefault("iteration_range", (0, int(best) + 1) if best else (0, 0))
    return booster.predict(matrix_of(kept_of(name), rows), validate_features=False, **options)


def numbers_of(model: Drafted, messages: Sequence[Any]) -> Any:
    """Return the numbers of each answer, in the order of its fields, without labels."""
    names = [field.name for field in model.operation.output.DESCRIPTOR.fields if field.type != field.TYPE_STRING]
    return np.array([[getattr(message, name) for name in names] for message in messages])


@pytest.mark.parametrize("name", TRAINED)
def test_protobuf_json_csv_and_the_library_agree(lab: Lab, name: str) -> None:
    kept, model = kept_of(name), Drafted(lab, MODELS / name)
    rows = kept["rows"]

    answers = model.answers(rows)
    named = [{model.fields[column]: value for column, value in row.items()} for row in rows]
    texts = [[_text(row.get(column)) for column in kept["columns"]] for row in rows]
    header = ",".join(model.fields[column] for column in kept["columns"])
    as_json = [
        json.dumps({field: _json(model, field, value) for field, value in row.items()}).encode() for row in named
    ]
    as_csv = [f"{header}\n{','.join(text)}\n".encode() for text in texts]

    assert set(model.ready.paths.values()) == {"in the JVM"}
    assert list(lab.score(as_json, [Ask("", Format.JSON, Format.PROTOBUF)] * len(rows)).answers) == list(answers)
    in_csv = list(lab.score(as_csv, [Ask("", Format.CSV, Format.PROTOBUF)] * len(rows)).answers)
    differ = [row for row, one, other in zip(rows, in_csv, answers, strict=True) if one != other]
    assert [row for row in differ if "" not in row.values()] == []  # an empty cell is missing
    messages = [model.operation.output.FromString(answer) for answer in answers]
    library = expected_of(name, rows)
    check(name, model, messages, library)
    np.testing.assert_allclose(library.ravel(), np.ravel(kept["predictions"]), rtol=OTHERS)


def check(name: str, model: Drafted, messages: Sequence[Any], library: Any) -> None:
    """Check that answers are the library's, to the last bit."""
    if name in LABELLERS:
        assert [message.predict for message in messages] == [str(int(label)) for label in library]
        return
    numbers = numbers_of(model, messages)
    if CLASSIFIERS.get(name) == 2:
        assert [message.predict for message in messages] == [str(int(p > 0.5)) for p in library]
        library = np.stack([np.float32(1) - library, library], axis=1)
    elif name in CLASSIFIERS:
        assert [message.predict for message in messages] == [str(place) for place in library.argmax(axis=1)]
    assert numbers.ravel().tolist() == library.astype(float).ravel().tolist()


def _text(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _json(model: Drafted, field: str, value: Any) -> Any:
    part = model.operation.input.DESCRIPTOR.fields_by_name[field]
    return str(value) if part.type == part.TYPE_STRING else value


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("churn.ubj", Policy.ACCEPT),
        ("species.json", Policy.ACCEPT),
        ("dart.ubj", Policy.ACCEPT),
        ("linear.json", Policy.ACCEPT),
        ("codes.ubj", Policy.ACCEPT),
        ("shops.ubj", Policy.ACCEPT),
        ("shops.ubj", Policy.REFUSE),
    ],
)
def test_the_fast_path_and_the_fallback_return_the_same_bytes_and_refusals(
    lab: Lab, plain: Lab, name: str, policy: Policy
) -> None:
    model = Drafted(lab, MODELS / name, unknown_category=policy, missing=policy)
    requests = Requests(model.operation, seed=3).take(REQUESTS)
    good = map(model.bytes_of, cycle(kept_of(name)["rows"]))
    requests[::5] = islice(good, len(requests[::5]))  # the others seldom have categories of the model

    assert agree(lab, plain, model.load, requests) > 0


def test_each_of_300_levels_is_the_one_of_its_name_and_an_unseen_one_is_missing(lab: Lab) -> None:
    kept, model = kept_of("shops.ubj"), Drafted(lab, MODELS / "shops.ubj")
    known = [{"x": 0.1, "shop": level, "color": "red"} for level in kept["levels"]["shop"]]
    unseen = [{**row, "shop": f"{row['shop']}x"} for row in known]  # each is between two known ones

    answers = [message.predict for message in model.messages([*known, *unseen])]

    assert len(known) == 300
    without = [{column: value for column, value in row.items() if column != "shop"} for row in known]
    assert answers == expected_of("shops.ubj", [*known, *without]).astype(float).tolist()
    assert len(set(answers[:300])) > len(set(answers[300:])) == 1


def test_an_unseen_level_is_refused_if_the_configuration_says_so(lab: Lab) -> None:
    model = Drafted(lab, MODELS / "shops.ubj", unknown_category=Policy.REFUSE)

    good, bad = model.answers([{"shop": "shop 007"}, {"shop": "shop 007x"}])

    assert isinstance(good, bytes)
    assert isinstance(bad, Refusal)
    assert bad.code is Code.UNKNOWN_CATEGORY
    assert "'shop 007x' is not one of the categories of column `shop`" in bad.message


def test_a_category_without_levels_in_the_file_takes_the_numbers_that_it_was_trained_on(lab: Lab) -> None:
    model = Drafted(lab, MODELS / "codes.ubj")
    codes = [0, 1, 2, 77, (1 << 24) - 1]

    answers = model.answers([*({"x": 0.5, "zone": code} for code in codes), {"zone": -1}, {"zone": 1 << 24}])

    rows = [{"x": 0.5, "zone": code} for code in codes]
    messages = [model.operation.output.FromString(answer) for answer in answers[: len(codes)]]
    assert [message.predict for message in messages] == expected_of("codes.ubj", rows).astype(float).tolist()
    for refusal in answers[len(codes) :]:
        assert isinstance(refusal, Refusal)
        assert "`zone` takes the numbers of its categories" in refusal.message


@pytest.mark.parametrize("name", ["churn.ubj", "visits.ubj", "hinge.ubj", "stopped.ubj", "species.json", "softmax.ubj"])
def test_margins_are_those_of_the_library(lab: Lab, name: str) -> None:
    rows = kept_of(name)["rows"]
    library = expected_of(name, rows, output_margin=True).reshape(len(rows), -1)
    names = ["margin_0", "margin_1", "margin_2"] if library.shape[1] > 1 else ["margin"]

    messages = Drafted(lab, MODELS / name, asked=names).messages(rows)

    assert [[getattr(message, name) for name in names] for message in messages] == library.astype(float).tolist()


@pytest.mark.parametrize("name", ["raw.ubj", "rank.ubj", "price.json", "median.ubj", "quantiles.ubj", "targets.ubj"])
def test_a_margin_that_is_the_prediction_is_no_output_beside_it(lab: Lab, name: str) -> None:
    rows = kept_of(name)["rows"]

    assert "margin" not in " ".join(Drafted(lab, MODELS / name).outputs)
    assert expected_of(name, rows, output_margin=True).tolist() == expected_of(name, rows).tolist()


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("churn.ubj", [""]),
        ("shops.ubj", [""]),
        ("linear.json", [""]),
        ("dart.ubj", [""]),
        ("stopped.ubj", [""]),
        ("species.json", ["0_", "1_", "2_"]),
        ("quantiles.ubj", ["0_", "1_", "2_"]),
    ],
)
def test_contributions_are_those_of_the_library(lab: Lab, name: str, groups: Sequence[str]) -> None:
    kept = kept_of(name)
    model = Drafted(lab, MODELS / name, runtime={"contributions": "true"})
    columns = [f"contribution_{group}{column}" for group in groups for column in (*kept["columns"], "bias")]
    assert set(columns) | {"contributions"} <= set(model.outputs)

    messages = model.messages(kept["rows"])

    def numbers(names: Sequence[str]) -> list[list[float]]:
        fields = {output: field for field, output in model.configuration.outputs.items()}
        fields = {name: fields.get(name, name.replace("ö", "_").replace("ß", "_").replace(" ", "_")) for name in names}
        return [[getattr(message, fields[name]) for name in names] for message in messages]

    shares = expected_of(name, kept["rows"], pred_contribs=True).reshape(len(messages), -1)
    assert numbers(columns) == shares.astype(float).tolist()
    margin = expected_of(name, kept["rows"], output_margin=True).reshape(len(messages), -1)
    sums = shares.reshape(len(messages), len(groups), -1).sum(axis=2)
    np.testing.assert_allclose(sums, margin, rtol=1e-4, atol=1e-4)


def test_contributions_that_the_library_cannot_compute_refuse_the_swap(lab: Lab) -> None:
    with pytest.raises(SwapError, match=r"XGBoost cannot score this model: .*IsMultiTarget") as raised:
        Drafted(lab, MODELS / "leaves.ubj", runtime={"contributions": "true"})

    assert raised.value.code is SwapCode.MODEL_UNSUPPORTED
    assert "/workspace" not in str(raised.value)
    assert "Stack trace" not in str(raised.value)


def test_rounds_are_those_of_the_option_else_those_up_to_the_best_one(lab: Lab) -> None:
    rows = kept_of("stopped.ubj")["rows"]
    best = int(booster_of("stopped.ubj").attr("best_iteration")) + 1
    count = booster_of("stopped.ubj").num_boosted_rounds()
    assert 0 < best < count

    for text, taken in (("", (0, best)), ("0:0", (0, count)), (f"0:{count}", (0, count)), ("1:3", (1, 3))):
        model = Drafted(lab, MODELS / "stopped.ubj", runtime={"iterations": text} if text else {})
        library = expected_of("stopped.ubj", rows, iteration_range=taken)
        assert [message.p_1 for message in model.messages(rows)] == library.astype(float).tolist()


@pytest.mark.parametrize(
    ("name", "option", "value", "words"),
    [
        ("stopped.ubj", "iterations", "3", "START:STOP"),
        ("stopped.ubj", "iterations", "3:3", "START:STOP"),
        ("stopped.ubj", "iterations", "0:999", "START:STOP"),
        ("linear.json", "iterations", "0:2", "a linear booster has none"),
        ("churn.ubj", "classes", "no,maybe,yes", "has 3 names; the model has 2 classes"),
        ("price.json", "classes", "no,yes", "has 2 names; the model has 0 classes"),
        ("nameless.ubj", "columns", "a,b", "has 2 names; the model has 4 features"),
        ("churn.ubj", "contributions", "yes", "false or true"),
        ("churn.ubj", "threads", "9999", "a whole number from 1 to"),
        ("churn.ubj", "nthread", "1", "has no option `nthread`"),
    ],
)
def test_an_option_that_does_not_fit_refuses_the_swap(lab: Lab, name: str, option: str, value: str, words: str) -> None:
    with pytest.raises(SwapError, match=words) as raised:
        lab.describe(load_of(lab.kind, MODELS / name, configuration=Configuration(runtime={option: value})))

    assert raised.value.code is SwapCode.CONFIGURATION_INVALID


def test_features_and_classes_have_the_names_that_the_configuration_gives(lab: Lab) -> None:
    named = Drafted(lab, MODELS / "nameless.ubj", runtime={"columns": "a, b, c, d"})
    classed = Drafted(lab, MODELS / "churn.ubj", runtime={"classes": "stays, leaves"})
    rows = kept_of("churn.ubj")["rows"]

    messages = classed.messages(rows)

    assert list(named.fields) == ["a", "b", "c", "d"]
    margins = Drafted(lab, MODELS / "species.json", asked=["margins"], runtime={"classes": "a,b,c"})
    assert {"p_c", "margin_c"} <= set(margins.outputs)
    library = expected_of("churn.ubj", rows)
    assert [message.p_leaves for message in messages] == library.astype(float).tolist()
    assert [message.predict for message in messages] == ["leaves" if p > 0.5 else "stays" for p in library]


def test_more_threads_return_the_same_bits(lab: Lab) -> None:
    if cores_at_hand() < 2:
        pytest.skip("there is one core")
    rows = kept_of("churn.ubj")["rows"] * 50

    model = Drafted(lab, MODELS / "churn.ubj", runtime={"threads": "2"})

    assert [message.p_1 for message in model.messages(rows)] == expected_of("churn.ubj", rows).astype(float).tolist()


@pytest.mark.parametrize("name", ["dart.ubj", "linear.json"])
def test_boosters_that_score_in_place_with_other_bits_or_not_at_all_have_those_of_predict(lab: Lab, name: str) -> None:
    columns = kept_of(name)["columns"]
    rows = [dict(zip(columns, row, strict=True)) for row in np.random.default_rng(4).normal(size=(3_000, 4)).tolist()]

    answers = [message.predict for message in Drafted(lab, MODELS / name).messages(rows)]

    assert answers == expected_of(name, rows).astype(float).tolist()


@pytest.mark.parametrize("number", [1e300, -1e300, float("inf"), 5e-324])
def test_numbers_beyond_those_of_a_float_are_what_the_library_makes_of_them(lab: Lab, number: float) -> None:
    model = Drafted(lab, MODELS / "churn.ubj")

    (message,) = model.messages([{"age": number}])

    library = booster_of("churn.ubj").inplace_predict(np.array([[number, *[np.nan] * 3]]))
    assert message.p_1 == library.astype(float)[0]


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("ubj")])
def test_a_file_says_the_same_in_both_formats(name: str) -> None:
    content = (MODELS / name).read_bytes()

    assert read(content) == read(bytes(booster_of(name).save_raw("json")))
