"""The judge's own test: each defect that is planted in a good history is found as what it is, and nothing else is.

    python tests/faults/test_verifier.py

prints the table.
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

if __name__ == "__main__":
    _TESTS = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "worker")]

from faults.evidence import Course, has_bytes
from faults.fold import Status
from faults.histories import CUT, DEPLOYMENT, DIGESTS, LAST, TOPICS, choose, make
from faults.oracle import Oracle
from faults.verifier import Judge, Record
from harness.fleet import EXAMPLES
from harness.proofs import recorded

ORACLE = Oracle(EXAMPLES)
SEEDS = range(5)


def judge(**settings):
    return Judge(topics=TOPICS, deployment=DEPLOYMENT, oracle=ORACLE, **settings)


def found(history, seed=0, **settings):
    """Kinds that are found in a history."""
    judging = judge(**settings)
    history.feed(judging, seed)
    return set(judging.counts)


def header(record, name):
    return dict(record.headers)[name].decode()


def source(record):
    return int(header(record, "source").rsplit("-", 1)[1])


def with_header(record, name, value):
    return tuple((key, value if key == name else old) for key, old in record.headers)


def batches(history, topic=TOPICS.predictions, partition=0):
    """The transactions of an output partition, each a list of records."""
    found = []
    for record in history.of(topic, partition):
        if found and found[-1][-1].offset + 1 == record.offset:
            found[-1].append(record)
        else:
            found.append([record])
    return found


def plain_batch(history, at_least=3):
    """A batch, well in the midst, whose requests follow each other and were all predicted by generation 1."""
    return next(
        batch
        for batch in batches(history)
        if len(batch) >= at_least and source(batch[0]) > 10 and source(batch[-1]) - source(batch[0]) == len(batch) - 1
    )


def request_of(history, record):
    return next(r for r in history.of(TOPICS.requests, record.partition) if r.offset == source(record))


def again(history, record, **changes):
    """Append a record once more, in a transaction of its own."""
    last = history.of(record.topic, record.partition)[-1]
    history.records[record.topic].append(replace(record, offset=last.offset + 2, **changes))


# ---- the defects, each planted into a history of its own


def drop(history):
    history.drop(plain_batch(history)[-1])


def drop_a_dead_letter(history):
    alone = next(batch for batch in batches(history, TOPICS.dead_letters) if _is_lone(history, batch))
    for record in alone:
        history.drop(record)


def _is_lone(history, batch):
    """Whether no prediction of the same transaction could come before and after."""
    spans = [(source(one[0]), source(one[-1])) for one in batches(history)]
    return len(batch) == 1 and not any(first < source(batch[0]) < last for first, last in spans)


def double(history):
    again(history, history.of(TOPICS.predictions, 1)[-1])


def double_as_a_dead_letter(history):
    record = history.of(TOPICS.predictions, 0)[-1]
    refused = (*record.headers, ("code", b"HOST_CRASHED"))
    again(history, replace(record, topic=TOPICS.dead_letters, value=request_of(history, record).value, headers=refused))


def reorder(history):
    one, two = plain_batch(history)[:2]
    history.change(one, offset=two.offset)
    history.change(two, offset=one.offset)
    history.records[TOPICS.predictions].sort(key=lambda record: (record.partition, record.offset))


def misplace(history):
    record = history.of(TOPICS.predictions, 0)[-1]
    history.drop(record)
    last = history.of(TOPICS.predictions, 1)[-1]
    history.records[TOPICS.predictions].append(replace(record, partition=1, offset=last.offset + 2))


def phantom(history):
    record = plain_batch(history)[0]
    again(history, record, headers=with_header(record, "source", f"{TOPICS.requests}-0-36".encode()))


def phantom_of_the_future(history):
    record = history.of(TOPICS.predictions, 0)[-1]
    again(history, record, headers=with_header(record, "source", f"{TOPICS.requests}-0-900".encode()))


def answer_without_source(history):
    record = history.of(TOPICS.predictions, 0)[-1]
    again(history, record, headers=(("generation", b"3"),))


def wrong_code(history):
    record = history.of(TOPICS.dead_letters, 0)[3]
    history.change(record, headers=with_header(record, "code", b"EXPIRED"))


def good_refused(history):
    record = plain_batch(history)[-1]
    history.drop(record)
    refused = (*record.headers, ("code", b"HOST_CRASHED"), ("message", b"it died"))
    value = request_of(history, record).value
    letters = history.of(TOPICS.dead_letters, 0)
    after = next(number for number, letter in enumerate(letters) if source(letter) > source(record))
    shifted = [replace(letter, offset=letter.offset + 20) for letter in letters[after:]]
    new = replace(record, topic=TOPICS.dead_letters, offset=letters[after].offset + 10, value=value, headers=refused)
    others = history.of(TOPICS.dead_letters, 1)
    history.records[TOPICS.dead_letters] = [*letters[:after], new, *shifted, *others]


def altered_bytes(history):
    record = history.of(TOPICS.dead_letters, 1)[2]
    history.change(record, value=record.value + b"\x00")


def left_out_bytes(history):
    """As for a value that no dead letter can hold: with its digest, and yet this one is not large."""
    record = history.of(TOPICS.dead_letters, 1)[2]
    digest = hashlib.sha256(record.value).hexdigest().encode()
    history.change(record, value=None, headers=(*record.headers, ("value-sha256", digest)))


def altered_key(history):
    record = history.of(TOPICS.predictions, 1)[9]
    history.change(record, key=b"another")


def altered_header(history):
    record = history.of(TOPICS.predictions, 1)[9]
    history.change(record, headers=with_header(record, "request-id", b"another"))


def altered_operation(history):
    record = history.of(TOPICS.dead_letters, 1)[2]
    history.change(record, headers=with_header(record, "operation", b"Estimate"))


def altered_request(history):
    history.journal[5] = (*history.journal[5][:2], "0" * 16)


def wrong_answer(history):
    record = plain_batch(history)[1]
    other = next(value for value in ORACLE.values(DIGESTS["iris_gbm"]) if _says(value) != record.value)
    history.change(record, value=_says(other))


def _says(value):
    return ORACLE.expected(DIGESTS["iris_gbm"], value)


def another_models_answer(history):
    record = plain_batch(history)[1]
    history.change(record, value=ORACLE.expected(DIGESTS["iris_glm"], request_of(history, record).value))


def garbage_answer(history):
    history.change(plain_batch(history)[1], value=b"\xff\xff")


def generation_never_accepted(history):
    for record in batches(history)[-1]:
        history.change(record, headers=with_header(record, "generation", b"9"))


def generation_with_another_model(history):
    record = plain_batch(history)[0]
    history.change(record, headers=with_header(record, "model-digest", DIGESTS["iris_glm"].encode()))


def torn_transaction(history):
    letters = next(
        batch for batch in batches(history, TOPICS.dead_letters) if not _is_lone(history, batch) and len(batch) == 1
    )
    history.drop(letters[0])


def first_batch_unannounced(history):
    history.drop(history.records[TOPICS.status][-1])


def announced_without_a_batch(history):
    status = Status()
    done = status.cut_over
    done.deployment, done.generation, done.partition, done.first_offset = DEPLOYMENT, 2, 0, LAST[0]
    history.records[TOPICS.status].append(Record(TOPICS.status, 0, 90, 0, None, status.SerializeToString()))


def stale_offset(history):
    offset, metadata = history.committed[1]
    history.committed[1] = offset - 5, metadata


def stale_generation(history):
    history.committed[1] = history.committed[1][0], '{"generation": 2}'


def lagging(history):
    offset, _ = history.committed[0]
    history.committed[0] = offset - 6, '{"generation": 3}'
    for record in history.records[TOPICS.predictions] + history.records[TOPICS.dead_letters]:
        if record.partition == 0 and source(record) >= offset - 6:
            history.drop(record)


def hanging(history):
    stable, _ = history.ends[TOPICS.predictions][1]
    history.ends[TOPICS.predictions][1] = stable, stable + 4


def lost_acknowledged_request(history):
    record = plain_batch(history)[-1]
    history.drop(request_of(history, record))
    history.drop(record)


def lost_acknowledgement(history):
    history.journal.pop(17)


def slipped(by):
    """Generation 2 takes over so many offsets off its cut."""

    def chosen(partition, offset):
        return 3 if offset >= LAST[partition] else 2 if offset >= CUT[partition] + by else 1

    return chosen


def went_back(partition, offset):
    """Generation 2 once more, after 3."""
    return 2 if partition == 0 and 170 <= offset < 175 else choose(partition, offset)


PLANTED = {
    "an answer is dropped": (drop, {"lost"}),
    "a dead letter is dropped": (drop_a_dead_letter, {"lost"}),
    "an answer is doubled": (double, {"twice"}),
    "a request is predicted and refused": (double_as_a_dead_letter, {"twice", "wrong_code"}),
    "two answers are reordered": (reorder, {"reordered"}),
    "an answer is in another partition": (misplace, {"misplaced"}),
    "an answer to a marker": (phantom, {"phantom"}),
    "an answer to a request to come": (phantom_of_the_future, {"phantom"}),
    "an answer that does not say to what": (answer_without_source, {"phantom"}),
    "a generation that nobody accepted": (generation_never_accepted, {"wrong_generation", "torn", "stale_offset"}),
    "a generation with another's model": (generation_with_another_model, {"wrong_generation"}),
    "another row's answer": (wrong_answer, {"wrong_answer"}),
    "another model's answer": (another_models_answer, {"wrong_answer"}),
    "an answer that is no message": (garbage_answer, {"wrong_answer"}),
    "a dead letter with a wrong code": (wrong_code, {"wrong_code"}),
    "a good request refused": (good_refused, {"wrong_code"}),
    "a torn transaction": (torn_transaction, {"torn"}),
    "a first batch that is not announced": (first_batch_unannounced, {"torn"}),
    "an announcement without its batch": (announced_without_a_batch, {"torn"}),
    "a committed offset that is stale": (stale_offset, {"stale_offset"}),
    "a committed generation that is stale": (stale_generation, {"stale_offset"}),
    "requests that nobody comes to": (lagging, {"lagging"}),
    "a transaction that hangs": (hanging, {"hanging"}),
    "an acknowledged request is lost": (lost_acknowledged_request, {"vanished"}),
    "an acknowledgement is lost": (lost_acknowledgement, {"unacknowledged"}),
    "a dead letter's bytes are altered": (altered_bytes, {"altered"}),
    "a dead letter's bytes are left out": (left_out_bytes, {"altered"}),
    "an answer's key is altered": (altered_key, {"altered"}),
    "an answer's header is altered": (altered_header, {"altered"}),
    "an answer's operation is altered": (altered_operation, {"altered"}),
    "a request's bytes are altered": (altered_request, {"altered"}),
}

MADE = {
    "a generation before its cut": ({"chosen": slipped(-8)}, {"wrong_cut"}),
    "a cut that is not honoured": ({"chosen": slipped(8)}, {"wrong_cut"}),
    "a generation that goes back": ({"chosen": went_back}, {"went_back"}),
    "a batch of two generations": ({"is_mixed": True}, {"mixed"}),
}


def test_bytes_may_be_left_out_of_a_dead_letter_only_where_they_are_many_and_by_their_digest():
    large = bytes(3 << 20)
    digest = hashlib.sha256(large).hexdigest().encode()
    letter = Record(TOPICS.dead_letters, 0, 0, 0, None, None, (("value-sha256", digest),))
    assert has_bytes(letter, large)
    assert not has_bytes(letter, large + b"x")
    assert not has_bytes(replace(letter, headers=()), large)
    assert not has_bytes(letter, b"small")


def with_defect(name):
    """A history with the defect in it, and the kinds as which it ought to be found."""
    if name in MADE:
        how, kinds = MADE[name]
        return make(ORACLE, **how), kinds
    plant, kinds = PLANTED[name]
    history = make(ORACLE)
    plant(history)
    return history, kinds


# ---- the promises


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_history_gives_no_finding_in_whatever_order_it_is_told(seed):
    judging = judge()
    assert make(ORACLE, seed=seed).feed(judging, seed) == []
    assert judging.asked == judging.answered + judging.refused == 2 * 195
    assert judging.outstanding == 0
    assert judging.refused > 20
    assert set(judging.generations) == {1, 2, 3}


@pytest.mark.parametrize("name", [*PLANTED, *MADE])
def test_a_planted_defect_is_found_as_what_it_is(name):
    history, kinds = with_defect(name)
    for seed in SEEDS:
        assert found(history, seed) == kinds


@pytest.mark.parametrize(("plant", "kind"), [(double, "twice"), (wrong_answer, "wrong_answer"), (reorder, "reordered")])
def test_what_can_be_decided_is_found_before_the_end(plant, kind):
    history, judging = make(ORACLE), judge()
    plant(history)
    history.committed = history.ends = {}
    judging.finish = lambda *_: []
    history.feed(judging)
    assert [finding.kind for finding in judging.findings] == [kind]


def test_a_request_that_is_published_with_the_command_may_be_answered_by_either_side_of_the_cut():
    history = make(ORACLE, chosen=slipped(8))
    assert found(history, cut_grace_s=600) == set()


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

    history, judging = make(ORACLE, chosen=chosen), judge()
    history.records[TOPICS.requests] = history.of(TOPICS.requests, 0) + history.of(TOPICS.requests, 1)
    for topic in (TOPICS.control, TOPICS.requests, TOPICS.predictions, TOPICS.dead_letters):
        for record in sorted(history.records[topic], key=lambda record: record.partition):
            judging.receive(record, 0)
    assert judging.counts == {"wrong_cut": len([r for r in history.of(TOPICS.requests, 1) if r.offset >= CUT[1]])}


def test_generations_only_grow_along_a_partition_in_whatever_order_they_are_heard():
    course = Course()
    assert [course.answered(*answer) for answer in ((10, 1), (30, 3), (20, 2), (12, 1), (28, 3))] == [True] * 5
    assert [course.answered(*answer) for answer in ((11, 2), (5, 2), (29, 2), (13, 4), (31, 1))] == [False] * 5
    assert course.last == (30, 3)


def test_at_least_once_allows_more_and_never_less():
    history = make(ORACLE)
    for record in plain_batch(history):
        again(history, record)
    judging = judge(delivery="at_least_once")
    assert history.feed(judging) == []
    assert judging.answered + judging.refused == judging.asked == len(judging.latencies)
    assert judging.repeated == len(plain_batch(history))
    assert found(history) == {"twice"}
    history.drop(history.of(TOPICS.predictions, 0)[5])
    assert found(history, delivery="at_least_once") == {"lost"}


def test_a_repeated_answer_is_held_to_the_same_truth_as_the_first():
    history = make(ORACLE)
    record = plain_batch(history)[0]
    again(history, record, value=b"")
    assert found(history, delivery="at_least_once") == {"wrong_answer"}


def test_findings_are_counted_exactly_and_told_in_a_few_words():
    history, judging = make(ORACLE), judge()
    history.records[TOPICS.predictions] = []
    history.feed(judging)
    assert judging.counts["lost"] + judging.counts["torn"] + judging.counts["lagging"] > 250
    assert len(judging.findings) <= 20 * len(judging.counts)


def test_latencies_and_gaps_are_those_of_the_history():
    judging = judge()
    history = make(ORACLE)
    history.feed(judging)
    assert len(judging.latencies) == len(judging.arrivals) == judging.asked
    assert {round(seconds, 3) for seconds in judging.latencies} == {0.07}
    assert set(judging.longest_gaps) == {0, 1}
    assert judging.transactions == sum(
        len(batches(history, topic, partition))
        for topic in (TOPICS.predictions, TOPICS.dead_letters)
        for partition in (0, 1)
    )


def test_the_answer_of_an_example_is_the_one_that_its_file_has():
    for name in ("iris_gbm", "iris_glm", "cancer_gbm", "gbm_50x5", "mixed_glm", "mixed_kmeans"):
        digest = DIGESTS[name]
        values = ORACLE.values(digest)
        answers = [ORACLE.expected(digest, value) for value in values]
        proto = ORACLE._models[digest].proto_sha256
        assert all(ORACLE.agrees(digest, proto, *pair) for pair in zip(values, answers, strict=True))
        other = answers[[said != answers[0] for said in answers].index(True)]
        assert ORACLE.agrees(digest, proto, values[0], other) is False
        assert ORACLE.agrees(digest, "another proto", values[0], other) is None


def table(say=print):
    """Say every defect and as what it is found; returns how many are not found."""
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
