"""The verifier folds the control topic as the workers do, with none of their code."""

import random

import pytest

from faults.fold import Command, Fold
from hotswap.commands import decode_command
from hotswap.errors import SwapError
from hotswap.swap.timeline import Timeline

MODEL, PROTO = "a" * 64, 'syntax = "proto3";'


def swap(generation, command_id=None, deployment="d", **fields):
    """A complete swap; a field that is None is left out."""
    command = Command(command_id=f"c{generation}" if command_id is None else command_id, deployment=deployment)
    whole = {"model": {"uri": "file:///m", "sha256": MODEL}, "proto": {"text": PROTO}} | fields
    command.swap.generation = generation
    for name, value in whole.items():
        if isinstance(value, dict):
            part = getattr(command.swap, name)
            part.SetInParent()
            for key, content in value.items():
                setattr(part, key, content)
        elif value is not None:
            setattr(command.swap, name, value)
    return command


def marked(command):
    command.rules = 1
    return command


def rollback(generation, to, command_id=None):
    command = Command(command_id=command_id or f"c{generation}", deployment="d")
    command.rollback.generation, command.rollback.to = generation, to
    return command


REFUSED = {
    "no generation": swap(0),
    "stale": swap(5),
    "an id that was used": swap(6, "c5"),
    "an id that is too long": swap(6, "c" * 201),
    "no id": swap(6, ""),
    "another deployment": swap(6, deployment="another"),
    "an unknown base": swap(6, base=3),
    "a rollback to nothing": rollback(6, 0),
    "a rollback to what never was": rollback(6, 4),
    "a number that leaves too few": marked(swap((1 << 53) + 6)),
    "a rollback to the last number there is": marked(rollback((1 << 64) - 1, 5)),
    "too late": swap(6, not_after={"seconds": 1}),
    "a time that is none": swap(6, not_after={"seconds": 10**15}),
    "a model without a place": swap(6, model={"sha256": MODEL}),
    "a model without a digest": swap(6, model={"uri": "file:///m", "sha256": "abc"}),
    "a proto without a source": swap(6, proto={}),
    "a proto with another's digest": swap(6, proto={"text": PROTO, "sha256": MODEL}),
    "no kind": Command(command_id="c6", deployment="d"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_command_that_is_not_acted_on_brings_no_generation(why):
    log = Fold("d")
    for command in (swap(5), REFUSED[why]):
        log.receive(command.SerializeToString(), 2_000)
    assert list(log.accepted) == [5]
    log.receive(swap(6, "whole").SerializeToString(), 2_000)
    assert list(log.accepted) == [5, 6]


def test_what_is_not_named_comes_from_the_base():
    log = Fold("d")
    assert log.receive(swap(1, model=None).SerializeToString(), 0).code == "INCOMPLETE"
    other = {"uri": "file:///n", "sha256": "B" * 64}
    commands = [swap(2), swap(3, model=other, proto=None), swap(4, base=2, model=None), rollback(9, 3)]
    for command in commands:
        log.receive(command.SerializeToString(), 0)
    assert [parts.model[1][0] for parts in log.accepted.values()] == ["a", "b", "a", "b"]
    assert len({parts.proto for parts in log.accepted.values()}) == 1


def dice_command(dice, about):
    """A command for a generation with about this number; it may be good, but often is not."""
    number = max(0, about + dice.randint(-3, 3))
    command_id = dice.choice([f"c{number}", f"x{dice.random()}", "", "c1"])
    if dice.random() < 0.3:
        return rollback(number, dice.randint(0, number), command_id)
    command = swap(
        number,
        command_id,
        dice.choice(["d", "d", "d", "another"]),
        base=dice.choice([0, 0, dice.randint(0, number)]),
        model=dice.choice([None, {"uri": "file:///m", "sha256": dice.choice(["A", "b", "c"]) * 64}, {}]),
        proto=dice.choice([None, None, {"text": PROTO + " " * dice.randint(0, 3)}, {"uri": "file:///p"}]),
        not_after=dice.choice([None, None, {"seconds": dice.randint(0, 100)}]),
    )
    command.swap.cut_over.offsets.update({dice.randint(0, 3): dice.randint(0, 99) for _ in range(dice.randint(0, 2))})
    if dice.random() < 0.05:
        command.rules = 1
        command.swap.generation += dice.choice((0, 1 << 53))
    return command


@pytest.mark.parametrize("seed", range(10))
def test_any_log_gives_the_generations_that_the_workers_come_to(seed):
    dice = random.Random(seed)
    log, timeline = Fold("d"), Timeline()
    values = [swap(1).SerializeToString()]
    for about in range(50):
        for _ in range(10):
            new = dice_command(dice, about).SerializeToString()
            values.append(dice.choice([new] * 5 + values[-2:] + [dice.randbytes(9)]))
    for time_ms, value in zip(range(0, 200_000, 200), values, strict=False):
        log.receive(value, time_ms)
        try:
            deployment, command = decode_command(value)
        except SwapError:
            continue
        if deployment == "d":
            timeline.receive(command, time_ms)
    assert len(timeline.swaps) > 10
    assert {number: (made.model[1], made.proto, made.cut) for number, made in log.accepted.items()} == {
        number: (made.generation.model.sha256, made.generation.proto.sha256, made.cut)
        for number, made in timeline.swaps.items()
    }
