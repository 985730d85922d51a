"""The partitions of each promotion: a canary has the share that was asked for, as near as whole partitions allow."""

from fractions import Fraction

import pytest

from hotswap.client.change import Rollout
from hotswap.client.shares import Window
from hotswap.client.stepping import canary, forecast, steps_of
from hotswap.errors import UsageError

QUIET = Window(1, dict.fromkeys(range(4), 0))
UNEVEN = Window(1, {0: 700, 1: 100, 2: 180, 3: 20})


@pytest.mark.parametrize(
    ("window", "part", "partitions"),
    [(QUIET, "1/4", {0}), (UNEVEN, "1/4", {2}), (UNEVEN, "1/2", {1, 2}), (UNEVEN, "3/4", {0, 1, 2})],
    ids=str,
)
def test_a_canary_has_the_partitions_whose_share_is_nearest(window, part, partitions):
    assert canary(Fraction(part), window) == partitions


@pytest.mark.parametrize("part", ["1/3", "0", "1", "5/4", "-1/4"])
def test_a_share_that_cannot_be_had_is_refused_with_those_that_can(part):
    with pytest.raises(UsageError, match="possible are 1/4 to 3/4"):
        canary(Fraction(part), QUIET)
    with pytest.raises(UsageError, match="there is one partition"):
        canary(Fraction(part), Window(1, {0: 5}))


def test_a_stagger_ends_with_all_that_are_left():
    assert steps_of(Rollout(stagger=3), QUIET) == (frozenset({0, 1, 2}), None)
    assert steps_of(Rollout(stagger=1), QUIET) == (frozenset({0}), frozenset({1}), frozenset({2}), None)
    assert steps_of(Rollout(canary=Fraction(1, 4)), QUIET) == (frozenset({0}),)
    assert steps_of(Rollout(), QUIET) == (None,)


def test_the_forecast_is_the_share_of_the_last_hour():
    assert forecast({2}, UNEVEN) == "the canary has 1 of 4 partitions (2): 18.0% of the requests of the last hour"
    assert forecast({2}, QUIET).endswith("no request has been published yet")
