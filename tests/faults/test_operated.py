"""What the verifier excuses of an operator's actions: what is gone, and what was asked for again, and nothing else."""

import pytest

from faults.histories import DEPLOYMENT, TOPICS, make
from faults.operated import Excusing, in_a_line
from faults.planted import ORACLE, double, drop, source

PLACES = {(partition, offset) for partition in range(2) for offset in range(200)}


def kinds(plant, seed, **excused):
    """Plant a defect into a good history; return the kinds of findings under these excuses, and the verifier."""
    history = make(ORACLE)
    before = set(map(id, history.records[TOPICS.predictions]))
    plant(history)
    verifier = Excusing(topics=TOPICS, deployment=DEPLOYMENT, oracle=ORACLE)
    for name, places in excused.items():
        setattr(verifier, name, set(places))
    history.feed(verifier, seed)
    added = [record for record in history.records[TOPICS.predictions] if id(record) not in before]
    return set(verifier.counts), verifier, [(record.partition, source(record)) for record in added]


@pytest.mark.parametrize("seed", range(3))
def test_a_request_without_an_answer_is_excused_only_if_it_is_gone(seed):
    found, _, _ = kinds(drop, seed)
    assert found & {"lost", "torn"}
    found, verifier, _ = kinds(drop, seed, gone=PLACES)
    assert (found, verifier.outstanding) == (set(), 0)


@pytest.mark.parametrize("seed", range(3))
def test_another_answer_is_excused_once_and_only_where_it_was_asked_for(seed):
    found, _, doubled = kinds(double, seed)
    assert found == {"twice"}
    assert kinds(double, seed, ordered=doubled)[0] == set()
    assert kinds(lambda history: (double(history), double(history)), seed, ordered=doubled)[0] == {"twice"}


def test_an_answer_that_was_asked_for_again_and_never_came_is_lost():
    assert kinds(lambda _: None, 0, ordered={(0, 20)})[0] == {"lost"}


def test_a_traceback_is_told_in_a_line_and_without_the_folders_of_the_machine():
    told = (
        ' (most recent call last):\n  File "/a/b c/worker/fetcher.py", line 219, in main\n    read()\nOSError: gone\n'
    )
    line = '(most recent call last): File "fetcher.py", line 219, in main read() OSError: gone'
    assert in_a_line(told) == line
