"""The pages of the console over logs in memory: what they show, and what a browser is told not to do."""

import asyncio
import json
from http import HTTPStatus

import pytest

from fakes.later import of_unknown_kind
from hotswap.gateway.problems import Problem
from hotswap.swap.command import VERSION

SCRIPT = "<script>alert(1)</script>"


async def test_the_fleet_shows_each_deployment_with_what_serves_and_its_workers(console, cluster):
    async with console() as browser:
        reply = await browser.see("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    for said in ("generation 1 on 2 partitions", 'href="/d/d"', "w1", "serving", "Answers", "Lag"):
        assert said in reply.text


async def test_a_console_that_is_too_old_for_the_control_log_says_so(console, cluster, settings):
    async with console() as browser:
        cluster.append(settings.topics.control, of_unknown_kind())
        await browser.deployment._until(lambda: not browser.deployment.is_serving, 20)
        text = (await browser.see("/d/d")).text
    assert "this reader cannot follow the control log: offset 1 of the control topic" in text
    assert f"needs version {VERSION + 1}" in text


async def test_it_is_the_same_at_the_root_and_below_console(console):
    async with console() as browser:
        reply = await browser.see("/console/")
        assert 'href="/console/d/d"' in reply.text
        assert (await browser.get("/console/static/console.js")).status_code == 200
        assert (await browser.get("/static/console.css")).status_code == 200


async def test_every_reply_forbids_scripts_frames_and_styles_that_are_not_ours(console):
    async with console() as browser:
        for path in ("/", "/static/console.js", "/nowhere"):
            headers = (await browser.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"


async def test_a_script_in_a_models_or_workers_name_stays_text(console, cluster, settings):
    async with console(model=SCRIPT) as browser:
        cluster.worker.name = f"w{SCRIPT}"
        cluster.worker.speak(generation=1, model_name=SCRIPT, partitions={0: SCRIPT}, machine={SCRIPT: "\u202eevil"})
        text = (await browser.see("/")).text
    assert SCRIPT not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\u202e" not in text
    assert r"\u202eevil" in text


def stream_of(browser, admit):
    """Follow the stream of the fleet, without a client between; return its task, and the queue of what it sends."""
    sent = asyncio.Queue()
    scope = {
        "type": "http", "method": "GET", "path": "/live", "raw_path": b"/live", "query_string": b"", "headers": [],
        "root_path": "", "scheme": "http", "server": ("localhost", 80), "client": None, "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.4"}, "admit": admit,
    }  # fmt: skip
    return asyncio.create_task(browser.console(scope, asyncio.Queue().get, sent.put)), sent


async def test_the_stream_sends_what_has_changed_and_ends_with_the_console(console, cluster):
    async with console() as browser:
        await browser.see("/")
        streaming, sent = stream_of(browser, lambda: None)
        assert dict((await sent.get())["headers"])[b"content-type"].startswith(b"text/event-stream")
        first = json.loads((await sent.get())["body"].removeprefix(b"data: "))
        assert "serving" in first["state-0"]
        cluster.worker.speak(generation=1, partitions={0: "the host is late"})
        while b"holds" not in (await sent.get())["body"]:
            assert not streaming.done()
        await browser.console.close()
        await asyncio.wait_for(streaming, 20)


async def test_the_stream_ends_once_its_caller_may_see_no_page_any_more(console, cluster):
    known = True

    def admit():
        if not known:
            raise Problem(HTTPStatus.UNAUTHORIZED, "the token is not known here")

    async with console() as browser:
        await browser.see("/")
        streaming, sent = stream_of(browser, admit)
        while b"serving" not in (await sent.get()).get("body", b""):
            assert not streaming.done()
        known = False
        cluster.worker.speak(generation=1, partitions={0: "a secret"})
        await asyncio.wait_for(streaming, 20)
        assert not any(b"secret" in sent.get_nowait().get("body", b"") for _ in range(sent.qsize()))


async def test_what_is_not_there_is_a_page_that_says_so(console):
    async with console() as browser:
        reply = await browser.get("/d/nobody")
    assert reply.status_code == 404
    assert "text/html" in reply.headers["content-type"]


async def test_a_kafka_that_cannot_be_reached_is_told_on_the_page(console, cluster):
    async with console() as browser:
        del cluster.topics["d.requests"]
        reply = await browser.see("/")
    assert reply.status_code == 200
    assert "topic d.requests does not exist" in reply.text
    assert "cannot be read" in reply.text


@pytest.mark.parametrize("host", ["evil.example", ""])
async def test_only_this_machine_is_answered(console, host):
    async with console() as browser:
        assert (await browser.get("/", headers={"host": host})).status_code == 403


@pytest.mark.parametrize("number", ["x", "-1", "9" * 5_000, "\u0663"])
async def test_a_number_in_an_address_or_a_form_that_is_none_is_told(console, number):
    async with console() as browser:
        await browser.see("/d/d")
        assert (await browser.submit("/d/d/rollback", {"to": number})).status_code == 400
        for place in (f"{number}/0", f"0/{number}"):
            assert (await browser.get(f"/d/d/dead-letters/{place}")).status_code == 404, place
        fields = {"since": "1h", "since_ms": number, "before": "0-1", "count": "1"}
        assert (await browser.submit("/d/d/dead-letters/replay", fields)).status_code == 400


async def test_a_deployment_that_the_console_has_not_is_told_with_those_that_it_has(console):
    async with console() as browser:
        reply = await browser.see("/d/e")
    assert reply.status_code == 404
    assert "this console has no deployment &#39;e&#39;: it has d" in reply.text
