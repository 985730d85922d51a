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


def later(command):
    """Return the command as one that names version 2 of the contract."""
    command.least_version = 2
    return command


def over(command, cut=None, *, promote_by=None):
    """Stage a swap or rollback, with these cuts."""
    order = getattr(command, command.WhichOneof("kind"))
    order.cut_over.staged = True
    order.cut_over.offsets.update(cut or {})
    if promote_by is not None:
        order.cut_over.promote_by.seconds = promote_by
    return later(command)


def promote(generation, cut=None, command_id="p", *, complete=False):
    command = Command(command_id=command_id, deployment="d")
    command.promote.generation, command.promote.complete = generation, complete
    command.promote.offsets.update(cut or {})
    return later(command)


def abandon(generation, abandoned, to=0, cut=None, command_id=None):
    command = Command(command_id=command_id or f"c{generation}", deployment="d")
    command.abandon.generation, command.abandon.abandoned, command.abandon.to = generation, abandoned, to
    command.abandon.offsets.update(cut or {})
    return later(command)


def unversioned(command):
    command.ClearField("least_version")
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
    "an abandon of what never was": abandon(6, 4),
    "an abandon of the only one": abandon(6, 5),
    "an abandon that names version 1": unversioned(abandon(6, 5)),
    "a time to promote by that is none": over(swap(6), promote_by=10**15),
    "golden answers without a digest": later(swap(6, golden={"uri": "file:///g", "sha256": "abc"})),
    "a version that never will be": marked(Command(command_id="c6", deployment="d", least_version=1001)),
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


def folded(*commands, timestamp_ms=0):
    """Return the fold of a log, and the last verdict's outcome and code."""
    log = Fold("d")
    for command in commands:
        verdict = log.receive(command.SerializeToString(), timestamp_ms)
    return log, (verdict.outcome, verdict.code)


def begins(log, number, partitions=3):
    return [log.accepted[number].begins(partition) for partition in range(partitions)]


def test_a_promote_lowers_cuts_and_raises_none():
    staged = over(swap(2), {0: 50})
    log, _ = folded(swap(1), staged, promote(2, {0: 60, 1: 9}))
    assert begins(log, 2) == [50, 9, None]
    log, said = folded(swap(1), staged, promote(2, {0: 40}, complete=True))
    assert (begins(log, 2), said) == ([40, 0, 0], ("APPLIED", ""))


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        ((promote(1, {0: 1}),), "STALE"),
        ((promote(3, {0: 1}),), "UNKNOWN_BASE"),
        ((promote(2),), "MALFORMED"),
        ((unversioned(promote(2, {0: 1})),), "MALFORMED"),
        ((swap(3), promote(2, {0: 1})), "STALE"),
        ((abandon(3, 2), promote(2, {0: 1})), "STALE"),
        ((abandon(3, 1),), "STALE"),
        ((abandon(2, 2, command_id="x"),), "STALE"),
        ((abandon(3, 2, to=2),), "UNKNOWN_BASE"),
        ((abandon(3, 2, to=7),), "UNKNOWN_BASE"),
        ((promote(2, {0: 1}), promote(2, {0: 2})), "EQUIVOCATION"),
    ],
)
def test_a_promote_or_abandon_is_refused(commands, code):
    assert folded(swap(1), over(swap(2)), *commands)[1] == ("REFUSED", code)


@pytest.mark.parametrize(("late_ms", "said"), [(0, ("APPLIED", "")), (1, ("REFUSED", "EXPIRED"))])
def test_a_promote_is_too_late_after_its_time(late_ms, said):
    commands = swap(1), over(swap(2), promote_by=5), promote(2, complete=True)
    assert folded(*commands, timestamp_ms=5_000 + late_ms)[1] == said


def test_an_abandon_brings_a_generation_for_what_the_abandoned_one_has():
    other = {"uri": "file:///n", "sha256": "B" * 64}
    log, said = folded(swap(1), over(swap(2, model=other)), abandon(3, 2, cut={0: 9}))
    assert said == ("APPLIED", "")
    heir = log.accepted[3]
    assert (heir.replaces, heir.model[1], begins(log, 3)) == (2, MODEL, [9, 0, 0])
    assert [parts.abandoned_ms is not None for parts in log.accepted.values()] == [False, True, False]
    log, _ = folded(swap(1), over(swap(2, model=other)), abandon(3, 2), over(swap(4)), abandon(5, 4, to=2))
    assert log.accepted[5].model[1] == "b" * 64


