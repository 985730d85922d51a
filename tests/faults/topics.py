"""What an operator does to topics, each act beside a stream of requests: a table, and what the verifier finds."""

from contextlib import contextmanager
from dataclasses import dataclass, field

from faults import acts_on_topics as acts
from faults.acts_on_brokers import NOT_PLAYED, disk_full, leaders_moved
from faults.arena import Terms
from faults.brokers import three_brokers
from faults.operated import Operated
from hotswap.local.kafka import LocalKafka

HEAD = "| act | seen | lost | twice | deleted unread | verdict |\n|---|---|---|---|---|---|"
CALM = {"per_second": 100, "workers": 2}


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    act: str
    seen: str
    lost: int
    twice: int
    gone: int
    findings: list[str]

    @property
    def holds(self):
        return not self.findings

    def __str__(self):
        verdict = self.seen if self.seen == NOT_PLAYED else "holds" if self.holds else "BROKEN"
        return f"| {self.act} | {self.seen} | {self.lost} | {self.twice} | {self.gone} | {verdict} |"


@dataclass(frozen=True)
class Act:
    """An act, and the terms on which it is played."""

    play: object
    terms: Terms = field(default_factory=lambda: Terms(**CALM))
    called: str = ""

    @property
    def name(self):
        """Its name in the table."""
        return self.called or self.play.__name__


@contextmanager
def lone(settings):
    """Provide one broker with these settings."""
    with LocalKafka(settings=settings) as kafka:
        yield kafka


SMALL = Terms(**CALM, settings={"max_queued_bytes": 1_000})
THREEFOLD = Terms(**CALM, copies=3)
STAGES = (
    (
        lambda: lone(acts.LONE),
        (
            Act(acts.partitions_added),
            Act(acts.topic_vanishes),
            Act(acts.retention_by_age),
            Act(acts.retention_by_size, SMALL),
            Act(acts.compaction_of_requests, SMALL),
            Act(acts.compaction_of_answers),
            Act(acts.messages_bound_lowered),
            Act(acts.group_reset),
        ),
    ),
    (lambda: lone(acts.FORGETTING), (Act(acts.week_without_requests),)),
    (three_brokers, (Act(leaders_moved, THREEFOLD), Act(disk_full, THREEFOLD))),
)
COUNT = sum(len(played) for _, played in STAGES)


async def run(folder, *, seed, only=(), say=print):
    """Play the acts; return the rows of the table."""
    rows = []
    for brokers, played in STAGES:
        if only and not any(act.name in only for act in played):
            continue
        with brokers() as kafka:
            chosen = [act for act in played if not only or act.name in only]
            rows += [await play(act, kafka, folder / act.name, seed, say) for act in chosen]
    say("\n".join([HEAD, *map(str, rows)]))
    return rows


def figures(rows):
    """Summarize the table."""
    return {
        "acts": sum(row.seen != NOT_PLAYED for row in rows),
        "lost": sum(row.lost for row in rows),
        "twice": sum(row.twice for row in rows),
        "deleted before they were read": sum(row.gone for row in rows),
        **{row.act: row.seen for row in rows},
    }


async def play(act, kafka, folder, seed, say):
    """Play an act on a Kafka that is there; return its row."""
    folder.mkdir()
    say(f"{act.name}: {act.play.__doc__}")
    async with Operated(kafka, terms=act.terms, seed=seed, folder=folder, say=say) as arena:
        try:
            seen = await act.play(arena)
        except AssertionError as broken:
            seen = f"{broken}"
            arena.findings.append(seen)
        await arena.verdict()
    counts = arena.verifier.counts
    return Row(act.name, seen, counts["lost"] + counts["torn"], counts["twice"], arena.gone, arena.findings)
