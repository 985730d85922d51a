"""A store over HTTP, a real server: each redirect is looked at before it is followed, and what is sent is bounded."""

import gzip

import pytest

from fakes.artifacts import left, make_zip, refusal, sha256
from fakes.web_stores import Handler, endless, serving
from hotswap.artifacts.places import FILE
from hotswap.artifacts.store import Store
from hotswap.artifacts.transfer import find
from hotswap.errors import SwapError
from hotswap.generation import Model
from hotswap.settings import Settings

CONTENT = make_zip()
LIMIT = 1 << 20


@pytest.fixture
def server():
    with serving("/store/m.zip", CONTENT) as made:
        yield made


@pytest.fixture
def elsewhere():
    """A server in no store, which has the model that is asked for."""
    with serving("/store/m.zip", CONTENT) as made:
        yield made


@pytest.fixture
def settings(tmp_path, server):
    return Settings(cache=tmp_path / "cache", store=f"{server.url}/store", max_artifact_bytes=LIMIT)


def model(server, path="/store/m.zip"):
    return Model(f"{server.url}{path}", sha256(CONTENT))


async def test_a_model_is_fetched_over_http_and_found_there(settings, server):
    assert (await Store(settings).fetch(model(server))).is_dir()
    find(model(server).uri, settings.stores)
    with pytest.raises(SwapError) as missing:
        find(f"{server.url}/store/nothing.zip", settings.stores)
    assert missing.value.code == "ARTIFACT_UNREACHABLE"


async def test_what_lies_outside_is_not_asked_for(settings, server, elsewhere):
    for uri in (model(server, "/m.zip").uri, model(server, "/store/..%2fm.zip").uri, model(elsewhere).uri):
        error = await refusal(Store(settings), Model(uri, sha256(CONTENT)))
        assert error.code == "URI_DENIED"
        with pytest.raises(SwapError, match="allowed here"):
            find(uri, settings.stores)
    assert server.asked == elsewhere.asked == []
    assert left(settings) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("header", ["Location", "URI"])
async def test_a_redirect_to_elsewhere_is_not_followed(settings, server, elsewhere, status, header):
    server.answers["/store/away.zip"] = status, {header: model(elsewhere).uri, "Content-Length": "0"}, []
    error = await refusal(Store(settings), model(server, "/store/away.zip"))
    assert error.code == "URI_DENIED"
    assert f"{server.url}/store/away.zip is redirected: {model(elsewhere).uri} lies outside of" in error.message
    assert elsewhere.asked == []
    with pytest.raises(SwapError, match="is redirected") as denied:
        find(f"{server.url}/store/away.zip", settings.stores)
    assert denied.value.code == "URI_DENIED"
    assert elsewhere.asked == []


@pytest.mark.parametrize("target", ["/secret", "../secret", "/store/%2e%2e/secret", "//127.0.0.1:1/store/m.zip"])
async def test_a_redirect_out_of_the_store_on_its_own_host_is_not_followed_either(settings, server, target):
    server.answers["/secret"] = server.answers["/store/m.zip"]
    server.answers["/store/away.zip"] = 302, {"Location": target, "Content-Length": "0"}, []
    assert (await refusal(Store(settings), model(server, "/store/away.zip"))).code == "URI_DENIED"
    assert {path for _, path, _ in server.asked} == {"/store/away.zip"}


async def test_the_second_redirect_is_looked_at_as_the_first(settings, server, elsewhere):
    server.answers["/store/one"] = 302, {"Location": "/store/two", "Content-Length": "0"}, []
    server.answers["/store/two"] = (
        302,
        {"Location": f"{elsewhere.url}/store/m.zip?sig=secret", "Content-Length": "0"},
        [],
    )
    error = await refusal(Store(settings), model(server, "/store/one"))
    assert error.code == "URI_DENIED"
    assert "secret" not in error.message
    assert elsewhere.asked == []


async def test_a_redirect_only_of_the_answer_to_get_is_looked_at_too(settings, server, elsewhere, monkeypatch):
    away = 302, {"Location": model(elsewhere).uri, "Content-Length": "0"}, []
    monkeypatch.setattr(Handler, "do_HEAD", lambda handler: (handler.send_response(200), handler.end_headers()))
    server.answers["/store/away.zip"] = away
    error = await refusal(Store(settings), model(server, "/store/away.zip"))
    assert error.code == "URI_DENIED"
    assert elsewhere.asked == []


async def test_a_redirect_within_the_allowed_stores_is_followed(settings, server, elsewhere):
    server.answers["/store/moved.zip"] = 302, {"Location": "/store/m.zip", "Content-Length": "0"}, []
    server.answers["/store/other.zip"] = 302, {"Location": model(elsewhere).uri, "Content-Length": "0"}, []
    assert (await Store(settings).fetch(model(server, "/store/moved.zip"))).is_dir()
    both = Settings(
        cache=settings.cache.with_name("other"), allowed_stores=f"{server.url}/store, {elsewhere.url}/store"
    )
    assert (await Store(both).fetch(model(server, "/store/other.zip"))).is_dir()
    assert elsewhere.asked != []


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (200, {"Content-Length": "1000000000000"}),
        (206, {"Accept-Ranges": "bytes", "Content-Range": "bytes 0-999/1000"}),
    ],
)
async def test_a_server_that_sends_more_than_is_allowed_is_stopped_while_it_is_read(settings, server, status, headers):
    server.answers["/store/m.zip"] = status, headers, endless()
    error = await refusal(Store(settings), model(server))
    assert error.code == "ARTIFACT_INVALID"
    assert "larger than the 1,048,576 bytes allowed" in error.message
    assert server.sent < 64 * LIMIT, "what is on its way in the buffers of two sockets, and no more"


async def test_a_file_that_a_server_compresses_all_the_same_is_bounded_as_it_is_unpacked(settings, server):
    bomb = gzip.compress(bytes(64 << 20))
    server.answers["/store/m.zip"] = 200, {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}, [bomb]
    assert (await refusal(Store(settings), model(server))).code == "ARTIFACT_INVALID"


async def test_the_user_of_a_store_is_the_settings_and_is_not_told(tmp_path, server):
    secured = server.url.replace("://", "://anna:sesame@")
    settings = Settings(cache=tmp_path / "cache", store=f"{secured}/store")
    assert (await Store(settings).fetch(model(server))).is_dir()
    assert {authorization for *_, authorization in server.asked} == {"Basic YW5uYTpzZXNhbWU="}
    for path in ("/store/nothing.zip", "/m.zip"):
        error = await refusal(Store(settings), Model(f"{secured}{path}", "0" * 64))
        assert "sesame" not in error.message
        assert "anna" not in error.message


async def test_the_file_of_a_link_out_of_a_store_is_not_opened(tmp_path):
    (store := tmp_path / "store").mkdir()
    (canary := tmp_path / "canary.zip").write_bytes(CONTENT)
    (store / "link.zip").symlink_to(canary)
    settings = Settings(cache=tmp_path / "cache", store=store.as_uri())
    for digest in (sha256(CONTENT), "0" * 64):
        error = await refusal(Store(settings), Model(f"{FILE}{store}/link.zip", digest))
        assert error.code == "URI_DENIED"
        assert sha256(CONTENT) not in error.message
    canary.unlink()
    assert (await refusal(Store(settings), Model(f"{FILE}{store}/link.zip", "0" * 64))).message == error.message