def test_what_came_with_version_2_is_not_read_in_a_command_that_names_none():
    plain, staged = swap(2), unversioned(over(swap(2, golden={"uri": "file:///g"}), promote_by=10**15))
    log, said = folded(swap(1), staged)
    assert (begins(log, 2), log.accepted[2].golden, said) == ([0, 0, 0], None, ("", ""))
    assert folded(swap(1), staged, plain)[1] == ("DUPLICATE", "")
    assert folded(swap(1), over(swap(2)), plain)[1] == ("REFUSED", "EQUIVOCATION")


def test_nothing_is_folded_behind_a_version_that_is_not_known():
    held = swap(2)
    held.least_version = 3
    log = Fold("d")
    assert [log.receive(one.SerializeToString(), 0) for one in (swap(1), held, swap(3))][1:] == [
        ("c2", 0, "HELD", ""),
        None,
    ]
    assert list(log.accepted) == [1]


def dice_later(dice, about, number, command_id):
    """A command for what version 2 brought; it may be good, but often is not."""
    cut = {dice.randint(0, 3): dice.randint(0, 99) for _ in range(dice.randint(0, 2))}
    command_id = dice.choice([f"y{dice.random()}"] * 3 + [command_id])
    match dice.randrange(5):
        case 0 | 1:
            command = promote(max(0, about - dice.choice([1, 1, 0, 2])), cut, command_id, complete=dice.random() < 0.2)
        case 2:
            command = abandon(
                number,
                max(0, about - dice.choice([1, 1, 2])),
                dice.choice([0, 0, dice.randint(0, number)]),
                cut,
                command_id,
            )
        case 3:
            command = over(rollback(number, dice.randint(0, number), command_id), cut)
        case _:
            until = dice.choice([None, dice.randint(0, 100)])
            golden = dice.choice([None, {"uri": "file:///g", "sha256": MODEL}, {"sha256": ""}])
            command = over(swap(number, command_id, golden=golden), cut, promote_by=until)
    if dice.random() < 0.2:
        command.least_version = dice.choice([0, 1])
    return command


def dice_command(dice, about):
    """A command for a generation with about this number; it may be good, but often is not."""
    number = max(0, about + dice.randint(-3, 3))
    command_id = dice.choice([f"c{number}", f"x{dice.random()}", "", "c1"])
    if dice.random() < 0.4:
        return dice_later(dice, about, number, command_id)
    if dice.random() < 0.2:
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
    for time_ms in range(0, 100_000, 200):
        new = dice_command(dice, log.newest + 1).SerializeToString()
        value = dice.choice([new] * 5 + values[-2:] + [dice.randbytes(9)]) if time_ms else values[0]
        values.append(value)
        said = log.receive(value, time_ms)
        try:
            deployment, command = decode_command(value)
        except SwapError:
            assert said is None or said.outcome == "REFUSED"
            continue
        if deployment == "d":
            verdict = timeline.receive(command, time_ms)
            assert (verdict.outcome or "", verdict.code) == said[2:]
    assert len(timeline.swaps) > 10
    assert {one.abandoned_ms is not None for one in log.accepted.values()} == {True, False}
    assert {number: of_contract(made) for number, made in log.accepted.items()} == {
        number: of_worker(made) for number, made in timeline.swaps.items()
    }


def of_contract(made):
    is_abandoned = made.abandoned_ms is not None
    cut = made.cut, made.is_staged, made.promote_by_ms
    return made.model[1], made.proto, made.golden, *cut, made.replaces, is_abandoned


def of_worker(made):
    parts = made.generation
    golden = parts.golden and (parts.golden.uri, parts.golden.sha256)
    cut = made.cut, made.is_staged, made.promote_by_ms
    return parts.model.sha256, parts.proto.sha256, golden, *cut, made.replaces, made.is_abandoned
