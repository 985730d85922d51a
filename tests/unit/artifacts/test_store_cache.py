"""What the cache keeps, and what happens if something changes it."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from shutil import rmtree

import fsspec
import pytest

from fakes.artifacts import MOJO, left, make_zip, open_descriptors, refusal, sha256
from hotswap.artifacts.cache import Cache
from hotswap.artifacts.store import Store, fetch_now
from hotswap.errors import SwapError
from hotswap.generation import Proto


async def test_the_oldest_are_pruned_when_the_cache_is_full_and_the_last_fetched_never_is(settings, publish):
    tight = settings.model_copy(update={"cache_max_bytes": 2500})
    store = Store(tight)
    models = [publish(os.urandom(1000), kind="java", name=f"{n}.jar") for n in range(5)]
    for model in models:
        path = await store.fetch(model)
        assert path.exists()
        store.release(path)
    assert left(settings) == sorted(f"{model.sha256}.file" for model in models[-2:])
    large = await store.fetch(publish(os.urandom(9000), kind="java"))
    assert large.exists()


async def test_what_a_worker_uses_is_never_pruned_by_another(settings, publish):
    tight = settings.model_copy(update={"cache_max_bytes": 1})
    mine, theirs = Store(tight), Store(tight)
    model = publish(make_zip())
    used = await mine.fetch(model)
    assert await mine.fetch(model) == used
    mine.release(used)
    await theirs.fetch(publish(os.urandom(100), kind="java"))
    assert (used / "model.ini").exists()
    mine.release(used)
    await theirs.fetch(publish(os.urandom(100), kind="java"))
    assert not used.exists()


DIE_IN_THE_MIDDLE = """
import os, sys, pathlib
from hotswap.artifacts.cache import Cache

def fill(folder):
    (folder / "packed").write_bytes(b"half")
    os.kill(os.getpid(), 9)

