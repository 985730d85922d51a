"""A comparison: pair by pair, in memory that does not grow, with quantiles that are off by at most 1 %."""

import json
import math
import random
import xml.etree.ElementTree as ET

import pytest

from hotswap.client.comparison import LARGEST, OTHERS, Comparison, Differences, GivenAnswer, flipped
from hotswap.client.comparison_picture import picture
from hotswap.client.comparison_report import ComparisonLimits, breaches, document
from hotswap.codec.text.answered import AnswerField

LABEL = AnswerField("predict", False, True)
NUMBER = AnswerField("p", True, False)
TAGS = AnswerField("tags", False, False)


def answer(*rows, generation=1, fields=(LABEL, NUMBER)):
    return GivenAnswer(generation, "predict", fields, rows)


def refused(code, generation=1):
    return GivenAnswer(generation, "predict", refusal=code)


def compared(*pairs):
    comparison = Comparison()
    for number, (one, other) in enumerate(pairs):
        comparison.add(f"d.requests-0-{number}", one, other)
    return comparison


def test_labels_numbers_and_other_fields_are_compared_row_by_row():
    fields = LABEL, NUMBER, TAGS
    found = compared(
        (answer(("yes", 0.9, "[1]"), ("no", 0.5, "[]"), fields=fields),
         answer(("no", 0.4, "[1]"), ("no", 0.5, "[2]"), generation=2, fields=fields)),
        (answer(("yes", 0.8, "[1]"), fields=fields), answer(("yes", 0.8, "[1]"), generation=2, fields=fields)),
    )  # fmt: skip
    assert (found.both, found.rows, found.flips, found.identical) == (2, 3, 1, 1)
    assert list(flipped(found.labels)) == [("predict", "yes", "no", 1)]
    assert (found.numbers["p"].count, found.numbers["p"].equal) == (3, 2)
    assert found.others == {"tags": [2, 1]}
    assert found.pairs[1, 2].rows == 3
    (largest,) = found.largest
    assert (largest.source, largest.row, largest.path, largest.size) == ("d.requests-0-0", 0, "p", pytest.approx(0.5))


def test_fields_are_matched_by_name_and_those_of_one_alone_are_named():
    found = compared(
        (
            answer(("yes", 0.9), fields=(LABEL, NUMBER)),
            answer((0.7, "no"), fields=(NUMBER, AnswerField("x", False, True))),
        )
    )
    assert found.lone == [{"predict"}, {"x"}]
    assert found.numbers["p"].largest == pytest.approx(0.2)
    assert found.labels == {}


def test_a_number_beside_a_label_of_the_same_name_is_only_equal_or_not():
    found = compared((answer((1.0,), fields=(NUMBER,)), answer(("1",), fields=(AnswerField("p", False, True),))))
    assert found.others == {"p": [0, 1]}


def test_refusals_are_counted_by_both_codes_and_compared_with_nothing():
    found = compared(
        (refused("EXPIRED"), answer(("yes", 0.9))),
        (answer(("yes", 0.9)), refused("MODEL_ERROR")),
        (refused("EXPIRED"), refused("EXPIRED")),
    )
    assert found.both == 3
    assert found.rows == 0
    assert found.refused == {("EXPIRED", ""): 1, ("", "MODEL_ERROR"): 1, ("EXPIRED", "EXPIRED"): 1}
    assert [found.refusals(0), found.refusals(1)] == [1, 1]


def test_answers_of_different_lengths_are_not_paired():
    found = compared((answer(("yes", 0.9), ("no", 0.1)), answer(("yes", 0.9))))
    assert (found.unpaired, found.rows) == (1, 0)


@pytest.mark.parametrize(
    ("one", "other", "undefined", "equal"),
    [
        (math.nan, 0.5, 1, 0),
        (0.5, math.inf, 1, 0),
        (None, 0.5, 1, 0),
        (math.nan, math.nan, 0, 1),
        (None, None, 0, 1),
        (math.inf, math.inf, 0, 1),
        (-math.inf, math.inf, 1, 0),
        (1, 1.0, 0, 1),
    ],
)
def test_what_is_no_finite_number_differs_from_one_and_equals_itself(one, other, undefined, equal):
    found = compared((answer(("yes", one)), answer(("yes", other))))
    assert (found.numbers["p"].undefined, found.numbers["p"].equal) == (undefined, equal)
    assert json.loads(json.dumps(document(found, "a", "b")))["largest"] == [
        {"source": "d.requests-0-0", "row": 0, "field": "p", "values": pytest.approx(
            [value if value is None or math.isfinite(value) else str(value) for value in (one, other)]
        ), "difference": None}
    ] * undefined  # fmt: skip


