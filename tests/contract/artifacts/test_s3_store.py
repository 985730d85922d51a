"""A store on S3, a real server: what is uploaded is fetched by its digest, and whatever else it holds is refused."""

import contextlib
import os
import threading

import pytest

from fakes.artifacts import left, make_zip, refusal, sha256
from fakes.fetching import MODEL, Fetching
from fakes.web_stores import endless, running, serving
from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment
from harness.objects import BUCKET, SECRET, object_store
from hotswap.artifacts import objects
from hotswap.artifacts.store import Store
from hotswap.artifacts.transfer import find, read
from hotswap.errors import SwapError
from hotswap.generation import Model
from hotswap.settings import Settings

pytestmark = pytest.mark.s3

STORE = f"s3://{BUCKET}/churn"
PROTO = EXAMPLES / "protos" / "iris.proto"
CONTENT = make_zip()
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def s3():
    with object_store() as server:
        yield server


@pytest.fixture
def settings(s3, tmp_path):
    return Settings(cache=tmp_path / "cache", store=STORE, max_artifact_bytes=LIMIT)


@pytest.fixture
def elsewhere():
    """A server that is no store, which has the model that is asked for."""
    with serving("/store/m.zip", CONTENT) as made:
        yield made


@pytest.fixture
def lying(monkeypatch):
    """A server that speaks S3 as a test says; who asks it has a session's token."""
    with running() as made:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.setenv(name, f"sesame-{name[4:]}")
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        yield made


@pytest.fixture
async def fetching(tmp_path, tidy, s3):
    made = Fetching(cache=tmp_path / "cache", allowed_stores=STORE, max_artifact_bytes=LIMIT)
    yield made
    made.release_all()
    await made.fetcher.stop()


async def upload(settings, content, tmp_path, name="m.zip"):
    (tmp_path / name).write_bytes(content)
    return await Store(settings).upload(tmp_path / name)


async def test_what_swap_uploads_a_worker_of_the_same_store_fetches_and_serves(s3, kafka, tmp_path):
    deployment = await Deployment(kafka, tmp_path, store=STORE).create()
    deployment.start()
    said = await hotswap(deployment, "swap", deployment.name, "--model", MODEL, "--proto", PROTO)
    logged = deployment.log()
    deployment.close()
    assert '"swap.ready"' in logged
    assert SECRET not in f"{said}{logged}"
    find(f"{STORE}/{sha256(MODEL.read_bytes())}/{MODEL.name}", [STORE])


async def test_what_is_uploaded_is_fetched_by_the_worker_s_process_and_uploaded_once(fetching, settings, tmp_path):
    uri, digest = await upload(settings, CONTENT, tmp_path)
    assert uri == f"{STORE}/{sha256(CONTENT)}/m.zip"
    assert await upload(settings, CONTENT, tmp_path) == (uri, digest)
    assert await fetching.fetcher.find(uri) == ""
    assert (await fetching.store.fetch(Model(uri, digest)) / "model.ini").exists()


async def test_another_digest_than_the_command_s_is_refused(fetching, settings, tmp_path):
    uri, _ = await upload(settings, CONTENT, tmp_path)
    assert (await refusal(fetching.store, Model(uri, "0" * 64))).code == "DIGEST_MISMATCH"
    assert fetching.left() == []


async def test_what_is_missing_is_unreachable_and_a_missing_bucket_is_not_made(fetching, settings, tmp_path):
    missing = await refusal(fetching.store, Model(f"{STORE}/nothing.zip", "0" * 64))
    assert missing.code == "ARTIFACT_UNREACHABLE"
    assert f"{STORE}/nothing.zip cannot be reached: " in missing.message
    assert "cannot be reached" in await fetching.fetcher.find(f"{STORE}/nothing.zip")
    other = settings.model_copy(update={"store": "s3://nowhere/churn"})
    for _ in range(2):
        with pytest.raises(SwapError, match="The specified bucket does not exist") as unsent:
            await upload(other, CONTENT, tmp_path)
        assert unsent.value.code == "ARTIFACT_UNREACHABLE"
    assert "bucket does not exist" in (await refusal(Store(other), Model("s3://nowhere/churn/m", "0" * 64))).message


async def test_another_bucket_and_a_way_out_of_the_store_are_denied_unasked(fetching):
    for uri in (f"s3://{BUCKET}/m.zip", "s3://other/churn/m.zip", f"{STORE}/../m.zip", f"s3a://{BUCKET}/churn/m.zip"):
        assert (await refusal(fetching.store, Model(uri, "0" * 64))).code == "URI_DENIED"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
