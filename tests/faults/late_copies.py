"""A network that delivers requests once more, after the end of their transaction: `python -m faults late-copies`.

The proxy lets every request pass, and remembers those of the last transaction of each transactional id: Produce,
TxnOffsetCommit and EndTxn. Once that has ended, one of them is sent again, over another connection, at one of three
moments. At each, the proxy holds the worker back until the copy is answered, so that nothing is left to chance:

ENDED    shortly after the end; what the worker sends for that id meanwhile waits
WRITTEN  when answers of the next transaction are written: Kafka's acknowledgement waits, so that it cannot end yet
SENT     when the offset of the next transaction is sent, likewise

With version 2 (KIP-890) each end raises the producer's epoch, and Kafka refuses copies. It may accept one that changes
nothing: a Produce whose batches it knows (the answer has their offsets), and after the end, before the next transaction
of that id has begun, an EndTxn as a retry, and an offset into the transaction whose markers it is still writing. Any
other copy that Kafka accepts has touched a later transaction. Version 1 has no such guard: there it is reported.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

from faults import transactional_frames as frames
from faults.acts_on_brokers import goes_on
from faults.transactional_frames import END_TXN, INIT_PRODUCER_ID, NAMES, PRODUCE

ENDED, WRITTEN, SENT = "after its end", "the next one's answers are written", "the next one's offset is sent"
MOMENTS = (ENDED, WRITTEN, SENT)
HEAD = "| copy of | when | transactions | answer | count | touches a later one |\n|---|---|---|---|---:|---|"
_WORDS = {True: "yes", False: "no"}
_SHARE = 0.25
"""Of the transactions, those of which something is sent again: in between, a fleet of version 1 gets on."""
_LATEST_S = 0.02
"""How long after the end a copy is sent at most: the markers are written meanwhile, or just before."""
_ANSWERED_S = 30
_KILL_EVERY_S = 10


def touches(copied, when, before, after):
    """Whether a copy that is answered thus touches a later transaction; `before` is the answer to the original."""
    if after.code:
        return False
    return after.written != before.written if copied.api_key == PRODUCE else when != ENDED


@dataclass
class _Course:
    """The transactions of one transactional id; each exchange is a request and its answer."""

    open: list = field(default_factory=list)
    ended: list = field(default_factory=list)
    due: tuple | None = None
    """What is to be sent again, and when: (kind, moment)."""
    is_free: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        self.is_free.set()


class Copier:
    """Sees the requests and answers of a proxy, and sends at least `count` copies of each kind to its broker, late."""

    def __init__(self, *, port, count, random):
        self._port = port
        self._random = random
        self._left = Counter({(kind, when): -(-count // len(MOMENTS)) for kind in NAMES for when in MOMENTS})
        self._courses = {}
        self._tasks = set()
        self.table = Counter()
        """(kind, moment, version of transactions, code, whether it touches a later one) -> number of copies."""
        self.transactions = Counter()
        """Version -> number of transactions that workers have ended."""

    @property
    def sent(self):
        """Kind -> number of copies that Kafka has answered."""
        sent = Counter()
        for (kind, *_), count in self.table.items():
            sent[kind] += count
        return sent

    @property
    def is_done(self):
        return not +self._left and not self._tasks

    def findings(self):
        """Return what version 2 must not let happen."""
        return [
            f"a late copy of {NAMES[kind]} touched a later transaction of version 2, {when}: {count} times"
            for (kind, when, version, _, is_touching), count in sorted(self.table.items())
            if is_touching and version == 2
        ]

    # ---- what the proxy calls

    async def requested(self, request):
        """Return once a request may pass."""
        course = self._course(request)
        await course.is_free.wait()
        if request.api_key == INIT_PRODUCER_ID:
            course.open.clear()  # it aborts what a dead worker has left open

    async def answered(self, request, frame):
        """Note an answer; return once it may pass."""
        if request.api_key not in NAMES or (answer := frames.answer(frame, request)).code:
            return
        course = self._course(request)
        if request.api_key == END_TXN:
            self.transactions[request.transaction_version] += 1
            self._ended(course, (request, answer))
            return
        course.open.append((request, answer))
        moment = WRITTEN if request.api_key == PRODUCE else SENT
        if course.due and course.due[1] == moment:
            (kind, _), course.due = course.due, None
            await self._deliver(course, kind, moment)

    def _course(self, request):
        return self._courses.setdefault(request.transactional_id, _Course())

    def _ended(self, course, exchange):
        course.ended, course.open = [*course.open, exchange], []
        course.due = None
        wanted = [(kind, when) for kind, when in +self._left if any(kind == one.api_key for one, _ in course.ended)]
        if not wanted or self._random.random() >= _SHARE:
            return
        kind, when = max(wanted, key=lambda cell: (self._left[cell], self._random.random()))
        if when != ENDED:
            course.due = kind, when
            return
        course.is_free.clear()
        task = asyncio.create_task(self._after_a_moment(course, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _after_a_moment(self, course, kind):
        try:
            await asyncio.sleep(self._random.uniform(0, _LATEST_S))
            await self._deliver(course, kind, ENDED)
        finally:
            course.is_free.set()

    async def _deliver(self, course, kind, when):
        request, before = self._random.choice([one for one in course.ended if one[0].api_key == kind])
        try:
            async with asyncio.timeout(_ANSWERED_S):
                after = await self._asked(request)
        except (OSError, EOFError, TimeoutError):
            return
        self._left[kind, when] -= 1
        is_touching = touches(request, when, before, after)
        self.table[kind, when, request.transaction_version, after.code, is_touching] += 1

    async def _asked(self, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request.frame)
            size = await reader.readexactly(4)
            return frames.answer(size + await reader.readexactly(int.from_bytes(size, "big")), request)
        finally:
            writer.transport.abort()


def rows(table):
    """Return the lines of the table."""
    return [
        f"| {NAMES[kind]} | {when} | version {version} | {code_name(code)} | {count} | {_WORDS[is_touching]} |"
        for (kind, when, version, code, is_touching), count in sorted(
            table.items(), key=lambda row: (row[0][0], MOMENTS.index(row[0][1]), *row[0][2:])
        )
    ]


def code_name(code):
    """Return Kafka's name of an error code."""
    return "accepted" if not code else KafkaError(code).name()


