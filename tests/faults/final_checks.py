"""Checks that are possible only once nothing more will come; each yields kind, partition, offset and text."""

import json


def stale(number, part, committed, metadata, *, is_once):
    """Check that the committed offset and its generation match the last answer."""
    last, generation = part.course.last
    if last < 0:
        return
    if committed <= last:
        kind, text = ("stale_offset", "answered") if is_once else ("lagging", "answered, and will be again")
        yield kind, number, last, f"{text}, and the committed offset is {committed}"
    elif is_once and (named := _generation(metadata)) != generation:
        text = f"the last answer is by generation {generation}, the committed offset names {named}"
        yield "stale_offset", number, last, text


def torn_announcements(partitions, announced):
    """Find first batches without a CutOverDone on the status topic, and the reverse."""
    seen = {(p, g): span for p, part in partitions.items() for g, span in part.course.spans.items()}
    for partition, generation in seen.keys() - announced.keys():
        text = f"the first batch of generation {generation} is there without its CutOverDone"
        yield "torn", partition, seen[partition, generation][0], text
    for (partition, generation), first in announced.items():
        if seen.get((partition, generation), (0, -1))[1] < first:
            text = f"the CutOverDone of generation {generation} is there without its first batch"
            yield "torn", partition, first, text


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
