"""Batches generated for the fuzzing of raw records, with the outcome that is due to each of their offsets.

What a broker accepts is published. What it refuses itself (`forged`) is not: a good batch is published in its place,
and the proxy passes the forged one to the worker instead.
"""

import hashlib
import random
from dataclasses import dataclass, replace
from functools import cached_property

from faults.evidence import UNJOURNALED, UNREADABLE, UNREADABLE_KEY
from faults.raw_batches import CODECS, IS_CONTROL, Batch, Record, batch, of_zeros, old_format, record, varint
from harness.fleet import messages

UNPACKED_BYTES = 8 << 20
"""The fuzzing's bound on what a batch may unpack to: below the default, so that exceeding it takes little."""
REQUEST_BYTES = 900_000

PREDICTED, ABSENT = "predicted", "absent"
ANY = -1
"""For the size of a value: a dead letter may have the value, or what could be found out about it."""
_ODD_NAMES = (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"ok\x80", b"\xf5\x80\x80\x80", b"\x80")
_GOOD_NAMES = (b"a", b"trace-id", b"", "ü".encode(), b"a b", b"x" * 200)
_IRISES = messages("iris")[0]

OURS = {"generation", "model-digest", "operation", "source", "code", "message", "content-type", "accept"}
"""Headers of an answer that a worker sets, or may set otherwise than the request has them."""
_ONCE = (b"operation", b"content-type", b"accept", b"proto-digest", b"not-after", b"request-id")
"""Headers that a request may have once."""


@dataclass(frozen=True, slots=True)
class Due:
    """The outcome due to an offset: one of `outcomes`, which are codes, `predicted` or `absent`."""

    outcomes: frozenset
    size: int | None = None
    """Of the value; None: it has none."""
    sha256: str = ""
    key: bytes | None = None
    headers: tuple = ()
    """The headers that must be copied, in order."""

    @classmethod
    def of(cls, given, *outcomes):
        value = given.value
        readable = [(name, held) for name, held in given.headers if _is_text(name)]
        return cls(
            frozenset(outcomes),
            None if value is None else len(value),
            hashlib.sha256(value or b"").hexdigest(),
            given.key,
            tuple((name.decode(), held) for name, held in readable if name.decode() not in OURS),
        )


@dataclass(frozen=True)
class Item:
    """A batch, and what is due to its offsets in order; a forged one has a good batch to publish in its place."""

    kind: str
    made: Batch | list
    due: tuple
    placeholder: Batch | None = None
    fetches: int = 0
    """How often the forged one is passed on before the good one; 0: always."""

    @cached_property
    def is_forged(self):
        return self.placeholder is not None

    def at(self, base):
        """The bytes that a worker has to read."""
        if isinstance(self.made, list):
            return b"".join(old_format(given, base + delta, magic) for delta, (given, magic) in enumerate(self.made))
        return self.made.at(base)


def items(seed, number):
    """Yield batches for ever: the same ones for the same seed; `number` is that of the first one."""
    chance = random.Random(seed)
    kinds, weights = zip(*_KINDS, strict=True)
    while True:
        (kind,) = chance.choices(kinds, weights)
        yield kind(chance, number)
        number += 1


def odd_batch(chance):
    """Build a request that no client library would send, or one that inflates, with a header for what is due to it."""
    if chance.random() < 0.5:
        headers = (*((name.encode(), held) for name, held in UNREADABLE), (chance.choice(_ODD_NAMES), b"held"))
        given = Record(value=chance.choice(_IRISES), key=UNREADABLE_KEY, headers=headers)
        return batch([given], chance.choice(list(CODECS)))
    headers = ((b"expect", b"TOO_LARGE"), (UNJOURNALED.encode(), b"1"))
    codec = chance.choice([name for name in CODECS if name != "none"])
    return batch([Record(value=bytes(3 << 20), headers=headers)], codec)


def usual(given):
    """Return what is due to a record by its headers and its value, if nothing else is wrong."""
    if not all(_is_text(name) for name, _ in given.headers):
        return Due.of(given, "MALFORMED_HEADER")
    if given.value and len(given.value) > REQUEST_BYTES:
        return Due.of(given, "TOO_LARGE")
    if given.value is None:
        return Due.of(given, "UNDECODABLE")
    ours = [name for name, _ in given.headers if name in _ONCE]
    if len(set(ours)) < len(ours):
        return Due.of(given, "MALFORMED_HEADER")
    if given.value.startswith(b"\xff"):
        return Due.of(given, "UNDECODABLE")
    return Due.of(given, PREDICTED)


def _is_text(name):
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


# ---- records


def _value(chance):
    return chance.choices((chance.choice(_IRISES), b"\xff\xff\xff", None, b""), (90, 3, 3, 4))[0]


def _headers(chance):
    return tuple(
        (chance.choice(_GOOD_NAMES), chance.choice((b"1", b"", None, b"\xff" * 8))) for _ in range(chance.randrange(3))
    )


