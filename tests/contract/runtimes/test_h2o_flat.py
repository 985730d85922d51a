"""The fast path answers requests of flat rows inside the JVM, with the same bytes and refusals as the fallback."""

import random
from collections import Counter

import pytest

from fakes.examples import CANCER, GBM, IRIS, IRIS_GLM, MIXED_GLM, MIXED_KMEANS
from fakes.flat import CASES, ONE, OPTIONAL, Requests, proto
from harness.lab import Lab
from hotswap.batch import Refusal
from hotswap.codec.proto import compile as compile_proto

REQUESTS = 10_000
BATCHES = (1, 2, 50, 997)


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "fast", "h2o")
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "plain", "h2o", main="fakes.plain_lab")
    yield made
    made.close()


def path_of(lab, load):
    """Load a generation; return how its only operation is answered."""
    (path,) = lab.load(load).paths.values()
    return path


def answers_of(lab, load, requests):
    """Return the path, the answers to batches of several sizes, and the counts of unknown categories."""
    path, answers, unknown, sizes = path_of(lab, load), [], Counter(), random.Random(0)
    while len(answers) < len(requests):
        batch = lab.score(requests[len(answers) :][: sizes.choice(BATCHES)])
        answers += batch.answers
        unknown.update(batch.unknown)
    return path, answers, unknown


@pytest.mark.parametrize("name", CASES)
def test_the_fast_path_and_the_fallback_return_the_same_bytes_refusals_and_counts(fast, plain, name):
    messages, taken, answer, configuration = CASES[name]
    source = proto(messages + answer, taken)
    (operation,) = compile_proto(source).operations.values()
    requests = Requests(operation, seed=len(name)).take(REQUESTS)
    load = GBM.load(proto=source, configuration=configuration)

    path, answers, unknown = answers_of(fast, load, requests)
    plain_path, expected, expected_unknown = answers_of(plain, load, requests)

    assert (path, plain_path) == ("in the JVM", "through Python: as the test wants it")
    different = [n for n, pair in enumerate(zip(answers, expected, strict=True)) if pair[0] != pair[1]]
    assert [(requests[n].hex(), answers[n], expected[n]) for n in different[:3]] == []
    assert unknown == expected_unknown
    refused = sum(isinstance(answer, Refusal) for answer in answers)
    assert 0 < refused < 0.8 * REQUESTS


def test_a_zero_is_omitted_from_an_answer_where_proto3_omits_it(fast, plain):
    answer = (
        "message Answer { string species = 1; float setosa = 2; double versicolor = 3; optional float virginica = 4;"
    )
    flower = "message Iris { double sepal_length = 1; double sepal_width = 2; double petal_length = 3;"
    source = proto(f"{flower} double petal_width = 4; }} {answer} }}", "Iris")
    (operation,) = compile_proto(source).operations.values()
    sizes = (0.0, 1.0, -60.0, 200.0, 1e6)
    requests = [
        operation.input(sepal_length=a, petal_length=b, petal_width=c).SerializeToString()
        for a in sizes
        for b in sizes
        for c in sizes
    ]
    load = IRIS_GLM.load(proto=source)

    _, answers, _ = answers_of(fast, load, requests)
    _, expected, _ = answers_of(plain, load, requests)

    assert answers == expected
    said = [operation.output.FromString(answer) for answer in answers]
    assert {message.setosa == 0 for message in said} == {message.versicolor == 0 for message in said} == {True, False}
    assert any(message.virginica == 0 and message.HasField("virginica") for message in said)


@pytest.mark.parametrize("example", [IRIS, IRIS_GLM, CANCER, GBM, MIXED_GLM], ids=lambda example: example.model)
def test_the_models_of_the_examples_are_answered_in_the_jvm(fast, plain, example):
    path, answers, _ = answers_of(fast, example.load(), example.requests())
    _, expected, _ = answers_of(plain, example.load(), example.requests())

    assert path == "in the JVM"
    assert answers == expected


@pytest.mark.parametrize(
    ("messages", "taken", "why"),
    [
        (OPTIONAL.replace("optional double x3", "optional string x3") + ONE, "Row", "column `x3` comes from `x3`"),
        (
            OPTIONAL.replace("optional double x3 = 4;", "Inner inner = 4;") + "message Inner { double x3 = 1; }" + ONE,
            "Row",
            "column `x3` comes from `inner.x3`",
        ),
        (
            OPTIONAL.replace("optional double x3 = 4;", "oneof either { double x3 = 4; double other = 40; }") + ONE,
            "Row",
            "field `x3` is in a oneof",
        ),
        (OPTIONAL + ONE.replace("p_no = 2", "confidence = 2"), "Row", "output `confidence` is not one of the scores"),
        (OPTIONAL + "message Answer { map<string, double> probabilities = 1; }", "Row", "output field `probabilities`"),
        (OPTIONAL.replace(" x3 = 4", " x3 = 400000") + ONE, "Row", "field number 400000 is beyond 4096"),
    ],
    ids=["parsed", "nested", "oneof", "computed", "map", "far"],
)
def test_rows_that_are_not_flat_go_through_python_and_the_status_says_why(fast, messages, taken, why):
    source = proto(messages, taken)
    (operation,) = compile_proto(source).operations.values()
    path = path_of(fast, GBM.load(proto=source))
    (answer,), _ = fast.score([operation.input(x1=1.0, color="red").SerializeToString()])

    assert isinstance(answer, bytes)
    assert path.startswith(f"through Python: {why}")


def test_a_model_that_needs_more_than_score0_goes_through_python(fast):
    assert (
        path_of(fast, MIXED_KMEANS.load())
        == "through Python: the model's rows are built, or scored, by more than score0"
    )
