"""From an address and a digest to a verified path in the cache."""

import fsspec
import pytest

from fakes.artifacts import MOJO, left, make_zip, refusal
from hotswap.artifacts.store import Store
from hotswap.generation import Model


async def test_a_mojo_is_unpacked_into_a_folder_with_the_same_bytes(settings, publish):
    model = publish(make_zip())
    folder = await Store(settings).fetch(model)
    assert {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()} == MOJO
    assert left(settings) == [f"{model.sha256}.unpacked"]


async def test_an_artifact_of_another_kind_is_returned_as_a_file(settings, publish):
    content = make_zip()
    as_jar, as_mojo = publish(content, kind="java"), publish(content)
    store = Store(settings)
    file, folder = await store.fetch(as_jar), await store.fetch(as_mojo)
    assert file.read_bytes() == content
    assert folder.is_dir()


async def test_a_cached_artifact_is_not_fetched_again(settings, publish):
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
async def test_an_invalid_digest_never_becomes_a_path(settings, publish, digest):
    error = await refusal(Store(settings), Model(publish(make_zip()).uri, digest))
    assert error.code == "ARTIFACT_INVALID"
    assert not settings.cache.exists()