async def late_copies(arena, count):
    """Send late copies, `count` of each kind; workers are killed meanwhile, since successors go by what Kafka holds."""
    copier = arena.proxy.tap = Copier(port=arena.proxy.target[1], count=int(count), random=arena.random)
    killing = asyncio.create_task(_kill_for_ever(arena))
    give_up = time.monotonic() + 60 + 2 * count
    try:
        while not copier.is_done:
            assert time.monotonic() < give_up, f"only {copier.sent.total()} copies were sent"
            assert not killing.done(), f"workers are no longer killed: {killing.exception()}"
            await asyncio.sleep(1)
    finally:
        killing.cancel()
        arena.proxy.tap = None
        _tell(arena, copier)
    await goes_on(arena, 60)


async def _kill_for_ever(arena):
    while True:
        await asyncio.sleep(_KILL_EVERY_S)
        victim = arena.random.choice(arena.workers)
        arena.deployment.kill(victim)
        arena.join(in_place_of=victim)


def _tell(arena, copier):
    """Print the table, and leave its figures and findings."""
    arena.say("\n".join(["late copies", HEAD, *rows(copier.table)]))
    arena.figures |= {f"transactions of version {version}": n for version, n in sorted(copier.transactions.items())}
    arena.figures |= {f"copies of {NAMES[kind]}": copier.sent[kind] for kind in NAMES}
    touched = Counter()
    for (kind, _, version, _, is_touching), number in copier.table.items():
        touched[version, kind] += number * is_touching
    for version in sorted(copier.transactions):
        told = ", ".join(f"{touched[version, kind]} of {NAMES[kind]}" for kind in NAMES)
        arena.figures[f"copies that touched a later transaction of version {version}"] = told
    arena.findings += copier.findings()
    if any(version == 1 and number for (version, _), number in touched.items()):
        arena.unguarded = "version 1 accepts late copies"
