"""Swaps in steps on the command line: staged and promoted, a canary, and what excludes what."""

import json

import pytest

from fakes.command_line import hotswap, one_line
from fakes.kafka_logs import FakeWorker
from hotswap.commands import decode_command
from hotswap.swap.command import AbandonCommand, PromoteCommand, SwapCommand

FIRST = ("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
OTHER = ("swap", "d", "--model", "model.zip", "--proto", "single.proto")


@pytest.fixture
def worker(cluster, settings):
    """A worker that serves generation 1 and knows version 2 of the control contract."""
    made = FakeWorker(cluster, settings)
    hotswap(*FIRST)
    made.speak(generation=1, loaded=[1], contract=2)
    return made


def written(cluster, settings):
    """Return the commands after the first swap."""
    (records,) = cluster.topics[settings.topics.control]
    return [decode_command(record.value)[1] for record in records[1:]]


def test_a_swap_to_another_proto_is_staged_and_promoted_and_the_first_such_command_is_told(worker, cluster, settings):
    cluster.append(settings.topics.requests, b"", partition=0)
    result = hotswap(*OTHER)
    assert "cannot follow its log from here on" in result.stderr
    assert "staged on all workers first, because the proto changes incompatibly" in result.stderr
    assert "SERVING" in result.stdout
    staged, promote = written(cluster, settings)
    assert (staged.is_staged, dict(staged.cut)) == (True, {})
    assert (promote.generation, dict(promote.cut), promote.is_complete) == (2, {0: 1, 1: 0}, True)
    assert "cannot follow" not in hotswap("rollback", "d").stderr
    assert [type(one) for one in written(cluster, settings)[2:]][1] is PromoteCommand


@pytest.mark.parametrize("words", [("--one-step",), ("--no-wait",)], ids=str)
def test_without_a_stage_it_is_cut_after_the_backlog(worker, cluster, settings, words):
    hotswap(*OTHER, *words)
    (swap,) = written(cluster, settings)
    assert (type(swap), swap.is_staged, set(swap.cut)) == (SwapCommand, False, {0, 1})


def test_with_an_older_worker_it_is_made_in_one_step_and_a_canary_is_refused_by_its_name(worker, cluster, settings):
    FakeWorker(cluster, settings, "old").speak(generation=1, loaded=[1])
    assert "in one step, since old would not understand it" in hotswap(*OTHER).stderr
    refused = hotswap(*FIRST, "--canary", "1/2", "--at-once", code=2)
    assert "a generation cannot be staged here: old would not understand it" in one_line(refused)
    assert [one.is_staged for one in written(cluster, settings)] == [False]


def test_a_canary_is_forecast_and_then_promoted_or_abandoned(worker, cluster, settings):
    for _ in range(3):
        cluster.append(settings.topics.requests, b"", partition=0)
    cluster.append(settings.topics.requests, b"", partition=1)
    result = hotswap("swap", "d", "--model", "model.zip", "--canary", "1/2")
    assert "the canary has 1 of 2 partitions (0): 75.0% of the requests" in result.stderr
    assert "generation 2 scores partitions 0" in result.stderr
    assert cluster.scored == {0: 2, 1: 1}
    hotswap("abandon", "d")
    assert cluster.scored == {0: 3, 1: 1}
    assert "no generation that is staged" in one_line(hotswap("promote", "d", code=2))
    hotswap("swap", "d", "--model", "model.zip", "--canary", "1/2")
    promoted = json.loads(hotswap("promote", "d", "--json").stdout)
    assert (promoted["generation"], promoted["is_good"], cluster.scored) == (4, True, {0: 4, 1: 4})
    kinds = [type(one) for one in written(cluster, settings)]
    assert kinds == [SwapCommand, PromoteCommand, AbandonCommand, SwapCommand, PromoteCommand, PromoteCommand]


def test_a_stagger_promotes_so_many_at_a_time_and_the_rest_at_last(worker, cluster, settings):
    hotswap("swap", "d", "--model", "model.zip", "--stagger", "1", "--pause", "0s")
    _, first, last = written(cluster, settings)
    assert (dict(first.cut), first.is_complete, dict(last.cut), last.is_complete) == ({0: 0}, False, {}, True)


def test_a_generation_that_fails_is_abandoned(worker, cluster, settings):
    worker.outcomes, worker.code, worker.message = ("STAGING", "FAILED"), "MODEL_INVALID", "no model"
    result = hotswap("swap", "d", "--model", "model.zip", "--barrier", code=1)
    assert "generation 2 failed on w1 and was abandoned: nothing that serves has changed" in result.stderr
    assert written(cluster, settings)[-1].abandoned == 2


def test_what_cannot_read_the_old_requests_is_not_promoted_by_parts(worker, cluster, settings):
    refused = one_line(hotswap(*OTHER, "--canary", "1/2", code=2))
    assert "the new proto cannot read requests of the serving one" in refused
    assert written(cluster, settings) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--canary 1/2 --stagger 1", "--canary, --stagger and --at exclude each other"),
        ("--pause 5m", "--pause is between the partitions of --stagger"),
        ("--at 2020-01-01T00:00Z", "--at is in the past"),
        ("--barrier --one-step", "--one-step excludes --canary, --stagger, --barrier and --at"),
        ("--barrier --no-wait", "--no-wait would leave the generation staged"),
        ("--canary a", "'a' is no part of all partitions: as 1/12"),
        ("--stagger 1 --pause 5", "'5' is no span of time: as 90s, 5m, 2h or 1d"),
        ("--at soon", "'soon' is no time: as 2026-12-05T00:00Z"),
    ],
)
def test_what_excludes_what_is_told(cluster, settings, words, why):
    assert why in hotswap(*FIRST, *words.split(), code=2).stderr


@pytest.mark.parametrize("text", ["x", "0,", "0;1"])
def test_partitions_are_a_list_of_numbers(cluster, settings, text):
    assert "is no list of partitions: as 0,3" in hotswap("promote", "d", "--partitions", text, code=2).stderr
