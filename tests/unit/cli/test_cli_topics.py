"""How many copies `hotswap topics create` makes of each partition, by the cluster's size."""

from contextlib import asynccontextmanager

import pytest

from fakes.command_line import hotswap


@pytest.fixture
def cluster_of(monkeypatch):
    """Put a cluster with so many brokers in place; return the copies that were asked of it."""
    asked = []

    def put(brokers):
        class Admin:
            @classmethod
            @asynccontextmanager
            async def connect(cls, _):
                yield cls()

            async def brokers(self):
                return brokers

            async def create_topics(self, partitions, copies):
                asked.append((partitions, copies))
                return ["d.requests"]

        monkeypatch.setattr("hotswap.cli.worker.Admin", Admin)
        monkeypatch.setenv("HOTSWAP_CONTROL_TOPIC", "d.control")
        monkeypatch.setenv("HOTSWAP_REQUESTS_TOPIC", "d.requests")
        return asked

    return put


@pytest.mark.parametrize(
    ("brokers", "words", "copies", "warning"),
    [
        (3, [], 3, ""),
        (9, [], 3, ""),
        (9, ["--replication", "5"], 5, ""),
        (2, [], 1, "1 copy of each partition: acknowledged records can be lost with a broker"),
        (1, [], 1, "1 copy of each partition"),
        (3, ["--replication", "2"], 2, "2 copies of each partition"),
    ],
)
def test_there_are_three_copies_where_there_are_three_brokers_and_else_a_warning(
    cluster_of, brokers, words, copies, warning
):
    asked = cluster_of(brokers)
    result = hotswap("topics", "create", "d", *words)
    assert asked == [(4, copies)]
    assert (warning in result.stderr) if warning else (result.stderr == "")
