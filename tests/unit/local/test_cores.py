"""The cores of a container are those of its quota, not those of the machine."""

import os

import pytest

from hotswap.local.cores import cores_at_hand


@pytest.mark.parametrize(("quota", "cores"), [("400000 100000", 4), ("150000 100000", 1), ("20000 100000", 1)])
def test_a_quota_bounds_the_cores_and_leaves_at_least_one(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores_at_hand(tmp_path / "cpu.max") == cores


@pytest.mark.parametrize("content", ["max 100000\n", "nonsense", None])
def test_without_a_quota_all_cores_of_the_affinity_count(tmp_path, monkeypatch, content):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    if content:
        (tmp_path / "cpu.max").write_text(content)
    assert cores_at_hand(tmp_path / "cpu.max") == 3
