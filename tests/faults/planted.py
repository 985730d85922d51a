"""The defects that the verifier must find: each is planted into its own good history."""

import hashlib
import json
from dataclasses import replace

from faults.histories import CUT, DIGESTS, LAST, REQUESTS, TOPICS, announce, choose, make
from faults.oracle import Oracle
from harness.fleet import EXAMPLES

ORACLE = Oracle(EXAMPLES)


def header(record, name):
    return dict(record.headers)[name].decode()


def source(record):
    return int(header(record, "source").rsplit("-", 1)[1])


def with_header(record, name, value):
    return tuple((key, value if key == name else old) for key, old in record.headers)


def batches(history, topic=TOPICS.predictions, partition=0):
    """Return the transactions of an output partition, each a list of records."""
    found = []
    for record in history.of(topic, partition):
        if found and found[-1][-1].offset + 1 == record.offset:
            found[-1].append(record)
        else:
            found.append([record])
    return found


def plain_batch(history, at_least=3):
    """Return a batch in the middle of consecutive requests, all predicted by generation 1."""
    return next(
        batch
        for batch in batches(history)
        if len(batch) >= at_least and source(batch[0]) > 10 and source(batch[-1]) - source(batch[0]) == len(batch) - 1
    )


def request_of(history, record):
    return next(r for r in history.of(TOPICS.requests, record.partition) if r.offset == source(record))


def again(history, record, **changes):
    """Append a record once more, in its own transaction."""
    last = history.of(record.topic, record.partition)[-1]
    history.records[record.topic].append(replace(record, offset=last.offset + 2, **changes))


# ---- the defects, each planted into its own history


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
    """Replace a small value by its digest, as if no dead letter could hold it."""
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
    announce(history, 0, 2, LAST[0])


def announced_without_an_offset(history):
    announce(history, 0, 4, REQUESTS)


def announced_before_an_older_answer(history):
    announce(history, 0, 4, REQUESTS - 20)
    history.committed[0] = history.committed[0][0], json.dumps({"generation": 4})


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
    """Let generation 2 take over some offsets off its cut."""

    def chosen(partition, offset):
        return 3 if offset >= LAST[partition] else 2 if offset >= CUT[partition] + by else 1

    return chosen


def went_back(partition, offset):
    """Let generation 2 answer once more, after 3."""
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
    "an announcement without its offset": (announced_without_an_offset, {"torn", "stale_offset"}),
    "an older answer after a cut-over": (announced_before_an_older_answer, {"went_back"}),
    "a committed offset that is stale": (stale_offset, {"stale_offset"}),
    "a committed generation that is stale": (stale_generation, {"stale_offset"}),
    "requests that no worker reaches": (lagging, {"lagging"}),
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


def with_defect(name):
    """Return a history with the defect in it, and the kinds of findings that it must cause."""
    if name in MADE:
        how, kinds = MADE[name]
        return make(ORACLE, **how), kinds
    plant, kinds = PLANTED[name]
    history = make(ORACLE)
    plant(history)
    return history, kinds
