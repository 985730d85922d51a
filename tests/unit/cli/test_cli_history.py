"""The last commands: who gave them, by which key, what became of them, and where."""

import json

import pytest

from fakes.command_line import hotswap
from fakes.kafka_logs import FakeWorker
from fakes.signing import lasting, trust_file
from hotswap.commands import encode_command
from hotswap.swap.command import PauseCommand
from hotswap.trust.keys import Signer

CI, OTHER = Signer.new(), Signer.new()
SWAP = ("swap", "d", "--model", "model.zip", "--proto", "frame.proto")


@pytest.fixture
def story(cluster, settings, files, tmp_path, monkeypatch):
    """A swap that nobody signed, one that ci signed, one that lies about it, and one whose number is taken."""
    FakeWorker(cluster, settings)
    hotswap(*SWAP)
    monkeypatch.setenv("HOTSWAP_TRUST", str(trust_file(tmp_path, lasting(CI))))
    CI.write(tmp_path / "ci.pem")
    hotswap(*SWAP, "--sign-with", str(tmp_path / "ci.pem"))
    value = encode_command("d", PauseCommand(command_id="lies", is_paused=True))
    forged = CI.headers(value, topic="another", cluster="")
    cluster.append(settings.topics.control, value, headers=forged)
    hotswap(*SWAP, "--generation", "1", code=1)


def documents(*words):
    return [json.loads(line) for line in hotswap("history", "d", "--json", *words).stdout.splitlines()]


def test_the_last_commands_are_listed_newest_first_with_who_gave_them_and_where_they_took_over(story):
    stale, lies, signed, first = documents()
    assert [one["offset"] for one in (stale, lies, signed, first)] == [3, 2, 1, 0]
    assert (first["key"], first["author"]) == ("", "")
    assert (signed["key"], signed["author"]) == (CI.id, "ci")
    assert (lies["key"], lies["author"], lies["workers"]["w1"]["outcome"]) == (CI.id, "", "APPLIED")
    assert (signed["title"], signed["verdict"], signed["served_from"]) == (
        "swap to 2: model model, proto", "ACCEPTED", {"0": 0, "1": 0},
    )  # fmt: skip
    assert (stale["verdict"], stale["code"], stale["generation"], stale["served_from"]) == ("REFUSED", "STALE", 1, {})


def test_a_person_reads_one_line_a_command_and_no_more_than_asked_for(story):
    shown = hotswap("history", "d").stdout
    words = ("REFUSED STALE", "SERVING on 1", "APPLIED on 1", "not signed", "0:0 1:0")
    assert [word for word in words if word not in shown] == []
    assert f"ci {CI.id}" in shown
    assert f"{CI.id}, not verified" in shown
    assert [one["offset"] for one in documents("--limit", "2")] == [3, 2]
