import asyncio
import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import fsspec
import pytest

from hotswap.artifacts import archive, store
from hotswap.artifacts.cache import Cache
from hotswap.artifacts.store import Store, fetch_now
from hotswap.errors import SwapError
from hotswap.generation import Model, Proto
from hotswap.settings import Settings

MOJO = {
    "model.ini": b"[info]\nalgo = gbm\n",
    "domains/d00.txt": b"red\nblue\n",
    "trees/t00_000.bin": bytes(range(256)) * 40,
}


def make_zip(files=MOJO, *, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return buffer.getvalue()


def special_zip(name, mode):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("model.ini", b"x")
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = mode << 16
        target.writestr(entry, b"/etc/passwd")
    return buffer.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def settings(tmp_path):
    return Settings(
        cache=tmp_path / "cache",
        store=(tmp_path / "remote").as_uri(),
        max_artifact_bytes=1 << 20,
        cache_max_bytes=8 << 20,
    )


@pytest.fixture
def publish(tmp_path):
    def put(content, *, kind="h2o", name="model.zip"):
        path = tmp_path / "published" / sha256(content) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Model(path.as_uri(), sha256(content), kind)

    return put


async def refusal(store, model):
    with pytest.raises(SwapError) as caught:
        await store.fetch(model)
    return caught.value


def left(settings):
    root = settings.cache / "artifacts"
    return sorted(entry.name for entry in root.iterdir()) if root.exists() else []


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


async def test_a_mojo_is_unpacked_into_a_folder_with_the_same_bytes(settings, publish):
    model = publish(make_zip())
    folder = await Store(settings).fetch(model)
    assert {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()} == MOJO
    assert left(settings) == [f"{model.sha256}.unpacked"]


async def test_an_artifact_of_another_kind_is_returned_as_the_file_that_it_is(settings, publish):
    content = make_zip()
    as_jar, as_mojo = publish(content, kind="java"), publish(content)
    store = Store(settings)
    file, folder = await store.fetch(as_jar), await store.fetch(as_mojo)
    assert file.read_bytes() == content
    assert folder.is_dir()


async def test_what_is_present_is_not_fetched_again(settings, publish):
    model = publish(make_zip())
    first = await Store(settings).fetch(model)
    fsspec.filesystem("file").rm(model.uri)
    assert await Store(settings).fetch(model) == first


async def test_a_wrong_digest_is_refused_with_both_digests_and_leaves_nothing(settings, publish):
    model = publish(make_zip())
    wrong = "0" * 64
    error = await refusal(Store(settings), Model(model.uri, wrong))
    assert error.code == "DIGEST_MISMATCH"
    assert wrong in error.message
    assert model.sha256 in error.message
    assert left(settings) == []


@pytest.mark.parametrize("digest", ["", "abc", "../../../../tmp/x", "g" * 64])
async def test_a_digest_that_is_none_never_becomes_a_path(settings, publish, digest):
    error = await refusal(Store(settings), Model(publish(make_zip()).uri, digest))
    assert error.code == "ARTIFACT_INVALID"
    assert not settings.cache.exists()


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "C:\\evil.txt", "a\\..\\evil.txt", "ok.txt\0/../../evil"],
)
async def test_a_name_that_leaves_the_folder_is_refused_before_anything_is_written(settings, publish, tmp_path, name):
    placeholder = "X" * len(name)
    content = make_zip({"model.ini": b"x", placeholder: b"evil"}).replace(placeholder.encode(), name.encode())
    error = await refusal(Store(settings), publish(content))
    assert error.code == "ARTIFACT_INVALID"
    assert "leaves its folder" in error.message
    assert left(settings) == []
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644])
async def test_a_link_or_a_device_in_a_zip_is_refused(settings, publish, mode):
    error = await refusal(Store(settings), publish(special_zip("trees", mode)))
    assert error.code == "ARTIFACT_INVALID"
    assert "link or a device" in error.message
    assert left(settings) == []


