"""The console as a process before a real Kafka and a real worker: a model's way from its file to the fleet and back."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import httpx

from harness.calls import Gateway
from harness.fleet import EXAMPLES

PROTO = (EXAMPLES / "protos" / "iris.proto").read_text()
GBM, GLM = (EXAMPLES / "models" / f"iris_{kind}.zip" for kind in ("gbm", "glm"))
ROWS = (EXAMPLES / "data" / "iris.csv").read_bytes().splitlines(keepends=True)
ROW = {"sepal_length": "5.1", "sepal_width": "3.5", "petal_length": "1.4", "petal_width": "0.2"}


@asynccontextmanager
async def console(deployment):
    """Start a console of the deployment, and yield it with a client of it."""
    served = await Gateway(deployment, "console", "--allow-changes", command="console").start()
    try:
        async with httpx.AsyncClient(base_url=served.address, timeout=60) as client:
            yield client, served
    finally:
        served.kill()


async def submit(client, page, path, fields=(), files=()):
    token = re.search(r'name="token" value="([^"]+)"', page.text)[1]
    parts = {name: (None, value) for name, value in {**dict(fields), "token": token}.items()}
    return await client.post(path, files=parts | dict(files))


async def bring(client, at, model, fields=()):
    """Bring a model in with a sample, and return the page of its draft, and its address."""
    page = await client.get(f"{at}/bring")
    files = {"model": (model.name, model.read_bytes()), "sample": ("rows.csv", b"".join(ROWS[:1] + ROWS[60:70]))}
    reply = await submit(client, page, f"{at}/bring", fields, files)
    assert reply.status_code == 303, reply.text
    return await client.get(reply.headers["location"]), reply.headers["location"]


async def until(client, at, said):
    """Follow the stream of a page until a part of it has this pattern."""
    async with asyncio.timeout(60), client.stream("GET", f"{at}/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line and any(re.search(said, part, re.DOTALL) for part in json.loads(line[6:]).values()):
                return


async def test_a_model_is_brought_in_compared_swapped_and_rolled_back(deployment):
    deployment.start()
    async with console(deployment) as (client, served):
        at = f"/d/{deployment.name}"
        page, draft = await bring(client, at, GBM, {"name": "<b>gbm</b>"})
        assert "fits its proto" in page.text
        assert "<b>gbm" not in page.text
        wrong = await submit(client, page, draft, {"proto": PROTO.replace("double setosa", "duoble setosa")})
        assert (wrong.status_code, "model.proto:" in wrong.text) == (422, True)
        assert (await submit(client, page, f"{draft}/swap", {"proto": PROTO})).status_code == 303
        await until(client, at, "swap to 1: .*load .*warm ")
        await until(client, at, "Serves</dt><dd>generation 1: model <b>&lt;b&gt;gbm")

        page, draft = await bring(client, at, GLM)
        page = await submit(client, page, draft, {"proto": PROTO})
        told = re.findall(r'<p class="(?:small|alert[^"]*)"[^>]*>(.*?)</p>', page.text, re.DOTALL)
        assert page.text.count('<span class="unseen"> differs</span>') > 5, told
        assert (await submit(client, page, f"{draft}/swap", {"proto": PROTO})).status_code == 303
        await until(client, at, "Serves</dt><dd>generation 2: model <b>iris_glm")

        page = await client.get(at)
        asked = {"operation": "Classify"} | {f"field-{name}": value for name, value in ROW.items()}
        scored = await submit(client, page, f"{at}/score", asked)
        assert "Answered by generation 2" in scored.text
        assert "setosa" in scored.text

        assert (await submit(client, page, f"{at}/rollback")).status_code == 303
        await until(client, at, "rollback to 1 as 3, serving")
        models = await client.get(f"{at}/models")
        file = await client.get(re.findall(rf"{at}/models/[0-9a-f]+", models.text)[0])
        assert file.content == GBM.read_bytes()

        async with client.stream("GET", "/live") as stream:
            await anext(stream.aiter_lines())
            served.process.terminate()
            assert await served.ended(20) == 0  # or it would wait for the stream, half a minute
