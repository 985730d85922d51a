"""What the reports of one worker's name say together."""

from hotswap.client.trend import Mark, Trend


def after(*reports):
    """`reports` as (seconds, lag, restarts, incarnation)."""
    trend = Trend()
    for at, lag, restarts, incarnation in reports:
        trend = trend.then(Mark(at, lag, restarts), incarnation)
    return trend


def test_the_lag_of_a_minute_ago_is_the_latest_that_is_so_old():
    trend = after(*((at, at, 0, "a") for at in range(0, 100, 3)))
    assert trend.lag_before(100.0) == 21
    assert trend.lag_before(59.0) is None


def test_reports_older_than_ten_minutes_are_dropped_and_one_is_kept_for_each_twenty_seconds():
    trend = after(*((at, 0, at // 250, "a") for at in range(0, 3_000, 3)))
    assert len(trend.marks) <= 31
    assert trend.restarts(11) == 2


def test_a_restarted_worker_begins_anew_and_two_workers_of_one_name_are_told_by_their_turns():
    restarted = after((0, 0, 5, "a"), (3, 0, 0, "b"), (6, 0, 1, "b"))
    assert restarted.restarts(1) == 1
    assert not restarted.is_double(6.0)
    two = restarted.then(Mark(9, 0, 0), "a")
    assert two.is_double(9.0)
    assert two.then(Mark(12, 0, 0), "a").is_double(39.0)
    assert not two.is_double(40.0)


def test_workers_of_earlier_versions_which_tell_no_incarnation_are_never_two():
    assert not after((0, 0, 0, ""), (3, 0, 0, "a"), (6, 0, 0, ""), (9, 0, 0, "")).is_double(9.0)