async def test_a_wrong_key_is_told_without_any_secret(settings, tmp_path, monkeypatch, name):
    uri, digest = await upload(settings, CONTENT, tmp_path)
    monkeypatch.setenv(name, "wrong-sesame")
    with pytest.raises(SwapError) as unsent:
        await upload(settings, make_zip({"model.ini": b"other"}), tmp_path)
    for refused in (await refusal(Store(settings), Model(uri, digest)), unsent.value):
        assert refused.code == "ARTIFACT_UNREACHABLE"
        assert "check the address, and this machine's access to it" in refused.message
        assert "sesame" not in refused.message


async def test_without_the_package_a_worker_s_process_and_the_command_line_name_the_extra(
    kafka, tmp_path, monkeypatch, tidy
):
    deployment = await Deployment(kafka, tmp_path, store=STORE).create()
    (tmp_path / "s3fs.py").write_text("raise ImportError(\"No module named 's3fs'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    fetching = Fetching(cache=tmp_path / "cache", allowed_stores=STORE)
    told = await refusal(fetching.store, Model(f"{STORE}/m.zip", "0" * 64))
    await fetching.fetcher.stop()
    _, said = await hotswap(deployment, "swap", deployment.name, "--model", MODEL, "--proto", PROTO, code=1)
    for message in (told.message, said):
        assert "install the extra `s3` (pip install 'hotswap[s3]')" in message
    assert len(said.splitlines()) == 1


async def test_an_object_larger_than_allowed_is_refused_while_it_is_read(fetching, settings, tmp_path):
    uri, digest = await upload(settings, os.urandom(3 * LIMIT), tmp_path)
    error = await refusal(fetching.store, Model(uri, digest, "java"))
    assert error.code == "ARTIFACT_INVALID"
    assert "larger than the 1,048,576 bytes allowed" in error.message
    assert fetching.left() == []


async def test_a_server_that_sends_for_ever_is_stopped(settings, lying):
    lying.answers[f"/{BUCKET}/churn/m.zip"] = 200, {"Content-Length": "1000000000000"}, endless()
    error = await refusal(Store(settings), Model(f"{STORE}/m.zip", "0" * 64))
    assert (error.code, left(settings)) == ("ARTIFACT_INVALID", [])
    assert "larger than the 1,048,576 bytes allowed" in error.message
    assert lying.sent < 64 * LIMIT, "what is on its way in the buffers of two sockets, and no more"


@pytest.mark.parametrize("is_there", [True, False])
def test_what_breaks_off_is_read_on_from_there_while_it_is_there(s3, lying, monkeypatch, is_there):
    monkeypatch.setattr(objects, "_PAUSE_S", 0.0)
    content = make_zip({"model.ini": os.urandom(LIMIT * 3 // 4)})
    begins, has_begun = [], threading.Event()

    def answer(part):
        begins.append(begin := int(part.removeprefix("bytes=").removesuffix("-")) if part else 0)
        if begin and not is_there:
            return 404, {"Content-Length": "0"}, []
        sent = [content[begin:]] if begin else breaks_off()
        return 206 if begin else 200, {"Content-Length": str(len(content) - begin)}, sent

    def breaks_off():
        yield content[: len(content) // 2]
        assert has_begun.wait(30)
        raise ConnectionAbortedError

    lying.answers[f"/{BUCKET}/churn/m.zip"] = answer
    with contextlib.closing(read(f"{STORE}/m.zip", [STORE], is_patient=True)) as chunks:
        first = next(chunks)
        has_begun.set()
        if is_there:
            assert first + b"".join(chunks) == content
        else:
            with pytest.raises(SwapError, match="cannot be reached"):
                list(chunks)
    assert begins[0] == 0 < begins[1] <= len(content) // 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(settings, lying, elsewhere, tmp_path, status):
    away = status, {"Location": f"{elsewhere.url}/store/m.zip", "Content-Length": "0"}, []
    lying.answers[f"/{BUCKET}/churn/m.zip"] = away
    error = await refusal(Store(settings), Model(f"{STORE}/m.zip", sha256(CONTENT)))
    assert error.code == "ARTIFACT_UNREACHABLE"
    with pytest.raises(SwapError):
        find(f"{STORE}/m.zip", settings.stores)
    assert elsewhere.asked == []
    assert lying.asked != []


async def test_the_log_has_no_credentials_not_even_a_detailed_one(tmp_path, tidy, lying, capfd):
    lying.answers[f"/{BUCKET}/churn/m.zip"] = 200, {"Content-Length": str(len(CONTENT))}, [CONTENT]
    fetching = Fetching(cache=tmp_path / "cache", allowed_stores=STORE, log_level="DEBUG")
    assert (await fetching.store.fetch(Model(f"{STORE}/m.zip", sha256(CONTENT)))).is_dir()
    fetching.release_all()
    await fetching.fetcher.stop()
    said = "".join(capfd.readouterr())
    assert "asyncio" in said, "it is as detailed as was asked for"
    assert "sesame" not in said
    assert "Signature" not in said
