"""Uploaded files are fetched by digest, from every kind of store."""

from pathlib import Path

import pytest

from fakes.artifacts import make_zip, sha256
from hotswap.artifacts import transfer
from hotswap.artifacts.store import Store
from hotswap.errors import SwapError
from hotswap.generation import Model, Proto


async def test_an_uploaded_file_is_fetched_by_its_digest_and_uploaded_once(settings, tmp_path):
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


async def test_a_store_given_as_a_relative_folder_is_published_as_an_absolute_uri(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.zip").write_bytes(make_zip())
    uri, digest = await Store(settings.model_copy(update={"store": "here"})).upload(Path("m.zip"))
    assert uri == f"{(tmp_path / 'here').as_uri()}/{digest}/m.zip"


async def test_another_file_system_works_as_a_store(settings, tmp_path):
    (tmp_path / "m.zip").write_bytes(content := make_zip())
    store = Store(settings.model_copy(update={"store": "memory://models"}))
    uri, digest = await store.upload(tmp_path / "m.zip")
    assert digest == sha256(content)
    assert (await store.fetch(Model(uri, digest)) / "model.ini").exists()


async def test_a_store_s_password_is_not_published_and_what_was_uploaded_is_fetched_with_it(settings, tmp_path):
    (tmp_path / "m.zip").write_bytes(make_zip())
    store = Store(settings.model_copy(update={"store": "memory://anna:sesame@secured"}))
    uri, digest = await store.upload(tmp_path / "m.zip")
    assert uri == f"memory://secured/{digest}/m.zip"
    assert (await store.fetch(Model(uri, digest)) / "model.ini").exists()


async def test_an_interrupted_upload_leaves_nothing_in_the_store(settings, tmp_path, monkeypatch):
    def broken(source, sink, _):
        sink.write(source.read(10))
        assert not list((tmp_path / "remote").rglob("m.zip")), "half of it could be fetched"
        raise ConnectionResetError("the store went away")

    (tmp_path / "m.zip").write_bytes(make_zip())
    monkeypatch.setattr(transfer.shutil, "copyfileobj", broken)
    with pytest.raises(SwapError, match="went away"):
        await Store(settings).upload(tmp_path / "m.zip")
    assert [file for file in (tmp_path / "remote").rglob("*") if file.is_file()] == []


async def test_an_upload_of_a_missing_file_names_it(settings, tmp_path):
    with pytest.raises(SwapError, match=r"nothing\.zip cannot be read"):
        await Store(settings).upload(tmp_path / "nothing.zip")


async def test_a_proto_is_checked_inline_and_from_a_store(settings, tmp_path):
    store = Store(settings)
    source = b'syntax = "proto3";'
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "a.proto").write_bytes(source)
    uri = (tmp_path / "remote" / "a.proto").as_uri()
    assert await store.fetch_proto(Proto.inline(source)) == source
    assert await store.fetch_proto(Proto("", source=source)) == source
    assert await store.fetch_proto(Proto(sha256(source), uri=uri)) == source
    for wrong in (Proto("0" * 64, source=source), Proto("0" * 64, uri=uri)):
        with pytest.raises(SwapError) as caught:
            await store.fetch_proto(wrong)
        assert caught.value.code == "DIGEST_MISMATCH"


async def test_where_folders_cannot_be_locked_a_proto_is_read_past_the_cache(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("hotswap.artifacts.store.IS_POSIX", False)
    store = Store(settings)
    proto = await store.upload_proto(Proto.inline(b'syntax = "proto3";'))
    assert await store.fetch_proto(proto) == b'syntax = "proto3";'
    assert not settings.cache.exists()
    with pytest.raises(SwapError) as caught:
        await store.fetch_proto(Proto("0" * 64, uri=proto.uri))
    assert caught.value.code == "DIGEST_MISMATCH"
