"""The waits between tries grow, and stay within their bound however many there are."""

from hotswap.errors import pause_before


def test_each_wait_is_twice_the_one_before_up_to_the_bound():
    assert [pause_before(attempt, first=5, most=60) for attempt in range(1, 7)] == [5, 10, 20, 40, 60, 60]


def test_what_has_failed_for_days_still_has_a_wait():
    assert pause_before(100_000, first=5.0, most=60.0) == 60


def test_no_wait_at_first_is_none_ever():
    assert pause_before(100, first=0.0, most=60.0) == 0
