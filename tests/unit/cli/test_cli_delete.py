"""Deleting a deployment: what is deleted is shown before it is asked for, and nothing is without a yes."""

import pytest
from click.testing import CliRunner

from fakes.command_line import one_line
from hotswap.cli.main import main
from hotswap.client.deletion import DeletionPlan, Stays

PLAN = DeletionPlan("", "d", ("d.requests",), (Stays("topic d.control", "it stays"),))


@pytest.fixture
def run(monkeypatch, settings):
    """Run `hotswap delete d` with an answer typed; return the result, and what was deleted."""

    def run(plan, *words, typed=""):
        deleted = []

        async def read(_):
            return plan

        async def delete(_, asked):
            deleted.append(asked)

        monkeypatch.setattr("hotswap.cli.delete.read_plan", read)
        monkeypatch.setattr("hotswap.cli.delete.delete_now", delete)
        return CliRunner().invoke(main, ["delete", "d", *words], input=typed), deleted

    return run


@pytest.mark.parametrize(
    ("words", "typed", "code", "deleted"),
    [((), "y\n", 0, [PLAN]), ((), "n\n", 1, []), ((), "", 1, []), (("--yes",), "", 0, [PLAN])],
)
def test_it_asks_unless_it_is_told_yes(run, words, typed, code, deleted):
    result, done = run(PLAN, *words, typed=typed)
    assert (result.exit_code, done) == (code, deleted)
    assert (
        "  group d, with its offsets\n  topic d.requests\nTo be kept:\n  topic d.control: it stays\n" in result.stdout
    )
    assert ("Delete this for good?" in result.stdout) is not bool(words)


def test_a_refusal_is_a_wrong_command_line_and_nothing_is_deleted(run):
    result, done = run(DeletionPlan("workers of d live (w1): stop them first", "d", (), ()), "--yes")
    assert (result.exit_code, done) == (2, [])
    assert "workers of d live (w1): stop them first" in one_line(result)


def test_that_nothing_is_there_is_said(run):
    assert "nothing: no group" in run(DeletionPlan("", "", (), ()), "--yes")[0].stdout
