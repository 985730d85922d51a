"""What callers of a gateway can try: answers that are other callers', and redirects to a host of theirs."""

import asyncio
import re
from collections import Counter
from contextlib import asynccontextmanager
from hashlib import sha256

import httpx

from harness.calls import Gateway

_CALLS = 20
_FORGED = "0" * 32
_ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
_ROLES = {"alice": "predict", "mallory": "predict"}
_PATHS = (
    "/console",
    "/v1/",
    "/model/",
    "/console/d/x/",
    "//evil.example/",
    "/%2F/evil.example/",
    "http://evil.example/v1/",
)
_HOSTS = ("evil.example", "localhost@evil.example", "evil.example/x?y", "localhost\r\nHost: evil.example")
_FORWARDED = ("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: host=evil.example")


async def answers_of_others(stage):
    """The answers to another caller's requests, by their places and by guessed ids."""
    async with _gateway(stage) as gateway, httpx.AsyncClient(base_url=gateway.address, timeout=60) as client:
        below = f"/v1/{stage.deployment.name}"

        async def call(name, method, path, **given):
            headers = {"authorization": f"Bearer {name}", "request-id": _FORGED, "prediction-token": _FORGED}
            return await client.request(method, f"{below}/{path}", headers=headers, **given)

        made = {}
        for name in _ROLES:
            replies = [await call(name, "POST", "predict", json=_ROW) for _ in range(_CALLS)]
            made[name] = [reply.json() for reply in replies]
        places = [tuple(one["source"].rsplit("-", 2)[1:]) for one in made["alice"]]
        taken = [await call("mallory", "GET", "predictions/" + "/".join(place)) for place in places]
        mine = [one.get("prediction_id", f"{_FORGED}-0-0") for one in made["mallory"]]
        guessed = [
            await call("mallory", "GET", f"predictions/{token}-{'-'.join(place)}")
            for place in places
            for token in (_FORGED, mine[0].partition("-")[0], "request-id")
        ]
        nothing = await call("mallory", "GET", f"predictions/{_FORGED}-0-{10**15}")
        own = [await call("mallory", "GET", f"predictions/{one}") for one in mine]
    kinds = {(reply.status_code, reply.content) for reply in [*guessed, nothing]}
    seen = (
        f"by place: {_count(taken)}; {len(guessed)} guesses: {_count(guessed)}, {len(kinds)} kinds; own: {_count(own)}"
    )
    is_held = {reply.status_code for reply in taken} == {403} and kinds == {(404, nothing.content)}
    return seen, is_held and {reply.status_code for reply in own} == {200}


async def hosts_of_others(stage):
    """Redirects to the host that a call names."""
    async with _gateway(stage) as gateway:
        said = [await _location(gateway.port, path, host) for path in _PATHS for host in _HOSTS]
    led = [
        found for found in said if found and ("evil" in found.partition("?")[0] or not re.match(r"/(?![/\\])", found))
    ]
    seen = f"{len(said)} calls: {sum(map(bool, said))} redirects, {len(led)} to another host"
    return seen + (f" ({led[0]})" if led else ""), not led


def _count(replies):
    counts = Counter(reply.status_code for reply in replies)
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))


@asynccontextmanager
async def _gateway(stage):
    """Start a gateway of the checkout, for callers whose tokens are their names."""
    tokens = stage.folder / "tokens.toml"
    digests = {name: sha256(name.encode()).hexdigest() for name in _ROLES}
    entry = '[[token]]\nname = "{}"\nsha256 = "{}"\nroles = ["{}"]\n'
    tokens.write_text("".join(entry.format(name, digests[name], _ROLES[name]) for name in _ROLES))
    gateway = await Gateway(stage.deployment, "gateway", "--tokens", str(tokens), code=stage.code).start()
    try:
        # Checkouts before this one say that they have started before they listen.
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=9)) as client:
            await client.get(f"{gateway.address}/livez")
        yield gateway
    finally:
        gateway.kill()


async def _location(port, path, host):
    """Return the Location of a reply, if there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *_FORWARDED, "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    found = re.search(rb"(?im)^location: (.*?)\r$", await reader.read())
    writer.close()
    await writer.wait_closed()
    return found and found[1].decode()
