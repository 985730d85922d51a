"""The verifier's own test: it finds each defect planted in a good history, with the right kind, and nothing else.

    python tests/faults/test_verifier.py

prints the table.
"""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

if __name__ == "__main__":
    _TESTS = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "worker")]

from faults.evidence import Course, has_bytes
from faults.fold import FAILED
from faults.histories import CUT, DEPLOYMENT, DIGESTS, REQUESTS, TOPICS, announce, choose, make, report
from faults.planted import (
    MADE,
    ORACLE,
    PLANTED,
    again,
    batches,
    double,
    plain_batch,
    reorder,
    slipped,
    with_defect,
    wrong_answer,
)
from faults.verifier import Record, Verifier
from harness.proofs import recorded

SEEDS = range(5)


def new_verifier(**settings):
    return Verifier(topics=TOPICS, deployment=DEPLOYMENT, oracle=ORACLE, **settings)


def found(history, seed=0, **settings):
    """Return the kinds of findings in a history."""
    verifier = new_verifier(**settings)
    history.feed(verifier, seed)
    return set(verifier.counts)


def test_a_request_that_was_acknowledged_without_an_offset_has_to_be_in_the_topic_all_the_same():
    history = make(ORACLE)
    partition, _, digest = history.journal[17]
    history.journal[17] = partition, -1, digest
    assert found(history) == set()
    history.journal.append((partition, -1, digest))
    assert found(history) == {"vanished"}
    del history.journal[17], history.journal[-1]
    assert found(history) == {"unacknowledged"}


def test_a_request_that_its_client_wrote_twice_is_counted_and_each_copy_wants_an_answer():
    history = make(ORACLE)
    last = history.of(TOPICS.requests, 0)[-1]
    copy = replace(last, offset=last.offset + 1)
    history.records[TOPICS.requests].append(copy)
    verifier = new_verifier()
    history.feed(verifier)
    assert verifier.written_twice == 1
    assert set(verifier.counts) == {"lagging"}
    history.change(copy, headers=(("request-id", b"another"),))
    assert found(history) == {"lagging", "unacknowledged"}


def test_a_partition_may_cut_over_without_a_request():
    history = make(ORACLE)
    announce(history, 0, 4, REQUESTS)
    history.committed[0] = history.committed[0][0], json.dumps({"generation": 4})
    assert found(history) == set()


def test_bytes_may_be_left_out_of_a_dead_letter_only_where_they_are_many_and_by_their_digest():
    large = bytes(3 << 20)
    digest = hashlib.sha256(large).hexdigest().encode()
    letter = Record(TOPICS.dead_letters, 0, 0, 0, None, None, (("value-sha256", digest),))
    assert has_bytes(letter, large)
    assert not has_bytes(letter, large + b"x")
    assert not has_bytes(replace(letter, headers=()), large)
    assert not has_bytes(letter, b"small")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_history_gives_no_finding_in_whatever_order_it_is_told(seed):
    verifier = new_verifier()
    assert make(ORACLE, seed=seed).feed(verifier, seed) == []
    assert verifier.asked == verifier.answered + verifier.refused == 2 * 195
    assert verifier.outstanding == 0
    assert verifier.refused > 20
    assert set(verifier.generations) == {1, 2, 3}


@pytest.mark.parametrize("name", [*PLANTED, *MADE])
def test_a_planted_defect_is_found_as_what_it_is(name):
    history, kinds = with_defect(name)
    for seed in SEEDS:
        assert found(history, seed) == kinds


@pytest.mark.parametrize(("plant", "kind"), [(double, "twice"), (wrong_answer, "wrong_answer"), (reorder, "reordered")])
def test_what_can_be_decided_is_found_before_the_end(plant, kind):
    history, verifier = make(ORACLE), new_verifier()
    plant(history)
    history.committed = history.ends = {}
    verifier.finish = lambda *_: []
    history.feed(verifier)
    assert [finding.kind for finding in verifier.findings] == [kind]


def test_a_request_that_is_published_with_the_command_may_be_answered_by_either_side_of_the_cut():
    history = make(ORACLE, chosen=slipped(8))
    assert found(history, cut_grace_s=600) == set()


def test_a_cut_counts_from_when_workers_that_were_cut_off_from_a_broker_can_know_of_it():
    history = make(ORACLE, chosen=slipped(8))
    (command,) = (record for record in history.of(TOPICS.control, 0) if record.offset == 2)
    for begins_s, ends_s, kinds in ((-1, 600, set()), (-600, -3, {"wrong_cut"}), (3, 600, {"wrong_cut"})):
        verifier = new_verifier()
        verifier.cut_offs.spans.append([command.timestamp_ms + at_s * 1_000 for at_s in (begins_s, ends_s)])
        history.feed(verifier)
        assert verifier.counts.keys() == kinds


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_behind_a_cut_are_only_counted_if_a_worker_could_not_load_what_is_cut_over_to(seed):
    history = make(ORACLE, chosen=slipped(8))
    report(history, 2, FAILED + 1)
    report(history, 3, FAILED)
    report(history, 2, FAILED, deployment="another")
    before, after = new_verifier(), new_verifier()
    assert {finding.kind for finding in history.feed(before, seed)} == {"wrong_cut"}
    report(history, 2, FAILED)
    assert history.feed(after, seed) == []
    assert after.behind.excused > before.behind.excused == 0