Cache(pathlib.Path(sys.argv[1]), max_bytes=1 << 20).put("a", fill)
"""


def test_what_a_killed_worker_left_half_done_is_removed_by_the_next_one(tmp_path):
    killed = subprocess.run([sys.executable, "-c", DIE_IN_THE_MIDDLE, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -9
    assert [entry.name.startswith(".staging-") for entry in tmp_path.iterdir()] == [True]
    Cache(tmp_path, max_bytes=1 << 20).put("b", lambda folder: (folder / "content").write_bytes(b"whole"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


async def test_what_was_used_last_is_kept_longer_than_what_was_fetched_last(settings, publish):
    store = Store(settings.model_copy(update={"cache_max_bytes": 2500}))
    first, second, third = [publish(os.urandom(1000), kind="java", name=f"{n}.jar") for n in range(3)]
    for model in (first, second, first, third):
        store.release(await store.fetch(model))
    assert left(settings) == sorted(f"{model.sha256}.file" for model in (first, third))


def replaced_by_a_link(path, content):
    path.unlink()
    (path.parents[4] / "elsewhere").write_bytes(content)
    path.symlink_to(path.parents[4] / "elsewhere")


def replaced_by_a_pipe(path, _):
    path.unlink()
    os.mkfifo(path)


def folder_replaced_by_a_link(path, _):
    away = path.parents[4] / "away"
    path.parent.rename(away)
    path.parent.symlink_to(away)


TAMPERED = {
    "one byte is another": lambda path, content: path.write_bytes(bytes([content[0] ^ 1]) + content[1:]),
    "it is longer": lambda path, content: path.write_bytes(content + b"x"),
    "it is shorter": lambda path, content: path.write_bytes(content[:-1]),
    "it is gone": lambda path, _: path.unlink(),
    "it cannot be read": lambda path, _: (path.unlink(), path.mkdir()),
    "a file more": lambda path, _: (path.parent / "more").write_bytes(b""),
    "a folder more": lambda path, _: (path.parent / "more").mkdir(),
    "a link": replaced_by_a_link,
    "a pipe": replaced_by_a_pipe,
    "the folder is a link": folder_replaced_by_a_link,
    "all is gone": lambda path, _: rmtree(path.parents[1]),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
async def test_a_model_that_was_changed_in_the_cache_is_fetched_again_to_the_same_place(
    settings, publish, tamper, caplog
):
    store, model = Store(settings), publish(make_zip())
    folder = await store.fetch(model)
    tamper(folder / "trees" / "t00_000.bin", MOJO["trees/t00_000.bin"])

    await store.verify(model)

    assert {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()} == MOJO
    assert [record.message for record in caplog.records] == ["cache.tampered"]
    store.release(folder)


@pytest.mark.parametrize("name", ["content", "packed"])
async def test_a_packed_file_that_was_changed_with_what_it_was_unpacked_to_is_fetched_again(settings, publish, name):
    store, model, other = Store(settings), publish(make_zip()), publish(make_zip({**MOJO, "model.ini": b"[info]\n"}))
    ours, theirs = await store.fetch(model), await store.fetch(other)
    for each in ("content", "packed") if name == "packed" else ("content",):
        (ours.parent / each).rename(ours.parents[2] / each)
        (theirs.parent / each).rename(ours.parent / each)
    assert (ours / "model.ini").read_bytes() == b"[info]\n"

    await store.verify(model)

    assert (ours / "model.ini").read_bytes() == MOJO["model.ini"]


async def test_a_jar_that_was_changed_in_the_cache_is_fetched_again(settings, publish):
    store, model = Store(settings), publish(b"a jar", kind="java")
    path = await store.fetch(model)
    path.write_bytes(b"a jaw")

    await store.verify(model)

    assert path.read_bytes() == b"a jar"


async def test_a_proto_that_was_changed_in_the_cache_is_fetched_again(settings, tmp_path):
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "a.proto").write_bytes(b"true")
    proto = Proto(sha256(b"true"), uri=(tmp_path / "remote" / "a.proto").as_uri())
    assert await Store(settings).fetch_proto(proto) == b"true"
    (settings.cache / "artifacts" / f"{proto.sha256}.file" / "content").write_bytes(b"liar")

    assert await Store(settings).fetch_proto(proto) == b"true"


async def test_an_intact_entry_stays_and_is_not_fetched_again(settings, publish, caplog):
    store = Store(settings)
    for kind in ("h2o", "java"):
        model = publish(make_zip(), kind=kind)
        path = await store.fetch(model)
        was = path.stat().st_ino
        fsspec.filesystem("file").rm(model.uri)
        await store.verify(model)
        assert path.stat().st_ino == was
    assert caplog.records == []


async def test_holders_of_a_discarded_entry_hold_its_replacement(settings, publish):
    tight = settings.model_copy(update={"cache_max_bytes": 1})
    store, model = Store(tight), publish(make_zip())
    folder = await store.fetch(model)
    (folder / "model.ini").write_bytes(b"")
    await store.verify(model)

    await Store(tight).fetch(publish(os.urandom(100), kind="java"))
    assert (folder / "model.ini").read_bytes() == MOJO["model.ini"]
    store.release(folder)
    await Store(tight).fetch(publish(os.urandom(100), kind="java"))
    assert not folder.exists()


async def test_an_abandoned_verification_discards_nothing(settings, publish):
    store, model = Store(settings), publish(make_zip())
    folder = await store.fetch(model)
    stop = threading.Event()
    stop.set()
    with pytest.raises(SwapError, match="not verified in time"):
        fetch_now(store._cache, replace(store._artifact(model), is_suspect=True), stop)
    assert folder.exists()


async def test_no_descriptor_stays_open_after_refusals(settings, publish):
    store = Store(settings)
    bad = publish(b"this is no model")
    before = open_descriptors()
    for _ in range(20):
        await refusal(store, bad)
    assert open_descriptors() == before


async def test_no_descriptor_stays_open_after_a_hundred_fetches(settings, publish):
    store = Store(settings)
    models = [publish(make_zip({"model.ini": bytes([n])})) for n in range(2)]
    before = open_descriptors()
    for turn in range(100):
        store.release(await store.fetch(models[turn % 2]))
    assert open_descriptors() == before