async def test_a_bomb_is_stopped_by_the_bytes_that_it_really_has(settings, publish):
    bomb = make_zip({f"{n}.bin": bytes(600_000) for n in range(2)})
    assert len(bomb) < 10_000
    error = await refusal(Store(settings), publish(bomb))
    assert error.code == "ARTIFACT_INVALID"
    assert "larger, unpacked" in error.message
    assert left(settings) == []


@pytest.mark.parametrize("claimed", [100, 2_000_000])
async def test_a_size_in_a_header_that_lies_is_refused(settings, publish, claimed):
    content = make_zip({"model.ini": bytes(700_000)})
    lie = content.replace((700_000).to_bytes(4, "little"), claimed.to_bytes(4, "little"))
    assert lie != content
    error = await refusal(Store(settings), publish(lie))
    assert error.code == "ARTIFACT_INVALID"
    assert left(settings) == []


async def test_a_method_whose_reads_cannot_be_bounded_is_refused(settings, publish):
    error = await refusal(Store(settings), publish(make_zip(method=zipfile.ZIP_LZMA)))
    assert "another method than deflate" in error.message


async def test_an_encrypted_entry_is_refused(settings, publish):
    content = bytearray(make_zip({"model.ini": b"x"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in (await refusal(Store(settings), publish(bytes(content)))).message


async def test_two_entries_of_one_name_are_refused(settings, publish):
    content = make_zip({"a.txt": b"1", "b.txt": b"2"}).replace(b"b.txt", b"a.txt")
    assert "same name" in (await refusal(Store(settings), publish(content))).message


async def test_too_many_files_are_refused_although_they_hold_no_bytes(settings, publish, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    content = make_zip({f"{n}": b"" for n in range(11)})
    assert "more than 10 files and folders" in (await refusal(Store(settings), publish(content))).message


@pytest.mark.parametrize(
    "names",
    [
        [f"folder{n}/" for n in range(11)],
        ["a/b/c/d/e/f/g/h/i/j/k/empty"],
        [f"folder{n}/empty" for n in range(6)],
        [f"{n}" for n in range(6)] + [f"folder{n}/" for n in range(6)],
    ],
)
async def test_folders_count_as_files_do_and_those_too_that_only_a_name_implies(settings, publish, monkeypatch, names):
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    content = make_zip(dict.fromkeys(names, b""))
    assert "more than 10 files and folders" in (await refusal(Store(settings), publish(content))).message
    assert left(settings) == []


async def test_names_without_end_are_refused_before_they_are_all_read(settings, publish, monkeypatch):
    monkeypatch.setattr(archive, "_MAX_READ", 1_000)
    content = make_zip({f"{n:030}": b"" for n in range(20)})
    assert "very long names" in (await refusal(Store(settings), publish(content))).message
    monkeypatch.setattr(archive, "_MAX_READ", 1 << 20)
    assert "has 5,000 characters" in (await refusal(Store(settings), publish(make_zip({"a/" * 2_500: b""})))).message


@pytest.mark.parametrize(
    ("files", "checks"),
    [
        ({f"folder{n}/": b"" for n in range(50)}, 20),
        ({f"{n}": b"" for n in range(50)}, 70),
        ({"one": bytes(9 << 20)}, 8),
    ],
)
def test_unpacking_is_given_up_in_the_middle_of_folders_of_empty_files_and_of_one_large_file(tmp_path, files, checks):
    asked = iter(range(checks))
    with pytest.raises(SwapError, match="given up"):
        archive.unpack(
            io.BytesIO(make_zip(files, method=zipfile.ZIP_STORED)),
            tmp_path / "new",
            name="it",
            max_bytes=1 << 30,
            is_stopped=lambda: next(asked, None) is None,
        )
    assert next(asked, None) is None


async def test_the_jars_in_a_zip_count_by_what_they_unpack_to(settings, publish, monkeypatch):
    jars = {f"{n}.jar": bytes(600_000) for n in range(2)}
    bomb = publish(make_zip(jars), kind="java")
    error = await refusal(Store(settings), bomb)
    assert error.code == "ARTIFACT_INVALID"
    assert "larger, unpacked" in error.message
    assert left(settings) == []
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    error = await refusal(Store(settings), publish(make_zip({f"{n}.jar": b"" for n in range(11)}), kind="java"))
    assert "more than 10 files" in error.message
    await Store(settings).fetch(publish(make_zip({"a.jar": bytes(600_000), "b": bytes(600_000)}), kind="java"))


def test_two_jars_of_one_name_count_twice_as_what_the_name_stands_for():
    content = make_zip({"a.jar": b"", "b.jar": bytes(600_000)}).replace(b"a.jar", b"b.jar")
    with pytest.raises(SwapError, match="larger, unpacked"):
        archive.check_jars(io.BytesIO(content), name="it", max_bytes=1 << 20)


async def test_a_mojo_that_names_a_file_outside_is_refused_before_it_is_in_the_cache(settings, publish):
    ini = b"[info]\nn_columns = 1\n[columns]\na\n[domains]\n0: 1 ../../../../proc/1/environ\n"
    error = await refusal(Store(settings), publish(make_zip({**MOJO, "model.ini": ini})))
    assert error.code == "ARTIFACT_INVALID"
    assert "model.zip names the file 'domains/../../../../proc/1/environ' in 'model.ini'" in error.message
    assert left(settings) == []


async def test_a_truncated_mojo_and_a_text_are_refused_with_their_names(settings, publish):
    for content in (make_zip()[:-30], b"this is no model", b""):
        error = await refusal(Store(settings), publish(content, name="garbage.zip"))
        assert error.code == "ARTIFACT_INVALID"
        assert "garbage.zip is not a zip" in error.message
    assert left(settings) == []


async def test_damaged_bytes_are_never_anything_but_a_refusal_or_the_right_files(settings, publish):
    codes = set()
    whole = bytearray(make_zip({"model.ini": b"abc" * 50, "é.txt": b"x"}))
    store = Store(settings)
    for position in range(len(whole)):
        damaged = bytes(whole[:position]) + bytes([whole[position] ^ 0xFF]) + bytes(whole[position + 1 :])
        try:
            await store.fetch(publish(damaged))
        except SwapError as error:
            codes.add(error.code)
    assert codes == {"ARTIFACT_INVALID"}


async def test_an_artifact_larger_than_allowed_is_refused(settings, publish):
    error = await refusal(Store(settings), publish(os.urandom((1 << 20) + 1), kind="java"))
    assert error.code == "ARTIFACT_INVALID"
    assert "1,048,576 bytes" in error.message
    assert left(settings) == []


async def test_a_missing_file_is_unreachable_and_says_which(settings, tmp_path):
    error = await refusal(Store(settings), Model((tmp_path / "gone.zip").as_uri(), "0" * 64))
    assert error.code == "ARTIFACT_UNREACHABLE"
    assert "gone.zip" in error.message
    assert left(settings) == []


async def test_an_unknown_protocol_is_unreachable_and_a_missing_package_is_named(settings):
    unknown = await refusal(Store(settings), Model("gopher://host/model.zip", "0" * 64))
    assert (unknown.code, "gopher" in unknown.message) == ("ARTIFACT_UNREACHABLE", True)
    missing = await refusal(Store(settings), Model("s3://bucket/model.zip", "0" * 64))
    assert (missing.code, "s3fs" in missing.message) == ("ARTIFACT_UNREACHABLE", True)


async def test_a_password_in_an_address_is_never_shown(settings):
    error = await refusal(Store(settings), Model("gopher://me:hunter2@host/m.zip?sig=hunter2", "0" * 64))
    assert "gopher://host/m.zip" in error.message
    assert "hunter2" not in error.message


async def test_a_cache_that_cannot_be_written_says_where_and_what_to_do(settings, publish):
    settings.cache.write_text("a file where the folder should be")
    error = await refusal(Store(settings), publish(make_zip()))
    assert error.code == "CACHE_FAILED"
    assert "HOTSWAP_CACHE" in error.message


class _Gate(io.BytesIO):
    """A source that breaks off in the middle, or waits there until the test lets it go on."""

    def __init__(self, content, *, then):
        super().__init__(content)
        self._then = then

    def read(self, size=-1):
        if self.tell():
            self._then()
        return super().read(min(size, 1000) if size > 0 else 1000)


async def test_a_download_that_breaks_off_leaves_nothing(settings, publish, monkeypatch):
    model = publish(content := os.urandom(5000), kind="java")

    def broken():
        raise ConnectionResetError("the other side went away")

    monkeypatch.setattr(
        fsspec.implementations.local.LocalFileSystem, "open", lambda *_, **__: _Gate(content, then=broken)
    )
    error = await refusal(Store(settings), model)
    assert error.code == "ARTIFACT_UNREACHABLE"
    assert "went away" in error.message
    assert left(settings) == []


async def test_a_cancelled_fetch_stops_at_its_next_chunk_and_cleans_up(settings, publish, monkeypatch):
    model = publish(content := os.urandom(5000), kind="java")
    in_the_middle, go_on, cleaned = threading.Event(), threading.Event(), threading.Event()

    def wait():
        in_the_middle.set()
        assert go_on.wait(30)

    def removed(path, **kwargs):
        rmtree(path, **kwargs)
        cleaned.set()

    rmtree = store.shutil.rmtree
    monkeypatch.setattr("hotswap.artifacts.cache.shutil.rmtree", removed)
    monkeypatch.setattr(
        fsspec.implementations.local.LocalFileSystem, "open", lambda *_, **__: _Gate(content, then=wait)
    )
    task = asyncio.create_task(Store(settings).fetch(model))
    assert await asyncio.to_thread(in_the_middle.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(cleaned.wait, 30)
    assert left(settings) == []


async def test_two_stores_that_fetch_the_same_at_once_both_get_it_and_one_entry_stays(settings, publish, monkeypatch):
    content = make_zip()
    model = publish(content)
    both_are_reading = threading.Barrier(2, timeout=30)
    opened = fsspec.implementations.local.LocalFileSystem.open

    def open_together(self, path, mode="rb", **kwargs):
        both_are_reading.wait()
        return opened(self, path, mode, **kwargs)

    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "open", open_together)
    one, other = await asyncio.gather(Store(settings).fetch(model), Store(settings).fetch(model))
    assert one == other
    assert (one / "model.ini").read_bytes() == MOJO["model.ini"]
    assert left(settings) == [f"{model.sha256}.unpacked"]


async def test_the_oldest_go_when_the_cache_is_full_and_what_was_just_fetched_never_does(settings, publish):
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


async def test_what_a_worker_uses_is_never_pruned_by_another_one(settings, publish):
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
    (tmp_path / "a.proto").write_bytes(b"true")
    proto = Proto(sha256(b"true"), uri=(tmp_path / "a.proto").as_uri())
    assert await Store(settings).fetch_proto(proto) == b"true"
    (settings.cache / "artifacts" / f"{proto.sha256}.file" / "content").write_bytes(b"liar")

    assert await Store(settings).fetch_proto(proto) == b"true"


async def test_what_is_whole_stays_and_is_not_fetched_again(settings, publish, caplog):
    store = Store(settings)
    for kind in ("h2o", "java"):
        model = publish(make_zip(), kind=kind)
        path = await store.fetch(model)
        was = path.stat().st_ino
        fsspec.filesystem("file").rm(model.uri)
        await store.verify(model)
        assert path.stat().st_ino == was
    assert caplog.records == []


async def test_who_holds_what_was_thrown_away_holds_what_came_in_its_place(settings, publish):
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


async def test_a_verification_that_is_given_up_throws_nothing_away(settings, publish):
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


async def test_what_is_uploaded_is_fetched_by_its_digest_and_uploaded_once(settings, tmp_path):
    path = tmp_path / "my model (1).zip"
    path.write_bytes(content := make_zip())
    store = Store(settings)
    uri, digest = await store.upload(path)
    assert digest == sha256(content)
    assert uri == f"{settings.store}/{digest}/my_model__1_.zip"
    (stored,) = [file for file in (tmp_path / "remote").rglob("*") if file.is_file()]
    written = stored.stat().st_ino
    assert await store.upload(path) == (uri, digest)
    assert stored.stat().st_ino == written
    assert [f.name for f in (tmp_path / "remote").rglob("*") if f.is_file()] == ["my_model__1_.zip"]
    assert (await store.fetch(Model(uri, digest)) / "model.ini").exists()


async def test_a_store_whose_folder_has_a_blank_in_its_name_works(settings, tmp_path):
    store = Store(settings.model_copy(update={"store": (tmp_path / "a store").as_uri()}))
    (tmp_path / "m.zip").write_bytes(make_zip())
    uri, digest = await store.upload(tmp_path / "m.zip")
    assert (tmp_path / "a store" / digest / "m.zip").exists()
    assert (await store.fetch(Model(uri, digest))).is_dir()


async def test_a_store_given_as_a_relative_folder_is_published_as_a_full_address(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.zip").write_bytes(make_zip())
    uri, digest = await Store(settings.model_copy(update={"store": "here"})).upload(Path("m.zip"))
    assert uri == f"{(tmp_path / 'here').as_uri()}/{digest}/m.zip"


async def test_another_file_system_serves_as_a_store(settings, tmp_path):
    (tmp_path / "m.zip").write_bytes(content := make_zip())
    store = Store(settings.model_copy(update={"store": "memory://models"}))
    uri, digest = await store.upload(tmp_path / "m.zip")
    assert digest == sha256(content)
    assert (await store.fetch(Model(uri, digest)) / "model.ini").exists()


async def test_an_upload_that_breaks_off_leaves_nothing_in_the_store(settings, tmp_path, monkeypatch):
    def broken(source, sink, _):
        sink.write(source.read(10))
        assert not list((tmp_path / "remote").rglob("m.zip")), "half of it could be fetched"
        raise ConnectionResetError("the store went away")

    (tmp_path / "m.zip").write_bytes(make_zip())
    monkeypatch.setattr(store.shutil, "copyfileobj", broken)
    with pytest.raises(SwapError, match="went away"):
        await Store(settings).upload(tmp_path / "m.zip")
    assert [file for file in (tmp_path / "remote").rglob("*") if file.is_file()] == []


async def test_an_upload_of_a_file_that_is_not_there_says_which(settings, tmp_path):
    with pytest.raises(SwapError, match=r"nothing\.zip cannot be read"):
        await Store(settings).upload(tmp_path / "nothing.zip")


async def test_a_proto_is_checked_inline_and_from_a_store(settings, tmp_path):
    store = Store(settings)
    source = b'syntax = "proto3";'
    (tmp_path / "a.proto").write_bytes(source)
    uri = (tmp_path / "a.proto").as_uri()
    assert await store.fetch_proto(Proto.inline(source)) == source
    assert await store.fetch_proto(Proto("", source=source)) == source
    assert await store.fetch_proto(Proto(sha256(source), uri=uri)) == source
    for wrong in (Proto("0" * 64, source=source), Proto("0" * 64, uri=uri)):
        with pytest.raises(SwapError) as caught:
            await store.fetch_proto(wrong)
        assert caught.value.code == "DIGEST_MISMATCH"
