"""Two gateways before one Kafka, and callers of different roles: who gets whose answer, and who is led where."""

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256

import httpx

from harness.audit import read, source
from harness.calls import Gateway
from harness.fleet import EXAMPLES
from hotswap.codec.proto import compile as compile_proto
from hotswap.gateway.documents import as_json

ROW, OTHER = ({"sepal_length": length, "petal_length": length - 3, "petal_width": 0.2} for length in (5.1, 7.7))
ROLES = {"alice": "predict", "bob": "predict", "carol": "read"}
FORGED = "0" * 32


class Callers:
    """Callers of two gateways, g1 and g2, each of whose tokens is their name."""

    def __init__(self, deployment, gateways, client):
        self.deployment, self.gateways, self._client = deployment, gateways, client
        self.output = compile_proto((EXAMPLES / "protos" / "iris.proto").read_bytes()).operations["Classify"].output

    async def call(self, name, gateway, method, path, **given):
        """Make a call, below /v1/<deployment> unless the path says otherwise."""
        path = path if path.startswith("/") else f"/v1/{self.deployment.name}/{path}"
        headers = {"authorization": f"Bearer {name}"} | given.pop("headers", {})
        address = self.gateways[gateway].address
        return await self._client.request(method, address + path, headers=headers, **given)

    async def fetch(self, name, gateway, prediction_id):
        """Fetch an answer by its id."""
        return await self.call(name, gateway, "GET", f"predictions/{prediction_id}")

    def prediction(self, reply):
        """Return a reply's message as JSON."""
        return as_json(self.output.FromString(reply.content))

    async def restart(self):
        """Kill both gateways and start them again."""
        for gateway in self.gateways.values():
            gateway.kill()
        await asyncio.gather(*(gateway.start() for gateway in self.gateways.values()))


@asynccontextmanager
async def callers(deployment, *options):
    """Start the two gateways, and yield their callers."""
    tokens = deployment.folder / "tokens.toml"
    digests = {name: sha256(name.encode()).hexdigest() for name in ROLES}
    tokens.write_text(
        "".join(
            f'[[token]]\nname = "{name}"\nsha256 = "{digests[name]}"\nroles = ["{ROLES[name]}"]\n' for name in ROLES
        )
    )
    async with AsyncExitStack() as exits:
        gateways = {}
        for name in ("g1", "g2"):
            gateways[name] = await Gateway(deployment, name, "--tokens", str(tokens), *options).start()
            exits.callback(gateways[name].kill)
        client = await exits.enter_async_context(httpx.AsyncClient(timeout=60))
        yield Callers(deployment, gateways, client)


async def test_each_caller_fetches_its_own_answers_at_any_gateway_and_nobody_elses(deployment):
    await deployment.serve("iris_gbm")
    async with callers(deployment) as they:
        same = {"headers": {"request-id": "the-same", "prediction-token": FORGED}}
        alices = (await they.call("alice", "g1", "POST", "predict", json=ROW, **same)).json()
        bobs = (await they.call("bob", "g2", "POST", "predict", json=OTHER, **same)).json()
        table = (await they.call("alice", "g1", "POST", "predict", json=[ROW, OTHER, ROW], **same)).json()
        kind = {"content-type": "application/x-protobuf"}
        bad = (await they.call("alice", "g1", "POST", "predict", content=b"\xff", headers=kind)).json()
        assert alices["prediction"] != bobs["prediction"]
        await they.restart()

        for gateway in ("g1", "g2"):
            for one in (alices, bobs, *table["predictions"]):
                reply = await they.fetch("alice", gateway, one["prediction_id"])
                assert (they.prediction(reply), reply.headers["hotswap-source"]) == (one["prediction"], one["source"])
            refused = await they.fetch("alice", gateway, bad["prediction_id"])
            assert (refused.status_code, refused.json()["code"]) == (422, "UNDECODABLE")
            assert (await they.fetch("carol", gateway, alices["prediction_id"])).status_code == 403

        place = "/".join(alices["source"].rsplit("-", 2)[1:])
        refused, shown = [await they.call(name, "g2", "GET", f"predictions/{place}") for name in ("bob", "carol")]
        assert (refused.status_code, "prediction_id" in refused.json()["detail"]) == (403, True)
        assert (shown.status_code, they.prediction(shown)) == (200, alices["prediction"])

        nothing = await they.fetch("bob", "g1", f"{FORGED}-0-{10**12}")
        assert nothing.status_code == 404
        topics = deployment.settings.topics
        answers = [read(deployment.kafka.bootstrap, topic) for topic in (topics.predictions, topics.dead_letters)]
        for partition, offset in map(source, [*answers[0], *answers[1]]):
            for token in (FORGED, bobs["prediction_id"].partition("-")[0], "the-same"):
                if (guess := f"{token}-{partition}-{offset}") != bobs["prediction_id"]:
                    reply = await they.fetch("bob", "g1", guess)
                    assert (reply.status_code, reply.content) == (404, nothing.content), guess
    headers = [value for message in (*answers[0], *answers[1]) for name, value in message.headers() if "token" in name]
    assert len(headers) == len(answers[0]) + len(answers[1]) == 6  # one in each
    assert FORGED.encode() not in headers


