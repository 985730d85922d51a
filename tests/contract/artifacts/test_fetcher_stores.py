"""The process that fetches, a real one, opens nothing outside of the allowed stores."""

import pytest

from fakes.examples import EXAMPLES
from fakes.fetching import MODEL, Fetching, model
from fakes.processes import proc
from hotswap.errors import SwapError
from hotswap.generation import Model


async def test_what_lies_outside_of_the_allowed_stores_is_neither_fetched_nor_looked_for(tmp_path, silent):
    made = Fetching(cache=tmp_path / "cache", allowed_stores=(tmp_path / "store").as_uri())
    for uri in (silent.uri, MODEL.as_uri()):
        with pytest.raises(SwapError) as denied:
            await made.store.fetch(Model(uri, model().sha256))
        assert denied.value.code == "URI_DENIED"
        assert f"{uri} lies outside of the stores allowed here" in await made.fetcher.find(uri)
    assert silent.connections == []
    await made.fetcher.stop()


async def test_what_lies_verified_in_the_cache_is_served_although_its_uri_lies_outside_now(fetching, tmp_path):
    folder = await fetching.store.fetch(model())
    after = Fetching(cache=tmp_path / "cache", allowed_stores=(tmp_path / "store").as_uri())
    assert await after.store.fetch(model()) == folder
    await after.store.verify(model())
    (folder / "model.ini").chmod(0o644)
    (folder / "model.ini").write_bytes(b"tampered")
    with pytest.raises(SwapError) as denied:
        await after.store.verify(model())
    assert denied.value.code == "URI_DENIED"
    after.store.release(folder)
    await after.fetcher.stop()


async def test_a_password_of_a_store_is_on_no_command_line(tmp_path):
    made = Fetching(cache=tmp_path / "cache", allowed_stores=f"ftp://anna:sesame@host,{EXAMPLES.as_uri()}")
    made.store.release(await made.store.fetch(model()))
    assert "sesame" not in proc(made.pid, "cmdline") + proc(made.pid, "environ")
    await made.fetcher.stop()
