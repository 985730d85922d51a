"""What strangers can publish: header names, and what inflates."""

from faults.raw_batches import Record, batch, of_zeros
from harness.fleet import messages

_BOUND_MB = 300
_ODD = ((b"\xff\xfe", b"1"), (b"request-id", b"7"))
_TWICE = {
    b"operation": (b"Classify", b""),
    b"content-type": (b"application/x-protobuf", b"text/csv"),
    b"accept": (b"*/*", b"application/json"),
    b"proto-digest": (b"", b"0" * 64),
    b"not-after": (b"4102444800000", b"1000"),
    b"request-id": (b"1", b"2"),
}
_IRIS = messages("iris")[0][0]


def _told(letter):
    if letter is None:
        return "no dead letter"
    kept = "without its value" if letter["value"] is None else f"with {len(letter['value'])} bytes"
    return f"dead letter {letter['code'].decode()} {kept}"


async def header_name(stage):
    """A header name that is not valid UTF-8."""
    place = await stage.raw.send(stage.topics.requests, 0, batch([Record(value=_IRIS, headers=_ODD)]).at(0))
    letter = await stage.letter(0, place)
    return _told(letter), bool(letter) and letter["code"] == b"MALFORMED_HEADER" and letter["value"] == _IRIS


async def repeated_header(stage):
    """Each header of ours twice, with other values."""
    found = []
    for name, values in _TWICE.items():
        headers = tuple((name, value) for value in values)
        place = await stage.raw.send(stage.topics.requests, 0, batch([Record(value=_IRIS, headers=headers)]).at(0))
        letter = await stage.letter(0, place)
        found.append(bool(letter) and letter["code"] == b"MALFORMED_HEADER" and name in letter["message"])
    return f"{sum(found)} of {len(found)} refused by name", all(found)


async def header_name_on_control(stage):
    """The same on the control topic."""
    await stage.raw.send(stage.topics.control, 0, batch([Record(value=b"x", key=b"k", headers=_ODD)]).at(0))
    is_good = await stage.is_good()
    code, shown = await stage.command_line("status")
    said = "cannot be read" in shown
    return f"next swap {'READY' if is_good else 'not READY'}, status exits {code}, {'tells' if said else 'silent'}", (
        is_good and code == 0 and said
    )


async def inflates(stage):
    """3 MiB of zeros in 185 bytes."""
    made = of_zeros(3 << 20).at(0)
    place = await stage.raw.send(stage.topics.requests, 0, made)
    letter = await stage.letter(0, place)
    return _told(letter), bool(letter) and letter["code"] == b"TOO_LARGE" and letter.get("value-size") == b"3145728"


async def inflates_to_a_gigabyte(stage):
    """32 KiB that inflate to 1 GiB."""
    place = await stage.raw.send(stage.topics.requests, 0, of_zeros(1 << 30).at(0))
    letter = await stage.letter(0, place, 30)
    peak = stage.peak_mb()
    is_told = bool(letter) and letter["code"] == b"TOO_LARGE" and "batch-sha256" in letter
    return f"{_told(letter)}, worker {peak} MB", is_told and peak < _BOUND_MB
