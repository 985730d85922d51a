"""A store may hold anything: invalid artifacts are refused before they are in the cache, within bounds."""

import asyncio
import io
import os
import stat
import sys
import threading
import zipfile
from pathlib import Path

import fsspec
import pytest

from fakes.artifacts import MOJO, left, make_zip, refusal, special_zip
from hotswap.artifacts import archive, cache
from hotswap.artifacts.store import Store
from hotswap.errors import SwapError
from hotswap.generation import Model

STRANGERS = Path(__file__).parents[2] / "models" / "strangers"


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


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sk_xz.joblib", "a joblib file of scikit-learn"),
        ("m.safetensors", "a safetensors file, which holds weights alone"),
    ],
)
async def test_a_file_of_another_library_is_refused_as_what_it_is(settings, publish, name, told):
    error = await refusal(Store(settings), publish((STRANGERS / name).read_bytes()))
    assert error.code == "ARTIFACT_INVALID"
    assert f" is {told}: no kind serves it: " in error.message
    assert "unchanged" not in error.message
    assert left(settings) == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644])
async def test_a_link_or_a_device_in_a_zip_is_refused(settings, publish, mode):
    error = await refusal(Store(settings), publish(special_zip("trees", mode)))
    assert error.code == "ARTIFACT_INVALID"
    assert "link or a device" in error.message
    assert left(settings) == []


async def test_a_zip_bomb_is_stopped_by_its_actual_size(settings, publish):
    bomb = make_zip({f"{n}.bin": bytes(600_000) for n in range(2)})
    assert len(bomb) < 10_000
    error = await refusal(Store(settings), publish(bomb))
    assert error.code == "ARTIFACT_INVALID"
    assert "unpacks to more than" in error.message
    assert left(settings) == []


@pytest.mark.parametrize("claimed", [100, 2_000_000])
async def test_a_wrong_size_in_a_header_is_refused(settings, publish, claimed):
    content = make_zip({"model.ini": bytes(700_000)})
    lie = content.replace((700_000).to_bytes(4, "little"), claimed.to_bytes(4, "little"))
    assert lie != content
    error = await refusal(Store(settings), publish(lie))
    assert error.code == "ARTIFACT_INVALID"
    assert left(settings) == []


async def test_a_method_whose_reads_cannot_be_bounded_is_refused(settings, publish):
    error = await refusal(Store(settings), publish(make_zip(method=zipfile.ZIP_LZMA)))
    assert "a method other than deflate" in error.message


