"""What is kept of the status topic is bounded, whoever floods it."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

from hotswap.client.fleet import Fleet
from hotswap.client.kept import Kept
from hotswap.swap.command import Outcome
from hotswap.v1 import control_pb2 as wire

AT = Timestamp(seconds=int(time.time()))


def outcome(command, worker, said="SERVING", message="", generation=1):
    swap = wire.SwapStatus(
        command_id=command, deployment="d", generation=generation, worker=worker, message=message, at=AT,
        outcome=f"OUTCOME_{said}",
    )  # fmt: skip
    return wire.Status(swap=swap).SerializeToString()


def report(worker, warning=""):
    status = wire.WorkerStatus(deployment="d", worker=worker, generation=1, at=AT, warnings=[warning])
    return wire.Status(worker=status).SerializeToString()


def test_the_oldest_goes_once_there_is_too_much_and_the_newest_always_stays():
    kept = Kept[str](2_000)
    assert [list(kept.keep(key, 100)) for key in "abcab"] == [[], [], [], [], []]
    assert list(kept.keep("d", 100)) == ["c"]
    assert list(kept.keep("e", 10_000)) == ["a", "b", "d"]
    assert list(kept.keep("e", 10_000)) == []
    assert list(kept.keep("f", 0)) == ["e"]


def test_a_flood_of_names_takes_bounded_memory_and_who_reports_again_is_there(monkeypatch):
    monkeypatch.setattr("hotswap.client.fleet._KEPT_BYTES", 100_000)
    fleet = Fleet("d")
    for number in range(1_000):
        fleet.receive(report(f"ghost-{number}", "x" * 200))
        fleet.receive(outcome(f"c{number}", "ghost", message="x" * 200))
        fleet.receive(outcome("c", f"ghost-{number}"))
        if number % 50 == 0:
            fleet.receive(report("w1"))
            fleet.receive(outcome("c", "w1"))
    assert len(fleet.workers) < 200
    assert sum(map(len, fleet.told.values())) < 200
    assert all(fleet.told.values())
    assert "w1" in fleet.workers
    assert fleet.told["c"]["w1"].outcome is Outcome.SERVING


def test_the_failures_of_many_workers_are_found_in_one_pass():
    fleet = Fleet("d")
    for number in range(20_000):
        fleet.receive(report(f"ghost-{number}"))
        fleet.receive(outcome(f"c{number}", f"ghost-{number}", "FAILED", generation=2))
    began = time.process_time()
    assert len(fleet.failures(AT.seconds + 1)) == 20_000
    assert time.process_time() - began < 5


def test_a_worker_is_live_by_the_time_when_its_record_was_there_not_by_what_it_says():
    fleet, now = Fleet("d"), time.time()
    ahead = wire.WorkerStatus(deployment="d", worker="w", at=Timestamp(seconds=int(now) + 10**6))
    fleet.receive(wire.Status(worker=ahead).SerializeToString(), now)
    assert fleet.live(now + 5) == {"w"}
    assert fleet.live(now + 20) == set()
