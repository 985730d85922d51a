"""Checks that are possible only once nothing more will come; each yields kind, partition, offset and text."""

import hashlib
import json
from bisect import bisect_left
from collections import Counter


def digest_of(value):
    """Return the digest of a request that the journal has."""
    return hashlib.sha256(value or b"").hexdigest()[:16]


def missing(number, part, committed, outputs, *, is_once):
    """Find requests without an answer; `outputs`: this partition of the predictions and of the dead letters."""
    behind = []
    last, _ = part.course.last
    for offset in sorted(part.requests.keys() - part.answered):
        if is_once and any(_is_amidst(output, offset) for output in outputs):
            yield "torn", number, offset, "not answered, in the midst of a batch that is"
        elif offset < max(committed, last):
            yield "lost", number, offset, f"not answered; answers up to {last}, committed {committed}"
        else:
            behind.append(offset)
    if behind:
        text = f"{len(behind)} requests from here on are not answered; committed {committed}"
        yield "lagging", number, behind[0], text


def _is_amidst(output, offset):
    before = bisect_left(output.firsts, offset) - 1
    return before >= 0 and offset < output.lasts[before]


def written_twice(part):
    """Return the offsets of requests that are there once more than the publisher has sent them.

    Its client is idempotent, but takes a new epoch after an error of one partition, and sends again under it what is
    in flight to others (seen in the log of librdkafka 2.16.0; its issue #4953 is alike). The broker cannot tell.
    """
    known = {(one.fingerprint, one.value) for at, one in part.requests.items() if at not in part.unacknowledged}
    copies = set()
    for offset in sorted(part.unacknowledged):
        request = part.requests[offset].fingerprint, part.requests[offset].value
        if request in known:
            copies.add(offset)
        known.add(request)
    return copies


def unacknowledged(number, part):
    """Check that the journal has each request, and that those are there which it has without an offset."""
    placeless = Counter(part.placeless)
    for offset in sorted(part.unacknowledged - written_twice(part)):
        digest = digest_of(part.requests[offset].value)
        if not placeless[digest]:
            yield "unacknowledged", number, offset, "the topic holds it, and no journal does"
        placeless[digest] -= 1
    for digest, count in (+placeless).items():
        yield "vanished", number, -1, f"acknowledged without an offset ({digest}), and {count} are not in the topic"


def stale(number, part, committed, metadata, announced, *, is_once):
    """Check that the committed offset and its generation match the last answer, or a cut-over after it."""
    last, generation = part.course.last
    if last < 0:
        return
    if committed <= last:
        kind, text = ("stale_offset", "answered") if is_once else ("lagging", "answered, and will be again")
        yield kind, number, last, f"{text}, and the committed offset is {committed}"
        return
    due = max([generation, *(newer for partition, newer in announced if partition == number)])
    if is_once and (named := _generation(metadata)) != due:
        text = f"generation {due} was the last to answer or to cut over, the committed offset names {named}"
        yield "stale_offset", number, last, text


def cut_overs(partitions, announced, committed):
    """Check each CutOverDone of the status topic; a partition without requests cuts over by its offset alone."""
    yield from _torn(partitions, announced, committed)
    yield from _gone_back(partitions, announced)


def _torn(partitions, announced, committed):
    """Find first batches without a CutOverDone, and the reverse."""
    seen = {(p, g): span for p, part in partitions.items() for g, span in part.course.spans.items()}
    for partition, generation in seen.keys() - announced.keys():
        text = f"the first batch of generation {generation} is there without its CutOverDone"
        yield "torn", partition, seen[partition, generation][0], text
    for (partition, generation), first in announced.items():
        offset, metadata = committed.get(partition, (-1, ""))
        is_idle = offset >= first and (_generation(metadata) or 0) >= generation
        span = seen.get((partition, generation))
        if span[1] < first if span else not is_idle:
            text = f"the CutOverDone of generation {generation} is there without its first batch, or an offset"
            yield "torn", partition, first, text


def _gone_back(partitions, announced):
    """Find answers by an older generation than one that had cut over before, which may have answered nothing itself."""
    for (number, generation), first in announced.items():
        for older, (_, last) in partitions[number].course.spans.items() if number in partitions else ():
            if older < generation and last >= first:
                text = f"answered by generation {older}, and {generation} had cut over at {first}"
                yield "went_back", number, last, text


def hanging(ends):
    """Find transactions that never ended; `ends`: topic -> partition -> last stable offset and end."""
    for topic, partitions in ends.items():
        for number, (stable, end) in sorted(partitions.items()):
            if stable < end:
                yield (
                    "hanging",
                    number,
                    None,
                    f"{topic}-{number} ends at {end}, and only what is before {stable} is stable",
                )


def _generation(metadata):
    try:
        return int(json.loads(metadata)["generation"])
    except (ValueError, KeyError, TypeError):
        return None