def _plain(chance):
    return Record(value=_value(chance), key=chance.choice((None, b"", b"k")), headers=_headers(chance))


def _some(chance, most=12):
    return [_plain(chance) for _ in range(chance.randint(1, most))]


def _item(kind, records, codec):
    return Item(kind, batch(records, codec), tuple(map(usual, records)))


# ---- what a broker accepts


def _packed(chance, _):
    codec = chance.choice(list(CODECS))
    return _item(f"codec {codec}", _some(chance), codec)


def _named(chance, _):
    records = _some(chance, 5)
    at = chance.randrange(len(records))
    odd = list(records[at].headers)
    odd.insert(chance.randint(0, len(odd)), (chance.choice(_ODD_NAMES), b"held"))
    records[at] = Record(value=records[at].value, key=records[at].key, headers=tuple(odd))
    return _item("header name", records, chance.choice(list(CODECS)))


def _repeated(chance, _):
    """A header of ours twice, among others, with values that a request may have it with."""
    values = {
        b"operation": (b"Classify", b"", None),
        b"content-type": (b"application/x-protobuf", b"", None),
        b"accept": (b"*/*", b"application/x-protobuf"),
        b"not-after": (b"4102444800000", b"", None),
        b"proto-digest": (b"", None),
        b"request-id": (b"7", b"8", b"", None),
    }
    records = _some(chance, 5)
    at, name = chance.randrange(len(records)), chance.choice(_ONCE)
    headers = list(records[at].headers)
    for _ in range(chance.choice((1, 2, 2, 3))):
        headers.insert(chance.randint(0, len(headers)), (name, chance.choice(values[name])))
    records[at] = Record(value=records[at].value, key=records[at].key, headers=tuple(headers))
    return _item("header of ours", records, chance.choice(list(CODECS)))


def _many_headers(chance, _):
    count = chance.choice((50, 500, 3_000))
    names = [chance.choice((b"same", b"n" * chance.choice((1, 100)), b"")) for _ in range(count)]
    return _item(
        "many headers",
        [Record(value=_IRISES[0], headers=tuple((name, b"") for name in names))],
        chance.choice(("none", "lz4")),
    )


def _sized(chance, _):
    """Values around the largest request, which a worker refuses with its bytes, and up to the topic's limit."""
    size = REQUEST_BYTES + chance.choice((-2, 0, 1, 1_000, 100_000))
    return _item("size", [Record(value=b"\xff" * size)], "none")


def _large_key(chance, _):
    """Keys or headers with which no answer or dead letter fits its topic, unless those are compressed, too."""
    large = bytes(chance.choice((1_100_000, 3 << 20)))
    given = chance.choice((Record(value=_IRISES[0], key=large), Record(value=_IRISES[0], headers=((b"h", large),))))
    due = replace(Due.of(given, PREDICTED, "TOO_LARGE", "ANSWER_TOO_LARGE"), size=ANY)
    return Item("large key", batch([given], chance.choice(("gzip", "lz4", "zstd"))), (due,))


def _inflating(chance, _):
    """A value larger than any topic accepts, but within the bound: its own dead letter does not have it."""
    records = _some(chance, 3)
    records.insert(chance.randint(0, len(records)), Record(value=bytes(chance.choice((2, 3, 6)) << 20)))
    return _item("inflates", records, chance.choice([name for name in CODECS if name != "none"]))


def _beyond(chance, _):
    """A batch over the unpacking bound: earlier records are answered, except in raw snappy, which is all or nothing."""
    codec = chance.choice([name for name in CODECS if name != "none"])
    before, behind = [] if codec == "snappy" else _some(chance, 3), _some(chance, 2)
    bomb = Record(value=bytes((12 if CODECS[codec] == CODECS["snappy"] else 60) << 20))
    due = [*map(usual, before), *[Due(frozenset({"TOO_LARGE"}), size=ANY)] * (1 + len(behind))]
    return Item(f"inflates beyond the bound, {codec}", batch([*before, bomb, *behind], codec), tuple(due))


def _bomb(*_):
    return Item("inflates to 1 GiB", of_zeros(1 << 30), (Due(frozenset({"TOO_LARGE"}), size=ANY),))


def _tiny(chance, _):
    count = chance.choice((500, 2_000))
    return _item("tiny", [Record(value=b"")] * count, chance.choice(("none", "zstd")))


def _odd_null(chance, _):
    """A value with a negative length other than -1: brokers accept it, as no value."""
    body = b"\x00\x00" + varint(0) + varint(-1) + varint(-chance.randint(2, 100)) + varint(0)
    return Item(
        "negative length",
        Batch(records=varint(len(body)) + body, count=1),
        (Due.of(Record(value=None), "UNDECODABLE"),),
    )


# ---- what a broker refuses, but a worker may meet all the same


