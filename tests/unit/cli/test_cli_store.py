"""`hotswap store`: a store that lost its artifacts, and how they come back."""

import asyncio
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from fakes.command_line import hotswap, one_line
from fakes.kafka_logs import FakeWorker
from hotswap.artifacts.archive import write_zip
from hotswap.artifacts.store import Store
from hotswap.generation import Model
from hotswap.v1 import control_pb2 as wire


@pytest.fixture
def models(files, cluster, settings):
    """A deployment with two generations, of which the second serves: generation -> its model in the store."""
    FakeWorker(cluster, settings)
    write_zip(files / "second.zip", {"model.ini": b"2"})
    for model in ("model.zip", "second.zip"):
        hotswap("swap", "d", "--model", model, "--proto", "frame.proto")
    swaps = [wire.Command.FromString(record.value).swap for record in cluster.topics[settings.topics.control][0]]
    return {swap.generation: Model(swap.model.uri, swap.model.sha256, swap.model.kind) for swap in swaps}


def place(model):
    return Path(model.uri.removeprefix("file://"))


def cached(settings, model):
    """Fetch a model as a worker of this machine does, and return its folder in the cache."""
    store = Store(settings)
    content = asyncio.run(store.fetch(model))
    store.release(content)
    return content.parent


def states(*words, code):
    told = json.loads(hotswap(*words, "--json", code=code).stdout)
    return {one["generations"][0]: one["state"] for one in told["artifacts"]}


def test_a_store_that_has_all_is_verified_and_one_that_was_lost_is_listed_with_exit_1(models, settings, files):
    assert states("store", "verify", "d", code=0) == {2: "there", 1: "there"}
    shutil.rmtree(files / "store")
    result = hotswap("store", "verify", "d", code=1)
    first, second = result.stdout.splitlines()
    assert first.startswith(f"missing   the model of generation 2 (serves): {models[2].uri} -> is not there")
    assert second.startswith("missing   the model of generation 1: ")
    assert "2 of 2 artifacts are not in their stores: `hotswap store restore d [FILE]...`" in one_line(result)


def test_a_generation_that_was_never_staged_is_not_needed(models, cluster, settings, files):
    FakeWorker(cluster, settings, outcomes=("FAILED",), code="ARTIFACT_UNREACHABLE")
    cluster.on_append.pop(0)
    hotswap("swap", "d", "--model", f"{settings.store}/nowhere.zip", "--model-sha256", "a" * 64, code=1)
    assert states("store", "verify", "d", code=0) == {2: "there", 1: "there"}


def test_what_is_missing_comes_back_from_the_cache_or_a_given_file_and_the_rest_is_listed(models, settings, files):
    cached(settings, models[2])
    shutil.rmtree(files / "store")
    assert states("store", "restore", "d", code=1) == {2: "restored", 1: "missing"}
    result = hotswap("store", "restore", "d", files / "model.zip", files / "rows.csv", code=1)
    assert f"restored  the model of generation 1: {models[1].uri}, from {files}/model.zip" in result.stdout
    assert "rows.csv (SHA-256 " in result.stderr
    assert "is not one of the needed artifacts" in result.stderr
    for model in models.values():
        assert hashlib.sha256(place(model).read_bytes()).hexdigest() == model.sha256
    assert "all 2 artifacts that d needs are in their stores" in hotswap("store", "restore", "d").stderr


def test_a_copy_that_was_changed_is_not_put_back(models, settings, files):
    (cached(settings, models[2]) / "packed").write_bytes(b"changed")
    shutil.rmtree(files / "store")
    assert states("store", "restore", "d", code=1) == {2: "missing", 1: "missing"}
    assert not (files / "store").exists()


def test_another_file_at_its_place_is_not_overwritten(models, settings, files):
    for number, content in ((1, b"another"), (2, b"")):
        place(models[number]).write_bytes(content)
    assert states("store", "restore", "d", "model.zip", "second.zip", code=1) == {2: "occupied", 1: "occupied"}
    assert place(models[1]).read_bytes() == b"another"


def test_a_store_that_does_not_tell_is_no_lost_one(models, settings, monkeypatch):
    monkeypatch.setenv("HOTSWAP_ALLOWED_STORES", "s3://elsewhere")
    assert states("store", "verify", "d", code=3) == {2: "denied", 1: "denied"}
    assert "HOTSWAP_ALLOWED_STORES" in hotswap("store", "restore", "d", code=3).stdout
