"""The demo's count: what it counts, compares and measures, on small synthetic records."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.wrappers_pb2 import DoubleValue, StringValue

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import demo_count
from demo_domains import Domain, Offline, load_domain, load_offline


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Any


LETTERS = Domain(
    name="letters", proto=Path("letters.proto"), requests=(b"0", b"1"), classes=("a", "b"), label="value",
    output=StringValue,
)  # fmt: skip
FIRST = Offline(name="first", sha256="11", domain=LETTERS, predictions=({"value": "a"}, {"value": "a"}))
SECOND = Offline(name="second", sha256="22", domain=LETTERS, predictions=({"value": "a"}, {"value": "b"}))


def request(offset, row, *, partition=0, at=0, domain="letters"):
    return Record("requests", partition, offset, at, f"{domain}-{row}".encode(), b"?", ())


def answer(offset, said, *, generation=1, model=FIRST, partition=0, at=0):
    headers = (
        ("generation", b"the asker's own"),
        ("source", f"requests-{partition}-{offset}".encode()),
        ("generation", str(generation).encode()),
        ("model-digest", model.sha256.encode()),
    )
    return Record("predictions", partition, 0, at, b"", StringValue(value=said).SerializeToString(), headers)


def refusal(offset):
    return Record("dead-letters", 0, 0, 0, b"", b"?", (("source", f"requests-0-{offset}".encode()),))


def count(requests, predictions, dead_letters=()):
    return demo_count.count(requests, predictions, dead_letters, [FIRST, SECOND])


def answered(*times, generation=1, partition=0):
    return [demo_count.Answered(0.0, at, partition, generation) for at in times]


def test_a_good_run_has_no_faults():
    counted = count([request(0, 0), request(1, 1)], [answer(0, "a"), answer(1, "a")])
    assert (counted.asked, counted.lost, counted.twice, counted.refused) == (2, 0, 0, 0)
    assert counted.faults == []


def test_a_request_without_an_answer_is_lost():
    counted = count([request(0, 0), request(1, 1)], [answer(1, "a")])
    assert (counted.lost, counted.faults) == (1, ["1 lost"])


def test_a_second_answer_is_a_duplicate_whether_it_is_a_prediction_or_a_refusal():
    asked = [request(0, 0), request(1, 0)]
    counted = count(asked, [answer(0, "a"), answer(0, "a"), answer(1, "a")], [refusal(1)])
    assert (counted.twice, counted.lost) == (2, 0)
    assert "2 answered twice" in counted.faults


def test_a_refused_request_is_a_fault_but_not_lost():
    counted = count([request(0, 0)], [], [refusal(0)])
    assert (counted.lost, counted.refused) == (0, 1)
    assert counted.faults == ["1 good requests refused"]


def test_the_same_offset_of_another_partition_is_another_request():
    asked = [request(0, 0), request(0, 0, partition=1)]
    assert count(asked, [answer(0, "a", partition=1)]).lost == 1


def test_an_answer_to_a_request_that_was_never_asked_is_a_fault():
    counted = count([request(0, 0)], [answer(0, "a"), answer(7, "a")])
    assert (counted.unasked, counted.faults) == (1, ["1 answers to nothing that was asked"])


def test_each_generation_is_compared_with_its_own_model_offline():
    asked = [request(n, n % 2) for n in range(4)]
    said = [answer(0, "a"), answer(1, "a")]
    said += [answer(n, text, generation=2, model=SECOND) for n, text in ((2, "a"), (3, "b"))]
    first, second = count(asked, said).scores
    assert (first.generation, first.model, first.answered) == (1, "first", 2)
    assert (first.right, first.right_offline, first.differ) == (1, 1, 0)
    assert (second.generation, second.model, second.right, second.right_offline) == (2, "second", 2, 2)


def test_two_errors_that_give_the_same_accuracy_are_told_apart():
    # Offline `first` predicts a, a: one is right. This one is right as often, on the other row.
    counted = count([request(0, 0), request(1, 1)], [answer(0, "b"), answer(1, "b")])
    (score,) = counted.scores
    assert score.right == score.right_offline == 1
    assert score.differ == 2
    assert counted.faults == ["2 predictions of generation 1 differ from first offline"]


def test_a_model_that_answers_a_question_of_another_domain_differs():
    (score,) = count([request(0, 0, domain="digits")], [answer(0, "a")]).scores
    assert (score.answered, score.differ) == (1, 1)


@pytest.mark.parametrize(("difference", "differ"), [(0.0, 0), (1e-15, 0), (1e-9, 1)])
def test_a_probability_is_compared_to_the_last_digits(difference, differ):
    numbers = Domain(
        name="numbers", proto=Path("n.proto"), requests=(b"",), classes=("a",), label="value", output=DoubleValue
    )
    model = Offline(name="sure", sha256="33", domain=numbers, predictions=({"value": 0.25},))
    said = answer(0, "", model=model)._replace(value=DoubleValue(value=0.25 + difference).SerializeToString())
    (score,) = demo_count.count([request(0, 0, domain="numbers")], [said], [], [model]).scores
    assert score.differ == differ


def test_a_gap_is_from_one_prediction_to_the_next_in_time_whatever_the_partition():
    answers = answered(1.0, 4.0) + answered(2.0, 3.5, partition=1)
    assert [(gap.begin, gap.end) for gap in demo_count.gaps(answers)] == [(1.0, 2.0), (2.0, 3.5), (3.5, 4.0)]
    assert max(gap.seconds for gap in demo_count.partition_gaps(answers)) == 3.0


def test_the_longest_gap_at_a_swap_may_begin_before_it_and_end_after_it():
    gaps = demo_count.gaps(answered(0.0, 1.0, 3.0, 3.5, 9.0))
    assert demo_count.longest(gaps, 1.5, 2.0) == demo_count.Gap(1.0, 3.0)
    assert demo_count.longest(gaps, 3.1, 3.2) == demo_count.Gap(3.0, 3.5)
    assert demo_count.longest(gaps, 10.0, 11.0) is None


def test_steady_periods_exclude_every_swap():
    gaps = demo_count.gaps(answered(0.0, 1.0, 3.0, 3.5, 9.0))
    assert demo_count.longest_outside(gaps, [(1.5, 2.0), (5.0, 6.0)]) == demo_count.Gap(0.0, 1.0)
    assert demo_count.longest_outside(gaps, [(0.0, 10.0)]) is None


def test_a_swap_lasts_until_the_last_cut_over_and_a_refused_one_until_the_fleet_has_reported_it():
    asked = [request(n, 0, partition=n % 2) for n in range(4)]
    said = [
        answer(n, "a", partition=n % 2, generation=g, model=m, at=at)
        for n, g, m, at in ((0, 1, FIRST, 1000), (1, 1, FIRST, 1500), (2, 2, SECOND, 5000), (3, 2, SECOND, 8000))
    ]
    counted = count(asked, said)
    assert counted.taken_over(2) == 8.0
    assert demo_count.window(demo_count.Moment(2, "swap", 4.0, 6.0, ""), counted) == (4.0, 8.0)
    assert demo_count.window(demo_count.Moment(3, "refused", 4.0, 6.0, "why"), counted) == (4.0, 6.0)


def test_every_prediction_is_drawn_once_under_its_generation():
    bins = demo_count.per_bin(answered(10.0, 10.05, 10.31) + answered(10.35, generation=2), 10.0, 0.1)
    assert bins == {1: {0: 2, 3: 1}, 2: {3: 1}}


@pytest.mark.parametrize(
    ("name", "model", "rows", "right"),
    [("iris", "iris_gbm", 150, 145), ("iris", "iris_glm", 150, 147), ("cancer", "cancer_gbm", 569, 567)],
)
def test_the_shipped_rows_and_h2os_own_predictions_belong_together(name, model, rows, right):
    domain = load_domain(name)
    offline = load_offline(model, domain)
    assert len(domain.requests) == len(domain.classes) == len(offline.predictions) == rows
    assert sum(p[domain.label] == known for p, known in zip(offline.predictions, domain.classes, strict=True)) == right
    digests = (Path(domain.proto).parents[1] / "models" / "DIGESTS").read_text()
    assert offline.sha256 in digests


def test_a_silence_is_measured_for_the_whole_stream_and_for_one_partition():
    answers = [*answered(0.0, 0.4, partition=0), *answered(0.1, 0.2, 0.3, partition=1)]
    counted = replace(count([], []), answered=tuple(answers))
    assert tuple(map(demo_count.milliseconds, demo_count.silences(counted, 0.0, 1.0))) == ("100 ms", "400 ms")
    assert tuple(map(demo_count.milliseconds, demo_count.silences(counted, 5.0, 6.0))) == ("-", "-")


def test_the_picture_and_the_text_of_the_readme_are_of_one_run():
    root = Path(__file__).parents[2]
    readme, picture = ((root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/demo.svg"))
    asked = re.search(r"asked (\S+) · answered (\S+) · lost", readme)[1]
    assert f"{asked} requests, 0 lost" in picture
    gaps = re.findall(r"^    [2-5] .* ([\d,]+ ms) +([\d,]+ ms)$", readme, re.MULTILINE)
    assert len(gaps) == 4
    for stream, partition in gaps:
        assert f">gap {stream} ({partition})<" in picture