def test_quantiles_are_off_by_at_most_one_percent_and_take_no_more_memory_the_more_there_are():
    drawn = random.Random(53)
    sizes = [0.0] * 1_000 + [drawn.lognormvariate(-4, 3) for _ in range(20_000)]
    numbers = Differences()
    for size in sizes:
        numbers.add(size)
    sizes.sort()
    for share in (0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
        true = sizes[math.ceil(share * len(sizes)) - 1]
        assert numbers.quantile(share) == pytest.approx(true, rel=0.0101)
    assert len(numbers.buckets) < 2_000
    assert numbers.largest == sizes[-1]


def test_no_difference_has_no_quantile():
    numbers = Differences()
    numbers.add(math.inf)
    assert numbers.quantile(0.5) is None


def test_the_ten_largest_differences_are_kept_the_earliest_of_equal_ones():
    found = compared(*((answer(("a", 0.0)), answer(("a", float(size)))) for size in [*range(1, 31), 30]))
    assert [one.size for one in found.largest] == [30, 30, *range(29, 21, -1)]
    assert [one.source for one in found.largest[:2]] == ["d.requests-0-29", "d.requests-0-30"]
    assert len(found.largest) == LARGEST


def test_of_many_labels_the_first_are_told_apart_and_the_others_are_one():
    found = compared(*((answer((f"l{at}", 0.0)), answer((f"l{at}", 0.0))) for at in range(60)))
    labels = found.labels["predict"].pairs
    assert labels["l0", "l0"] == 1
    assert labels[OTHERS, OTHERS] == 10
    assert found.flips == 0


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (ComparisonLimits(flips=0.1), "the labels of 25 % of the rows differ, and 10 % may"),
        (ComparisonLimits(refusals=0.1), "the second one alone refused 20 % of the requests, and 10 % may be"),
        (ComparisonLimits(differences={"p": 0.2}), "p differs by more than 0.2 in over 1 % of the rows"),
        (ComparisonLimits(differences={"q": 0.2}), "q was not compared"),
        (ComparisonLimits(least_rows=5), "4 rows compared, and at least 5 must be"),
    ],
    ids=["flips", "refusals", "differences", "no such field", "rows"],
)
def test_a_limit_that_is_not_kept_is_said_with_what_there_is(limits, why):
    same = answer(("yes", 0.5)), answer(("yes", 0.5))
    found = compared(same, same, same, (answer(("yes", 0.5)), answer(("no", 0.9))), (same[0], refused("MODEL_ERROR")))
    (said,) = breaches(found, limits)
    assert why in said


def test_limits_that_are_kept_say_nothing_and_without_rows_one_is_never_kept():
    same = answer(("yes", 0.5)), answer(("yes", 0.5))
    limits = ComparisonLimits(flips=0.0, refusals=0.0, differences={"p": 0.0})
    assert list(breaches(compared(same), limits)) == []
    assert list(breaches(Comparison(), ComparisonLimits())) == ["0 rows compared, and at least 1 must be"]


def test_numbers_that_are_often_undefined_break_their_limit():
    found = compared(*[(answer(("a", 0.5)), answer(("a", math.nan)))] * 2, (answer(("a", 0.5)), answer(("a", 0.5))))
    assert list(breaches(found, ComparisonLimits(differences={"p": 1.0}))) == [
        "p differs by more than 1 in over 1 % of the rows"
    ]


def test_the_picture_is_svg_whatever_the_labels_say():
    evil = '<script>\x1b&"'
    found = compared(
        (answer((evil, 0.5)), answer(("b", 0.9))),
        (answer(("b", 0.5)), answer(("b", 0.5))),
        (answer(("b", 0.5)), answer(("b", math.nan))),
    )
    drawn = picture(found, "d", "d.shadow")
    texts = [one.text or "" for one in ET.fromstring(drawn).iter()]
    assert '<script>\\x1b&"' in texts
    assert any("3 rows compared" in text for text in texts)
    assert "33.3%" in texts


def test_a_picture_of_more_than_can_be_shown_says_so():
    fields = [AnswerField(f"f{at}", True, False) for at in range(30)]
    rows = [(answer((f"l{at}",), generation=2, fields=(LABEL,)),) * 2 for at in range(20)]
    wide = answer((0.5,) * 30, generation=3, fields=fields), answer((0.6,) * 30, generation=3, fields=fields)
    drawn = picture(compared(*rows, wide, *[(answer(("x", 0.5)), answer(("x", 0.5)))] * 12_345), "d", "e")
    assert "the 12 most frequent of 21" in drawn
    assert "24 of 31 fields" in drawn
    assert ">12k<" in drawn