async def test_what_is_answered_late_is_fetched_by_its_id_at_the_other_gateway(deployment):
    await deployment.serve("iris_gbm")
    async with callers(deployment, "--timeout", "2") as they, deployment.client() as other:
        in_time = (await they.call("alice", "g1", "POST", "predict", json=ROW)).json()["prediction"]
        await other.await_swap(await other.pause())
        late = await they.call("alice", "g1", "POST", "predict", json=[OTHER, ROW])
        assert late.status_code == 504
        ids = late.json()["prediction_ids"]
        early = [await they.fetch("alice", "g2", one) for one in ids]
        assert [(reply.status_code, reply.headers["retry-after"]) for reply in early] == [(404, "1")] * 2
        await they.restart()
        await other.await_swap(await other.resume())
        await deployment.drained()
        fetched = [await they.fetch("alice", "g2", one) for one in ids]
        assert [reply.headers["hotswap-source"] for reply in fetched] == late.json()["sources"]
        assert they.prediction(fetched[1]) == in_time


REDIRECTED = {"/console": "/console/", "/v1/": "/v1", "/login/": "/login", "/model/": "/model"}
TARGETS = ("//evil.example/", "//evil.example", "/\\evil.example/", "http://evil.example", "/%2F/evil.example/")
FORWARDED = ("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: host=evil.example")
HOSTS = ["evil.example", "localhost:1@evil.example", "evil.example/x?y", "[::1", "", "localhost\r\nHost: evil.example"]


async def test_no_redirect_of_a_gateway_leads_to_the_host_that_a_call_names(deployment):
    async with callers(deployment) as they:

        async def location(target, host, *headers):
            reader, writer = await asyncio.open_connection("127.0.0.1", they.gateways["g1"].port)
            head = [f"GET {target} HTTP/1.1", f"Host: {host}", *FORWARDED, *headers, "Connection: close", "", ""]
            writer.write("\r\n".join(head).encode())
            said = (await reader.read()).decode()
            writer.close()
            await writer.wait_closed()
            status, found = int(said.split()[1]), re.search(r"(?im)^location: (.*?)\r$", said)
            assert status < 500, said
            assert "evil" not in said.partition("\r\n\r\n")[0]
            return found and found[1]

        for host in HOSTS:
            for path, to in REDIRECTED.items():
                assert await location(path, host) == to
                assert await location(f"http://evil.example{path}", host) == to
            assert await location("/console/", host, "Accept: text/html") == "/login?to=%2Fconsole%2F"
            for target in TARGETS:
                found = await location(target, host)
                assert found is None or re.match(r"/(?![/\\])", found), target
