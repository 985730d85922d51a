"""Shadows: their command, its fold, and which requests are in a sample."""

import pytest

from hotswap.commands import command_for, decode_command, encode_command
from hotswap.errors import StartError, SwapCode, SwapError
from hotswap.generation import Model, Proto
from hotswap.settings import Settings
from hotswap.swap.command import LaterCommand, Outcome, ShadowCommand, SwapCommand
from hotswap.swap.sample import MILLION, Sampling, Shadowed
from hotswap.swap.timeline import Timeline
from hotswap.trust.fold import Fold
from hotswap.v1 import control_pb2 as wire

SHADOWED = Shadowed("d", "d.requests", Sampling(frozenset({0, 2}), 100_000))
SHADOW = ShadowCommand(command_id="s", shadowed=SHADOWED)
SWAP = SwapCommand(command_id="g", generation=1, model=Model("file:///m", "a" * 64), proto=Proto.inline("x"))
_BITS = (1 << 64) - 1


def by_hand(partition, offset, per_million):
    """The rule as control.proto has it."""
    z = (((partition << 48) ^ offset) + 0x9E3779B97F4A7C15) & _BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _BITS
    return (z ^ (z >> 31)) % MILLION < per_million


@pytest.mark.parametrize("partition", [0, 1, 70_000])
def test_the_sample_is_what_the_rule_of_the_contract_says(partition):
    offsets = [*range(2_000), 2**40, 2**63 - 2]
    chosen = Sampling(per_million=100_000).chosen(partition, offsets)
    assert chosen == [by_hand(partition, offset, 100_000) for offset in offsets]
    assert 150 < sum(chosen) < 250


def test_without_a_share_every_request_of_its_partitions_is_in_the_sample():
    some = Sampling(frozenset({1}))
    assert (some.has(1), some.has_all(1), some.has(0), some.has_all(0)) == (True, True, False, False)
    assert some.chosen(1, [5, 6]) == [True, True]
    assert some.chosen(0, [5, 6]) == [False, False]
    assert Sampling(per_million=1).has(0)
    assert not Sampling(per_million=1).has_all(0)
    assert Sampling(frozenset({1}), MILLION).chosen(0, [5]) == [False]


def test_the_command_names_the_version_that_knows_it_and_arrives_as_it_was_sent():
    value = encode_command("d.shadow", SHADOW)
    assert decode_command(value) == ("d.shadow", SHADOW)
    assert wire.Command.FromString(value).least_version == 3
    assert command_for("d.shadow", value, version=2) == LaterCommand("s", 3)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"of": ""}, "names no deployment"),
        ({"requests": ""}, "or no topic of its requests"),
        ({"per_million": MILLION + 1}, "per_million is 1000001"),
    ],
    ids=["of", "requests", "share"],
)
def test_a_command_that_makes_no_shadow_is_malformed(change, why):
    shadow = wire.Shadow(**({"of": "d", "requests": "d.requests"} | change))
    command = wire.Command(command_id="s", deployment="d.shadow", shadow=shadow, least_version=3)
    with pytest.raises(SwapError, match=why) as refused:
        decode_command(command.SerializeToString())
    assert refused.value.code is SwapCode.MALFORMED


def test_a_shadow_that_names_an_earlier_version_is_none():
    shadow = wire.Shadow(of="d", requests="d.requests")
    command = wire.Command(command_id="s", deployment="d.shadow", shadow=shadow, least_version=2)
    with pytest.raises(SwapError, match="none of swap"):
        decode_command(command.SerializeToString())


def test_a_deployment_becomes_a_shadow_once_and_before_its_first_generation():
    timeline = Timeline()
    assert timeline.shadowed is None
    assert timeline.receive(SHADOW, 0).outcome is Outcome.APPLIED
    assert timeline.shadowed == SHADOWED
    assert timeline.needs == 3
    again = timeline.receive(ShadowCommand(command_id="t", shadowed=Shadowed("e", "e.requests")), 0)
    assert (again.outcome, again.code) == (Outcome.REFUSED, SwapCode.STALE)
    assert timeline.shadowed == SHADOWED
    assert timeline.receive(SWAP, 0).outcome is None


def test_a_deployment_that_has_a_generation_does_not_become_a_shadow():
    timeline = Timeline()
    timeline.receive(SWAP, 0)
    late = timeline.receive(SHADOW, 0)
    assert (late.outcome, late.code) == (Outcome.REFUSED, SwapCode.STALE)
    assert "generation 1 was accepted before" in late.message
    assert timeline.shadowed is None


@pytest.mark.parametrize(
    "named",
    [{}, {"predictions_topic": "d.predictions"}, {"dead_letters_topic": "x"}, {"group": "d"}, {"requests_topic": "x"}],
    ids=["nothing", "predictions", "dead letters", "group", "requests"],
)
def test_a_worker_of_a_shadow_starts_with_topics_and_a_group_of_its_own_alone(named):
    settings = Settings(**({"deployment": "d.shadow", "requests_topic": "d.requests"} | named))
    timeline = Timeline()
    fold = Fold("d.shadow", timeline)
    fold.check_settings(settings)  # it is none yet
    timeline.receive(SHADOW, 0)
    if not named:
        fold.check_settings(settings)
        return
    with pytest.raises(StartError, match=r"d.shadow is a shadow of d: it answers the requests of d.requests"):
        fold.check_settings(settings)
