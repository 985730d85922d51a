"""What some group of this machine needs is not pruned, whether or not its worker runs."""

import os
import time

import pytest

from hotswap.artifacts.cache import Cache
from hotswap.environments.needed import NeededEnvironments


def filled(cache, *names):
    for name in names:
        cache.release(cache.put(name, lambda folder: (folder / "content").write_bytes(bytes(100))))


def entries(root):
    return sorted(path.name for path in root.iterdir())


def test_what_is_needed_is_not_pruned_and_what_is_no_longer_needed_is(tmp_path):
    root = tmp_path / "environments"
    needed = NeededEnvironments.beside(root)
    cache = Cache(root, max_bytes=250, needed=needed.names)
    needed.keep("group", ["a"])
    filled(cache, "a", "b", "c", "d")
    assert entries(root) == ["a", "d"]
    needed.keep("group", ["d"])
    filled(cache, "e")
    assert entries(root) == ["d", "e"]


def test_each_owner_keeps_its_own(tmp_path):
    needed = NeededEnvironments(tmp_path / "needed")
    owners = ["a", "a/b", "../c", ".", "..", "", "A b", "ü" * 200, "x" * 300, "x" * 301, ".hidden"]
    for place, owner in enumerate(owners):
        needed.keep(owner, [f"{place}", "shared"])
    assert needed.names() == {*map(str, range(len(owners))), "shared"}
    needed.keep("a", [])
    assert needed.names() == {*map(str, range(1, len(owners))), "shared"}
    assert [path.name for path in tmp_path.iterdir()] == ["needed"]


def test_an_owner_that_has_not_been_back_for_30_days_keeps_nothing(tmp_path):
    needed = NeededEnvironments(tmp_path)
    needed.keep("gone", ["a"])
    needed.keep("here", ["b"])
    for name, days in (("gone", 31), ("here", 29)):
        then = time.time() - days * 86_400
        os.utime(tmp_path / name, (then, then))
    assert needed.names() == {"b"}


def test_what_a_killed_worker_has_half_written_counts_for_nothing(tmp_path):
    (tmp_path / ".writing-x").write_text("a\n")
    assert NeededEnvironments(tmp_path).names() == frozenset()


def test_a_list_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    needed = NeededEnvironments(tmp_path)
    needed.keep("group", ["a"])

    def fail(_):
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        needed.keep("group", ["b"])
    assert needed.names() == {"a"}
    assert [path.name for path in tmp_path.iterdir()] == ["group"]


def test_nothing_is_needed_where_nobody_has_written(tmp_path):
    assert NeededEnvironments(tmp_path / "none").names() == frozenset()
