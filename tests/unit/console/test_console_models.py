"""The models of the control log, in the console over logs in memory."""

from pathlib import Path

from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.generation import Model

SCRIPT = "<script>alert(1)</script>"


async def test_each_model_is_listed_with_its_generations_and_its_file_can_be_had(console, settings, tmp_path):
    file = Path(tmp_path, "churn.jar")
    file.write_bytes(b"PK" * 1_000)
    async with console() as browser:
        async with Client(settings) as client:
            await client.swap(Change(model=file, name=f'"{SCRIPT}'))
            await client.rollback(1)
        text = (await browser.see("/d/d/models")).text
        assert SCRIPT not in text
        assert "served from" in text
        assert text.index('<span class="chip">3</span>') < text.index('<span class="chip">1</span>')
        digest = text.partition("/d/d/models/")[2].partition('"')[0]
        assert digest == "a" * 64  # of the newest generation
        digest = text.rpartition("/d/d/models/")[2].partition('"')[0]
        reply = await browser.get(f"/d/d/models/{digest}")
        assert reply.content == file.read_bytes()
        assert reply.headers["content-disposition"] == 'attachment; filename="__script_alert_1___script_.jar"'
        assert (await browser.get("/d/d/models/nothing")).status_code == 404


async def test_a_file_that_is_not_what_was_published_is_not_sent(console, settings, tmp_path):
    file = Path(tmp_path, "store", "churn.jar")
    file.parent.mkdir()
    file.write_bytes(b"PK")
    async with console() as browser:
        async with Client(settings) as client:
            await client.swap(Change(model=Model(file.as_uri(), "b" * 64, "java", "other")))
        reply = await browser.get(f"/d/d/models/{'b' * 64}")
    assert reply.status_code == 422
    assert "but the command says" in reply.text


async def test_a_password_in_an_address_is_not_shown(console, settings):
    async with console() as browser:
        async with Client(settings) as client:
            await client.swap(Change(model=Model("ftp://me:secret@host/m.jar?sig=1", "c" * 64, "java")))
        text = (await browser.see("/d/d/models")).text
    assert "ftp://host/m.jar" in text
    assert "secret" not in text