def test_a_generation_that_answered_nothing_anywhere_cuts_nothing():
    def chosen(_, offset):
        return 1 if offset < 150 else 3

    assert found(make(ORACLE, chosen=chosen)) == set()


def test_an_older_generation_behind_a_cut_is_seen_whichever_of_the_two_is_heard_first():
    before, after = Course(), Course()
    assert before.answered(9, 1)
    assert before.cut(10, 2) == []
    assert [before.least(offset) for offset in (9, 10, 11)] == [0, 2, 2]
    assert all(after.answered(offset, 1) for offset in range(15))
    assert after.cut(10, 2) == [(14, 1)]
    assert before.cut(5, 3) == [(9, 1)]
    assert before.least(10) == 3


def test_a_cut_holds_on_a_partition_that_its_generation_has_not_come_to():
    def chosen(partition, offset):
        return 1 if partition == 1 else choose(partition, offset)

    history, verifier = make(ORACLE, chosen=chosen), new_verifier()
    history.records[TOPICS.requests] = history.of(TOPICS.requests, 0) + history.of(TOPICS.requests, 1)
    for topic in (TOPICS.control, TOPICS.requests, TOPICS.predictions, TOPICS.dead_letters):
        for record in sorted(history.records[topic], key=lambda record: record.partition):
            verifier.receive(record, 0)
    assert verifier.counts == {"wrong_cut": len([r for r in history.of(TOPICS.requests, 1) if r.offset >= CUT[1]])}


def test_generations_only_grow_along_a_partition_in_whatever_order_they_are_heard():
    course = Course()
    assert [course.answered(*answer) for answer in ((10, 1), (30, 3), (20, 2), (12, 1), (28, 3))] == [True] * 5
    assert [course.answered(*answer) for answer in ((11, 2), (5, 2), (29, 2), (13, 4), (31, 1))] == [False] * 5
    assert course.last == (30, 3)


def test_at_least_once_allows_more_and_never_less():
    history = make(ORACLE)
    for record in plain_batch(history):
        again(history, record)
    verifier = new_verifier(delivery="at_least_once")
    assert history.feed(verifier) == []
    assert verifier.answered + verifier.refused == verifier.asked == len(verifier.latencies)
    assert verifier.repeated == len(plain_batch(history))
    assert found(history) == {"twice"}
    history.drop(history.of(TOPICS.predictions, 0)[5])
    assert found(history, delivery="at_least_once") == {"lost"}


def test_a_repeated_answer_is_held_to_the_same_truth_as_the_first():
    history = make(ORACLE)
    record = plain_batch(history)[0]
    again(history, record, value=b"")
    assert found(history, delivery="at_least_once") == {"wrong_answer"}


def test_findings_are_counted_exactly_and_told_in_a_few_words():
    history, verifier = make(ORACLE), new_verifier()
    history.records[TOPICS.predictions] = []
    history.feed(verifier)
    assert verifier.counts["lost"] + verifier.counts["torn"] + verifier.counts["lagging"] > 250
    assert len(verifier.findings) <= 20 * len(verifier.counts)


def test_latencies_and_gaps_are_those_of_the_history():
    verifier = new_verifier()
    history = make(ORACLE)
    history.feed(verifier)
    assert len(verifier.latencies) == len(verifier.arrivals) == verifier.asked
    assert {round(seconds, 3) for seconds in verifier.latencies} == {0.07}
    assert set(verifier.longest_gaps) == {0, 1}
    assert verifier.transactions == sum(
        len(batches(history, topic, partition))
        for topic in (TOPICS.predictions, TOPICS.dead_letters)
        for partition in (0, 1)
    )


def test_the_answer_of_an_example_is_the_one_that_its_file_has():
    for name in ("iris_gbm", "iris_glm", "cancer_gbm", "gbm_50x5", "mixed_glm", "mixed_kmeans"):
        digest = DIGESTS[name]
        values = ORACLE.values(digest)
        answers = [ORACLE.expected(digest, value) for value in values]
        proto = ORACLE.model(digest).proto_sha256
        assert all(ORACLE.agrees(digest, proto, *pair) for pair in zip(values, answers, strict=True))
        other = answers[[said != answers[0] for said in answers].index(True)]
        assert ORACLE.agrees(digest, proto, values[0], other) is False
        assert ORACLE.agrees(digest, "another proto", values[0], other) is None


def table(say=print):
    """Print every defect and the kinds as which it is found; return how many are not found."""
    missed = 0
    for name in ("nothing", *PLANTED, *MADE):
        history, kinds = (make(ORACLE), set()) if name == "nothing" else with_defect(name)
        kinds_found = found(history)
        missed += kinds_found != kinds
        mark = "" if kinds_found == kinds else f"   EXPECTED {', '.join(sorted(kinds))}"
        say(f"{name:40} -> {', '.join(sorted(kinds_found)) or 'nothing'}{mark}")
    count = len(PLANTED) + len(MADE)
    say(f"{count - missed} of {count} defects found as what they are")
    return missed


def test_the_table_says_of_every_defect_as_what_it_is_found():
    lines = []
    assert table(lines.append) == 0
    assert len(lines) == len(PLANTED) + len(MADE) + 2


def main():
    count = len(PLANTED) + len(MADE)
    with recorded("verifier", seed=None, length=count, full_length=count) as run:
        run.findings = table()
        run.figures = {"defects found": count - run.findings}
    return run.findings


if __name__ == "__main__":
    sys.exit(main())
