"""Back-off grows, and stays within its bound after any number of retries; what to do follows what was wrong."""

import pytest

from hotswap.errors import pause_before, what_to_do


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "no Kafka answers (Unable to \"a:9\": [1] ('b', 9)): is it right?",
            "no Kafka answers (Unable to \"a:9\": [1] ('b', 9))",
        ),
        ("topic t has 1 partition: add some: now", "topic t has 1 partition"),
        ("no advice at a:9", "no advice at a:9"),
    ],
)
def test_what_to_do_follows_the_first_colon_that_is_not_in_parentheses(message, said):
    assert what_to_do(message) == (said, message[len(said) + 2 :])


def test_each_pause_is_twice_the_one_before_up_to_the_bound():
    assert [pause_before(attempt, first=5, most=60) for attempt in range(1, 7)] == [5, 10, 20, 40, 60, 60]


def test_the_pause_is_finite_after_any_number_of_failures():
    assert pause_before(100_000, first=5.0, most=60.0) == 60


def test_a_first_pause_of_zero_stays_zero():
    assert pause_before(100, first=0.0, most=60.0) == 0
