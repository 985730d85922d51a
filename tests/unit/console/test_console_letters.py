"""Dead letters in the console, over logs in memory: what is shown of them, and how many are replayed."""

import re
from itertools import count

import pytest

from hotswap.codec.proto import compile as compile_proto

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def refuse(cluster, proto_text):
    """Return what adds a dead letter, each a millisecond later than the one before."""
    ticks = count()

    def add(value=b"", *, code="UNDECODABLE", message="is no message", headers=(), partition=0):
        at = len(cluster.topics["d.dead-letters"][partition])
        ours = [("source", f"d.requests-{partition}-{at}"), ("code", code), ("message", message), ("generation", "1")]
        told = [*headers, *((name, text.encode()) for name, text in ours)]
        cluster.append("d.dead-letters", value, key=b"k", headers=told, partition=partition)
        cluster.topics["d.dead-letters"][partition][at].timestamp += next(ticks)

    return add


def replayed(cluster):
    return [record for records in cluster.topics["d.requests"] for record in records]


async def test_they_are_listed_by_code_the_newest_first_and_stay_text(console, refuse):
    refuse(message=SCRIPT)
    refuse(code="EXPIRED", message="came too late", partition=1)
    async with console() as browser:
        text = (await browser.see("/d/d/dead-letters")).text
        assert SCRIPT not in text
        assert text.index("came too late") < text.index("&lt;script&gt;alert(1)")
        text = (await browser.see("/d/d/dead-letters?code=EXPIRED&since=1h")).text
        assert "came too late" in text
        assert "&lt;script&gt;alert(1)" not in text
        assert "hotswap dead-letters d --code EXPIRED --since 1h" in text
        assert (await browser.get("/d/d/dead-letters?since=ever")).status_code == 400


async def test_older_ones_are_on_the_next_page(console, refuse, monkeypatch):
    monkeypatch.setattr("hotswap.console.letters._ON_A_PAGE", 2)
    for number in range(5):
        refuse(message=f"reason {number}")
    async with console() as browser:
        text = (await browser.see("/d/d/dead-letters")).text
        seen = re.findall(r"reason \d", text)
        while older := re.search(r'href="([^"]*before=[^"]*)">Older', text):
            text = (await browser.see(older[1].replace("&amp;", "&"))).text
            seen += re.findall(r"reason \d", text)
    assert seen == [f"reason {number}" for number in (4, 3, 2, 1, 0)]


async def test_one_shows_its_fields_headers_and_bytes_as_text(console, refuse, proto_text):
    row = compile_proto(proto_text.encode()).operations["one"].input(age=4, name=SCRIPT)
    refuse(row.SerializeToString(), headers=[("operation", b"one"), (SCRIPT, b"\xff\x00"), ("x", SCRIPT.encode())])
    async with console() as browser:
        text = (await browser.see("/d/d/dead-letters/0/0")).text
        assert SCRIPT not in text
        for said in (
            "4.0",
            "0xff00",
            "&lt;script&gt;alert(1)",
            "3c 73 63 72",
            "UNDECODABLE",
            "Publish 1 request again",
        ):
            assert said in text, said
        assert (await browser.get("/d/d/dead-letters/0/9")).status_code == 404


async def test_one_is_replayed_with_its_bytes_key_and_headers(console, cluster, refuse):
    refuse(b"\xff", headers=[("operation", b"one")])
    async with console() as browser:
        await browser.see("/d/d/dead-letters/0/0")
        reply = await browser.submit("/d/d/dead-letters/0/0")
    assert "Published again as d.requests-" in reply.text
    (record,) = replayed(cluster)
    assert (record.value, record.key) == (b"\xff", b"k")
    assert dict(record.headers) == {"operation": b"one", "replay-of": b"d.requests-0-0"}


async def test_as_many_are_replayed_as_were_counted_and_none_that_came_since(console, cluster, refuse):
    for number in range(3):
        refuse(bytes([number]))
    refuse(code="EXPIRED")
    refuse(None, code="TOO_LARGE")
    async with console() as browser:
        page = await browser.see("/d/d/dead-letters/replay?code=UNDECODABLE&since=1h")
        assert "Publish 3 requests again" in page.text
        refuse(b"later")
        refuse(b"later", partition=1)
        fields = dict(re.findall(r'name="(code|since|since_ms|before|count)" value="([^"]*)"', page.text))
        reply = await browser.submit("/d/d/dead-letters/replay", fields)
        assert "3 requests were published again" in reply.text
        assert sorted(record.value for record in replayed(cluster)) == [b"\x00", b"\x01", b"\x02"]
        reply = await browser.submit("/d/d/dead-letters/replay", fields | {"count": "2"})
        assert reply.status_code == 409
    assert len(replayed(cluster)) == 3


async def test_too_many_are_left_to_the_command(console, refuse, monkeypatch):
    monkeypatch.setattr("hotswap.console.letters._MOST", 2)
    for _ in range(3):
        refuse()
    async with console() as browser:
        page = await browser.see("/d/d/dead-letters/replay")
    assert "There are more than 2" in page.text
    assert "hotswap dead-letters d --replay" in page.text


async def test_what_has_no_value_is_not_replayed(console, cluster, refuse):
    refuse(None, code="TOO_LARGE")
    async with console() as browser:
        page = await browser.see("/d/d/dead-letters/0/0")
        assert "Its value was not kept" in page.text
        assert (await browser.see("/d/d/dead-letters/replay")).text.count("There is none whose value was kept") == 1
        await browser.see("/d/d")
        assert (await browser.submit("/d/d/dead-letters/0/0")).status_code == 409
    assert replayed(cluster) == []


@pytest.mark.parametrize("form", ["0/0", "replay"])
async def test_replays_are_refused_where_it_only_shows_and_without_the_token(console, cluster, refuse, form):
    refuse()
    fields = {"before": "0-1", "count": "1"}
    async with console(is_changing=False) as browser:
        await browser.see("/d/d")
        assert (await browser.submit(f"/d/d/dead-letters/{form}", fields)).status_code == 403
    cluster.topics["d.control"][0].clear()
    async with console() as browser:
        await browser.see("/d/d")
        assert (await browser.submit(f"/d/d/dead-letters/{form}", fields, token="forged")).status_code == 403
    assert replayed(cluster) == []


async def test_the_token_of_the_caller_who_was_refused_is_neither_shown_nor_published_again(console, refuse, cluster):
    refuse(b"\x09", headers=[("prediction-token", b"5e5a" * 8), ("request-id", b"r1")])
    async with console() as browser:
        shown = await browser.see("/d/d/dead-letters/0/0")
        assert ("request-id" in shown.text, "prediction-token" in shown.text, "5e5a" * 8 in shown.text) == (
            True,
            False,
            False,
        )
        assert (await browser.submit("/d/d/dead-letters/0/0")).status_code == 200
    (again,) = replayed(cluster)
    assert [name for name, _ in again.headers] == ["request-id", "replay-of"]