def _forged(kind, made, due, number, count, **more):
    mark = [Record(value=_IRISES[0], key=b"forge-%09d." % number), *[Record(value=_IRISES[0])] * (count - 1)]
    return Item(kind, made, tuple(due), batch(mark), **more)


def _all(code, count):
    return [Due(frozenset({code}), size=ANY)] * count


def _codec_unknown(chance, number):
    records = _some(chance)
    made = batch(records).replaced(attributes=chance.choice((5, 6, 7)))
    return _forged("codec unknown", made, _all("UNREADABLE", len(records)), number, len(records))


def _not_packed(chance, number):
    count = chance.randint(1, 5)
    codec = chance.choice((1, 2, 3, 4))
    made = Batch(
        records=b"", count=count, attributes=codec, packed=b"\xff" * 9 + chance.randbytes(chance.choice((0, 40)))
    )
    return _forged("not packed", made, _all("UNREADABLE", count), number, count)


def _garbage(chance, number):
    count = chance.randint(1, 5)
    body = b"\xff" * 11 + chance.randbytes(chance.choice((0, 5, 100)))
    made = Batch(records=body, count=count, codec=chance.choice(("none", "zstd", "lz4")))
    return _forged("garbage", made, _all("UNREADABLE", count), number, count)


def _torn(chance, number):
    """The records end in the middle of one: those before it are answered."""
    records = _some(chance)
    parts = list(map(record, records, range(len(records))))
    at = chance.randrange(len(records))
    body = b"".join(parts[:at]) + parts[at][: chance.randrange(1, len(parts[at]))]
    made = Batch(records=body, count=len(records), codec=chance.choice(("none", "gzip", "zstd")))
    due = [*map(usual, records[:at]), *_all("UNREADABLE", len(records) - at)]
    return _forged("torn", made, due, number, len(records))


def _broken_inside(chance, number):
    """One record is malformed within its length; the others are not."""
    records = _some(chance, 6)
    parts = list(map(record, records, range(len(records))))
    at = chance.randrange(len(records))
    inside = chance.choice(
        (
            b"\x02k\x02v" + varint(chance.choice((-1, 1, 7, 1 << 30))),
            b"\x02k\x02v\x02" + varint(chance.choice((-1, -9, 1 << 20))),
            varint(1 << 30) + b"k",
            b"\x02k" + varint((1 << 31) - 1),
            b"\x80" * 12,
        )
    )
    body = b"\x00\x00" + varint(at) + inside
    parts[at] = varint(len(body)) + body
    due = list(map(usual, records))
    due[at] = Due(frozenset({"UNREADABLE"}), size=ANY)
    made = Batch(records=b"".join(parts), count=len(records), codec=chance.choice(("none", "zstd")))
    return _forged("broken inside", made, due, number, len(records))


def _miscounted(chance, number):
    """The header has a wrong count: each record is answered, or none can be trusted."""
    records = _some(chance, 6)
    made = batch(records).replaced(count=len(records) + chance.choice((-1, 1, 100)), last_delta=len(records) - 1)
    either = [replace(due, outcomes=due.outcomes | {"UNREADABLE"}, size=ANY) for due in map(usual, records)]
    return _forged("miscounted", made, either, number, len(records))


def _control(chance, number):
    key = chance.choice((b"\x00\x00\x00\x01", b"\x00\x00\x00\x00", b"", b"\xff", None))
    made = batch([Record(value=b"\x00\x00\x00\x00\x00\x00", key=key)]).replaced(attributes=IS_CONTROL)
    return _forged("control", made, [Due(frozenset({ABSENT, "UNREADABLE"}), size=ANY)], number, 1)


def _old(chance, number):
    magic = chance.choice((0, 1))
    made = [(Record(value=given.value, key=given.key), magic) for given in _some(chance, 3)]
    due = [replace(Due.of(given, *usual(given).outcomes, "UNREADABLE"), size=ANY) for given, _ in made]
    return _forged(f"format {magic}", made, due, number, len(made))


def _damaged(chance, number):
    """The checksum is wrong in the first fetches, then right: nothing must come of it."""
    records = [Record(value=_IRISES[0], key=b"forge-%09d." % number), *_some(chance)]
    good = batch(records)
    return Item("checksum", good, tuple(map(usual, records)), good, fetches=chance.randint(1, 3))


_KINDS = (
    (_packed, 400), (_named, 200), (_repeated, 100), (_many_headers, 30), (_odd_null, 20), (_tiny, 3), (_sized, 4),
    (_large_key, 2),
    (_inflating, 4), (_beyond, 2), (_bomb, 0.05), (_codec_unknown, 15), (_not_packed, 15), (_garbage, 15), (_torn, 25),
    (_broken_inside, 25), (_miscounted, 10), (_control, 10), (_old, 10), (_damaged, 5),
)  # fmt: skip