async def test_an_encrypted_entry_is_refused(settings, publish):
    content = bytearray(make_zip({"model.ini": b"x"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in (await refusal(Store(settings), publish(bytes(content)))).message


async def test_two_entries_of_the_same_name_are_refused(settings, publish):
    content = make_zip({"a.txt": b"1", "b.txt": b"2"}).replace(b"b.txt", b"a.txt")
    assert "same name" in (await refusal(Store(settings), publish(content))).message


async def test_too_many_files_are_refused_even_if_they_are_empty(settings, publish, monkeypatch):
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
async def test_folders_count_as_files_do_even_if_only_a_name_implies_them(settings, publish, monkeypatch, names):
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    content = make_zip(dict.fromkeys(names, b""))
    assert "more than 10 files and folders" in (await refusal(Store(settings), publish(content))).message
    assert left(settings) == []


async def test_endless_names_are_refused_before_they_are_all_read(settings, publish, monkeypatch):
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
def test_unpacking_is_abandoned_in_the_middle_of_folders_of_empty_files_and_of_one_large_file(tmp_path, files, checks):
    asked = iter(range(checks))
    with pytest.raises(SwapError, match="abandoned"):
        archive.unpack(
            io.BytesIO(make_zip(files, method=zipfile.ZIP_STORED)),
            tmp_path / "new",
            name="it",
            max_bytes=1 << 30,
            is_stopped=lambda: next(asked, None) is None,
        )
    assert next(asked, None) is None


def test_an_archive_that_is_too_large_is_refused_before_any_of_it_is_written(tmp_path):
    content = make_zip({"a": bytes(600_000), "b": bytes(600_000)})
    with pytest.raises(SwapError, match="unpacks to more than"):
        archive.unpack(io.BytesIO(content), tmp_path / "new", name="it", max_bytes=1 << 20)
    assert not (tmp_path / "new").exists()


async def test_the_jars_in_a_zip_count_with_their_unpacked_size(settings, publish, monkeypatch):
    jars = {f"{n}.jar": bytes(600_000) for n in range(2)}
    bomb = publish(make_zip(jars), kind="java")
    error = await refusal(Store(settings), bomb)
    assert error.code == "ARTIFACT_INVALID"
    assert "unpacks to more than" in error.message
    assert left(settings) == []
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    error = await refusal(Store(settings), publish(make_zip({f"{n}.jar": b"" for n in range(11)}), kind="java"))
    assert "more than 10 files" in error.message
    await Store(settings).fetch(publish(make_zip({"a.jar": bytes(600_000), "b": bytes(600_000)}), kind="java"))


def test_two_jars_of_the_same_name_count_twice():
    content = make_zip({"a.jar": b"", "b.jar": bytes(600_000)}).replace(b"a.jar", b"b.jar")
    with pytest.raises(SwapError, match="unpacks to more than"):
        archive.check_jars(io.BytesIO(content), name="it", max_bytes=1 << 20)


async def test_a_mojo_that_names_a_file_outside_is_refused_before_it_is_in_the_cache(settings, publish):
    ini = b"[info]\nn_columns = 1\n[columns]\na\n[domains]\n0: 1 ../../../../proc/1/environ\n"
    error = await refusal(Store(settings), publish(make_zip({**MOJO, "model.ini": ini})))
    assert error.code == "ARTIFACT_INVALID"
    assert "model.zip names the file 'domains/../../../../proc/1/environ' in 'model.ini'" in error.message
    assert left(settings) == []


async def test_a_truncated_mojo_and_a_text_are_refused_with_their_names(settings, publish):
    contents = {"not a zip": make_zip()[:-30], "no model but text": b"this is no model", "an empty file": b""}
    for what, content in contents.items():
        error = await refusal(Store(settings), publish(content, name="garbage.zip"))
        assert error.code == "ARTIFACT_INVALID"
        assert f"garbage.zip is {what}" in error.message
    assert left(settings) == []


async def test_damaged_bytes_cause_a_refusal_or_give_the_right_files(settings, publish):
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
    error = await refusal(Store(settings), Model((tmp_path / "remote" / "gone.zip").as_uri(), "0" * 64))
    assert error.code == "ARTIFACT_UNREACHABLE"
    assert "gone.zip" in error.message
    assert left(settings) == []


async def test_an_unknown_protocol_is_unreachable(settings):
    allowing = settings.model_copy(update={"allowed_stores": "gopher://host"})
    unknown = await refusal(Store(allowing), Model("gopher://host/model.zip", "0" * 64))
    assert (unknown.code, "gopher" in unknown.message) == ("ARTIFACT_UNREACHABLE", True)


@pytest.mark.parametrize(
    ("store", "package", "extra"),
    [
        ("s3://bucket", "s3fs", "s3"),
        ("s3a://bucket", "s3fs", "s3"),
        ("gs://bucket", "gcsfs", "gcs"),
        ("gcs://bucket", "gcsfs", "gcs"),
        ("abfs://container@account.dfs.core.windows.net", "adlfs", "azure"),
        ("az://container@account.dfs.core.windows.net", "adlfs", "azure"),
        ("https://host", "aiohttp", "http"),
    ],
)
async def test_a_missing_package_is_named_with_its_extra_to_who_fetches_and_to_who_uploads(
    settings, monkeypatch, tmp_path, store, package, extra
):
    for loaded in [name for name in sys.modules if name.startswith(("s3fs", "fsspec.implementations.http"))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, store.partition(":")[0], raising=False)
    there = Store(settings.model_copy(update={"store": store}))
    (tmp_path / "m.zip").write_bytes(make_zip())
    with pytest.raises(SwapError) as unsent:
        await there.upload(tmp_path / "m.zip")
    for missing in (await refusal(there, Model(f"{store}/model.zip", "0" * 64)), unsent.value):
        assert missing.code == "ARTIFACT_UNREACHABLE"
        assert f"install the extra `{extra}` (pip install 'hotswap[{extra}]')" in missing.message
        assert package in missing.message


async def test_a_password_in_an_address_is_never_shown(settings):
    allowing = settings.model_copy(update={"allowed_stores": "gopher://me:hunter2@host"})
    error = await refusal(Store(allowing), Model("gopher://me:hunter2@host/m.zip?sig=hunter2", "0" * 64))
    assert "gopher://host/m.zip" in error.message
    assert "hunter2" not in error.message


async def test_a_cache_that_cannot_be_written_says_where_and_what_to_do(settings, publish):
    settings.cache.write_text("a file where the folder should be")
    error = await refusal(Store(settings), publish(make_zip()))
    assert error.code == "CACHE_FAILED"
    assert "HOTSWAP_CACHE" in error.message


class _Gate(io.BytesIO):
    """A source that fails in the middle, or waits there until the test lets it continue."""

    def __init__(self, content, *, then):
        super().__init__(content)
        self._then = then

    def read(self, size=-1):
        if self.tell():
            self._then()
        return super().read(min(size, 1000) if size > 0 else 1000)


async def test_an_interrupted_download_leaves_nothing(settings, publish, monkeypatch):
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

    rmtree = cache.shutil.rmtree
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


async def test_two_stores_that_fetch_the_same_at_once_both_get_it_and_one_entry_remains(settings, publish, monkeypatch):
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
