"""The gateway as a process before a real Kafka and real workers, called as its clients call it."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager

import httpx
import pytest

from harness.audit import source
from harness.calls import Gateway
from harness.fleet import EXAMPLES, ROOT
from hotswap.client.answers import Outgoing, Refused
from hotswap.client.overview import read_history
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.kafka.topics.admin import Admin

IRIS = EXAMPLES / "protos" / "iris.proto"
ROWS = (EXAMPLES / "data" / "iris.csv").read_bytes()
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
TABLE = {"accept": "text/csv"}
GBM, GLM = (EXAMPLES / "models" / f"iris_{kind}.zip" for kind in ("gbm", "glm"))


def compiled():
    """The message of an answer."""
    return compile_proto(IRIS.read_bytes()).operations["Classify"].output


@asynccontextmanager
async def gateway(deployment):
    """Start a gateway of the deployment, and yield a client of it once it serves."""
    served = await Gateway(deployment, "gateway").start()
    try:
        limits = httpx.Limits(max_connections=1_000)
        async with httpx.AsyncClient(base_url=served.address, timeout=60, limits=limits) as client:
            client.gateway = served
            yield client
    finally:
        served.kill()


async def test_a_model_is_put_and_serves_and_another_one_is_scored_beside_it(deployment):
    deployment.start()
    async with gateway(deployment) as client:
        assert (await client.get("/readyz")).status_code == 503
        parts = {"model": ("iris.zip", GBM.read_bytes()), "proto": IRIS.read_bytes()}
        parts |= {"configuration": b'{"max_batch_records": 100}'}
        first = await client.post(f"/v1/{deployment.name}/swap", files=parts)
        assert (first.status_code, first.json()["generation"]) == (200, 1), first.text
        assert (await client.get("/readyz")).status_code == 200

        served = await client.post("/transformCSVDefault", files={"csvFile": ROWS}, headers=TABLE)
        files = {"csvFile": ROWS, "model": ("glm.zip", GLM.read_bytes()), "proto": IRIS.read_bytes()}
        own = await client.post("/transformCSV", files=files, headers=TABLE)
        assert (served.status_code, own.status_code) == (200, 200), (served.text, own.text)
        assert served.text != own.text
        assert (await client.get(f"/v1/{deployment.name}")).json()["generation"] == 1

        put = await client.put("/model", files={"model": ("glm.zip", GLM.read_bytes())})
        assert (put.status_code, put.json()["generation"]) == (200, 2), put.text
        after = await client.post("/transformCSVDefault", files={"csvFile": ROWS}, headers=TABLE)
        assert after.text == own.text
        refused = await client.put("/proto", files={"proto": IRIS.read_bytes().replace(b"sepal_length", b"sepal")})
        assert (refused.status_code, refused.json()["serving"]) == (422, 2), refused.text

        made = await client.post(f"/v1/{deployment.name}/predict", json=ROW)
        place = "/".join(made.json()["source"].rsplit("-", 2)[1:])
        fetched = await client.get(f"/v1/{deployment.name}/predictions/{place}")
        assert compiled().FromString(fetched.content).species == made.json()["prediction"]["species"], fetched.text
        assert fetched.headers["hotswap-source"] == made.json()["source"]

        files |= {"model": ("gbm.zip", GBM.read_bytes())}
        activated = await client.post("/transformCSV", files=files, data={"activate": "true"}, headers=TABLE)
        assert activated.text == served.text
        assert (await client.get(f"/v1/{deployment.name}")).json()["generation"] == 5  # 4 abandoned 3
        after = await client.post("/transformCSVDefault", files={"csvFile": ROWS}, headers=TABLE)
        assert after.text == served.text
        swaps = (await read_history(deployment.settings)).timeline.swaps
        assert swaps[2].generation.configuration.max_batch_records == 100
        assert swaps[5].generation.configuration == Configuration()  # as it was scored here
        assert len(swaps[5].generation.samples) == ROWS.count(b"\n") - 1


async def test_a_gateway_that_is_told_to_stop_answers_what_it_has_accepted(deployment):
    await deployment.serve("iris_gbm")
    async with gateway(deployment) as client:
        first = await client.post(f"/v1/{deployment.name}/predict", json=ROW)
        async with deployment.client() as other:
            await other.await_swap(await other.pause())
            calling = asyncio.create_task(client.post(f"/v1/{deployment.name}/predict", json=ROW))
            async with Admin.connect(deployment.settings) as admin:
                while sum((await admin.end_offsets(deployment.settings.topics.requests)).values()) < 2:
                    await asyncio.sleep(0.05)
            client.gateway.process.terminate()
            await other.resume()
        assert (await calling).json()["prediction"] == first.json()["prediction"]
        assert await client.gateway.ended() == 0, client.gateway.lines()[-5:]


async def test_through_a_swap_and_a_killed_worker_each_call_has_the_one_answer_that_the_log_has(deployment):
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    replies = []

    async def call(client, is_over):
        while not is_over.is_set():
            reply = await client.post(f"/v1/{deployment.name}/predict", json=ROW)
            replies.append((reply.status_code, reply.json()))

    async with gateway(deployment) as client:
        is_over = asyncio.Event()
        calling = [asyncio.create_task(call(client, is_over)) for _ in range(20)]
        put = await client.put("/model", files={"model": ("glm.zip", GLM.read_bytes())})
        assert put.status_code == 200, put.text
        before = len(replies)
        in_hand = len(calling)
        deployment.kill("w1")
        async with asyncio.timeout(60):
            while len(replies) < before + 500:
                await asyncio.sleep(0.05)
        is_over.set()
        await asyncio.gather(*calling)
    await deployment.drained()
    assert Counter(status for status, _ in replies) == {200: len(replies)}
    late = [told["generation"] for _, told in replies[before + in_hand :]]
    assert set(late) == {2}
    result = await deployment.audit()
    assert result.faults == {}
    logged = {"-".join(map(str, (deployment.settings.topics.requests, *source(m)))) for m in result.predictions}
    told = [told["source"] for _, told in replies]
    assert len(set(told)) == len(told)
    assert set(told) <= logged


async def test_dead_letters_are_paged_each_once_across_the_partitions_and_transactions_of_a_log(deployment):
    await deployment.serve("iris_gbm")
    good = compile_proto(IRIS.read_bytes()).operations["Classify"].input(sepal_length=5).SerializeToString()
    refused = []
    async with gateway(deployment) as client, deployment.client() as other:
        for _ in range(5):  # a transaction or more of each partition, whose markers have offsets, too
            values = [b"\xff%d" % at if at % 2 else good for at in range(20)]
            answers = other.predict([Outgoing(value) for value in values])
            refused += [answer.source async for answer in answers if isinstance(answer, Refused)]
        pages, path = [], f"/v1/{deployment.name}/dead-letters?limit=7&code=UNDECODABLE"
        while path:
            page = (await client.get(path)).json()
            pages.append(page["dead_letters"])
            path = page["next"]
    letters = [letter for page in pages for letter in page]
    assert sorted(letter["source"] for letter in letters) == sorted(refused)
    assert len(letters) == 50
    assert [letter["at_ms"] for letter in letters] == sorted((one["at_ms"] for one in letters), reverse=True)
    assert max(map(len, pages)) <= 7


def calls(page):
    """Return each curl command of a page, and what it prints: … stands for anything."""
    text = "\n".join(re.findall(r"^```console\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE))
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text + "\n", re.MULTILINE)
    return [(command, told.strip()) for command, told in found if "curl" in command]


async def test_each_call_of_the_page_replies_what_the_page_shows(deployment):
    deployment.start()
    async with gateway(deployment) as client:
        port = str(client.base_url.port)
        for command, told in calls("docs/http.md"):
            line = command.replace("localhost:8080", f"127.0.0.1:{port}")
            line = re.sub("/(v1|v2/models)/iris", rf"/\1/{deployment.name}", line)
            process = await asyncio.create_subprocess_exec("bash", "-c", line, cwd=ROOT, stdout=subprocess.PIPE)
            said = (await process.communicate())[0].decode().strip().replace(deployment.name, "iris")
            pattern = ".*".join(map(re.escape, told.split("…")))
            assert re.fullmatch(pattern, said, re.DOTALL), f"{command}\n{said}\n{told}"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_an_address_that_others_can_reach_is_refused(host):
    command = [sys.executable, "-m", "hotswap", "gateway", "d", "--host", host]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "worker")}, check=False
    )
    assert done.returncode == 2
    assert f"{host} can be reached from other machines" in done.stderr


async def test_the_gateway_of_the_compose_file_serves_the_api_and_the_console_to_whoever_has_its_token(deployment):
    (given,) = re.findall(r"command: gateway iris (.*)", (ROOT / "compose.yaml").read_text())
    words = given.replace("/etc/hotswap/tokens.toml", str(ROOT / "ops" / "tokens.toml")).split()
    served = await Gateway(deployment, "gateway", *words).start()
    try:
        base = f"http://localhost:{served.port}"
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/v1")).status_code == 401
            token = {"authorization": "Bearer hotswap"}
            assert (await client.get("/v1", headers=token)).json() == {"deployments": [deployment.name]}
            login = await client.post("/login", data={"token": "hotswap"}, headers={"origin": base})
            cookie = {"cookie": login.headers["set-cookie"].partition(";")[0]}  # browsers trust http on localhost
            page = await client.get(f"/console/d/{deployment.name}/bring", headers=cookie)
            assert "changes are allowed" in page.text
            left = await client.post("/logout", headers=cookie | {"origin": base})
            assert left.status_code == 303
    finally:
        served.kill()
