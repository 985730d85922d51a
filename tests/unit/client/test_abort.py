"""`hotswap abort-transaction`: what it reads before it acts, what it does in which order, and that it asks."""

import contextlib

import pytest
from click.testing import CliRunner

from fakes.command_line import one_line
from hotswap.cli.main import main
from hotswap.kafka.transactions.open_transactions import Holder, Open, OpenTransactions

TOPIC = "d.predictions"
ONE = Open(TOPIC, 0, 7, 3, 17, 0, 0)
OURS = {7: Holder("d-d.requests-0", "Empty")}
WORDS = ("--topic", TOPIC, "--partition", "0", "--producer-id", "7")


@pytest.fixture
def run(monkeypatch, cluster, settings):
    """Run the command, while looks show one thing after the other; return the result, and what was done."""

    def run(*looks, words=WORDS, sure="--yes", typed=""):
        done, shown = [], iter(looks)

        async def look(*_):
            return next(shown)

        async def fence(*given):
            done.append(("fence", given[-1]))

        async def write(*given):
            done.append(("marker", given[-1]))

        @contextlib.asynccontextmanager
        async def connect(_):
            yield None

        fakes = {"look": look, "fence": fence, "write_abort_marker": write, "Brokers.connect": connect}
        for name, fake in fakes.items():
            monkeypatch.setattr(f"hotswap.client.abort.{name}", fake)
        given = [*words, *([sure] if sure else [])]
        return CliRunner().invoke(main, ["abort-transaction", "d", *given], input=typed), done

    monkeypatch.setattr("hotswap.client.abort.Admin", type("Admin", (), {"connect": lambda _: cluster_of_two()}))
    return run


@contextlib.asynccontextmanager
async def cluster_of_two():
    class Two:
        async def partitions(self, _):
            return 2

    yield Two()


UNKNOWN, KNOWN = OpenTransactions((ONE,)), OpenTransactions((ONE,), OURS)


@pytest.mark.parametrize(
    ("sure", "typed", "code", "done"),
    [("", "y\n", 0, 1), ("", "n\n", 1, 0), ("", "", 1, 0), ("--yes", "", 0, 1)],
)
def test_it_shows_what_it_will_do_and_asks_unless_it_is_told_yes(run, sure, typed, code, done):
    result, acted = run(UNKNOWN, UNKNOWN, sure=sure, typed=typed)
    assert (result.exit_code, acted) == (code, [("marker", ONE)] * done)
    assert "no coordinator knows it\nThis will:\n  write an abort marker to partition 0" in result.stdout
    assert ("Abort this transaction?" in result.stdout) is not bool(sure)


def test_an_id_of_ours_is_initialized_before_a_marker_is_written(run):
    result, done = run(KNOWN, KNOWN, KNOWN)
    assert (result.exit_code, done) == (0, [("fence", "d-d.requests-0"), ("marker", ONE)])
    assert "  initialize d-d.requests-0: a worker that uses it opens its partition again\n" in result.stdout


def test_what_is_ended_by_the_initialization_needs_no_marker(run):
    assert run(KNOWN, KNOWN, OpenTransactions())[1] == [("fence", "d-d.requests-0")]


def test_what_has_changed_since_it_was_shown_is_left_alone(run):
    result, done = run(UNKNOWN, OpenTransactions((ONE._replace(start=18),)))
    assert (result.exit_code, done) == (2, [])
    assert "has changed meanwhile" in one_line(result)


@pytest.mark.parametrize(
    ("seen", "words", "why"),
    [
        (UNKNOWN, ("--topic", "e.predictions", *WORDS[2:]), "e.predictions is not a topic of d: it has d.requests,"),
        (UNKNOWN, (*WORDS[:3], "2", *WORDS[4:]), "d.predictions has no partition 2: it has 2, from 0 on"),
        (UNKNOWN, (*WORDS[:5], "8"), "producer 8 has no transaction open in partition 0 of d.predictions (has: 7)"),
        (
            OpenTransactions(unread=frozenset({TOPIC})),
            WORDS,
            "this user may not read d.predictions: grant Read on it",
        ),
        (OpenTransactions((ONE._replace(last_ms=1 << 50),)), WORDS, "not for longer than its time-out: wait"),
        (
            OpenTransactions((ONE,), {7: Holder("publisher", "Empty")}),
            WORDS,
            "not aborted: publisher is no transactional id of",
        ),
    ],
)
def test_any_other_is_refused_with_the_reason(run, seen, words, why):
    result, done = run(seen, words=words)
    assert (result.exit_code, done) == (2, [])
    assert why in one_line(result)
