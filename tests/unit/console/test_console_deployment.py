"""A deployment's page over logs in memory: what it shows, a row typed by hand, the way back, and what it refuses."""

import pytest

from fakes.answering import answer_requests
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.generation import Model

SCRIPT = "<script>alert(1)</script>"
FORMS = ("score", "rollback", "pause", "resume")


async def test_it_shows_partitions_swaps_and_the_proto_as_text(console):
    async with console() as browser:
        text = (await browser.see("/d/d")).text
    for said in (
        "swap to 1: model m, proto",
        "Partitions of w1",
        "message Row",
        'data-live="/d/d/live"',
        "load 500 ms",
    ):
        assert said in text
    assert "<script>alert(" not in text
    assert "// &lt;script&gt;alert(&#34;a comment&#34;)" in text


async def test_a_row_typed_by_hand_is_a_request_and_its_answer_is_shown(console, cluster, settings):
    answer_requests(cluster, settings, generation=1)
    async with console() as browser:
        page = await browser.see("/d/d?operation=one")
        assert 'name="field-age"' in page.text
        reply = await browser.submit("/d/d/score", {"operation": "one", "field-age": "4", "field-name": f"a,{SCRIPT}"})
    assert reply.status_code == 200
    assert "Answered by generation 1" in reply.text
    assert SCRIPT not in reply.text
    assert "hotswap predict d row.csv --operation one" in reply.text
    assert sum(map(len, cluster.topics["d.requests"])) == 1


@pytest.mark.parametrize(
    ("typed", "why"),
    [({"field-age": "x"}, "row 1, column age: &#39;x&#39; is not a number"), ({}, "type one at least")],
)
async def test_a_row_that_does_not_fit_says_which_column_and_keeps_what_was_typed(console, cluster, typed, why):
    async with console() as browser:
        await browser.see("/d/d")
        reply = await browser.submit("/d/d/score", {"operation": "one", **typed})
    assert why in reply.text
    assert not typed or 'value="x"' in reply.text
    assert not any(cluster.topics["d.requests"])


async def test_a_refusal_of_the_fleet_is_shown_with_its_code(console, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda _: True, why=SCRIPT)
    async with console() as browser:
        await browser.see("/d/d")
        reply = await browser.submit("/d/d/score", {"operation": "one", "field-age": "4"})
    assert "UNDECODABLE: &lt;script&gt;" in reply.text
    assert SCRIPT not in reply.text


async def test_a_roll_back_is_published_and_leads_to_the_timeline(console, cluster, settings):
    async with console() as browser:
        async with Client(settings) as client:
            await client.swap(Change(model=Model("file:///n", "b" * 64, name="n")))
        assert "Roll back" in (await browser.see("/d/d")).text
        reply = await browser.submit("/d/d/rollback", {"to": "1"})
        assert (reply.status_code, reply.headers["location"]) == (303, "/d/d#swaps")
        for command in ("pause", "resume"):
            assert (await browser.submit(f"/d/d/{command}")).status_code == 303
    assert len(cluster.topics["d.control"][0]) == 5


async def test_a_failed_swap_is_history_with_its_reasons_folded_and_the_actions_above(console, cluster, settings):
    async with console() as browser:
        worker = cluster.worker
        worker.outcomes, worker.code, worker.message = ("FAILED",), "SCHEMA_MISMATCH", f"no fit:\none\n{SCRIPT}"
        async with Client(settings) as client:
            receipt = await client.swap(Change(model=Model("file:///n", "b" * 64, name="n")))
        await browser.console._shared.watch.sees("d", receipt.command_id)
        text = (await browser.see("/d/d")).text
    assert ("needs attention" in text, "Problem:" in text, SCRIPT in text) == (False, False, False)
    assert "SCHEMA_MISMATCH: no fit:<details" in text
    assert "<summary>2 more lines</summary>" in text
    places = [text.index(words) for words in ("<dt>Serves", "Roll back…", "Pause…", 'id="timeline"', 'id="picture"')]
    assert places == sorted(places)


async def test_a_pause_leads_to_a_page_that_shows_it(console):
    async with console() as browser:
        await browser.see("/d/d")
        await browser.submit("/d/d/pause")
        text = (await browser.see("/d/d")).text
    assert "Newest: pause" in text
    assert "<b>Paused:</b>" in text


async def test_a_command_that_is_refused_says_why(console):
    async with console() as browser:
        await browser.see("/d/d")
        reply = await browser.submit("/d/d/rollback", {"to": "7"})
    assert reply.status_code == 422
    assert "generation 7 was never accepted here" in reply.text


@pytest.mark.parametrize("form", FORMS)
async def test_a_console_that_only_shows_refuses_every_form(console, cluster, form):
    async with console(is_changing=False) as browser:
        page = await browser.see("/d/d")
        assert "read-only" in page.text
        reply = await browser.submit(f"/d/d/{form}", {"field-age": "4", "operation": "one"})
    assert reply.status_code == 403
    assert "--allow-changes" in reply.text
    assert len(cluster.topics["d.control"][0]) == 1
    assert not any(cluster.topics["d.requests"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("token", ["", "forged"])
async def test_a_form_without_the_token_of_its_page_is_refused(console, cluster, form, token):
    async with console() as browser:
        await browser.see("/d/d")
        reply = await browser.submit(f"/d/d/{form}", {"field-age": "4", "operation": "one"}, token=token)
        assert reply.status_code == 403
        browser.cookies.clear()
        assert (await browser.submit(f"/d/d/{form}")).status_code == 403
    assert len(cluster.topics["d.control"][0]) == 1
    assert not any(cluster.topics["d.requests"])


async def test_a_form_of_another_site_is_refused(console, cluster):
    async with console() as browser:
        await browser.see("/d/d")
        browser.headers["origin"] = "http://evil.example"
        assert (await browser.submit("/d/d/pause")).status_code == 403
    assert len(cluster.topics["d.control"][0]) == 1


async def test_without_a_generation_the_page_says_what_to_do(console):
    async with console(proto=None) as browser:
        reply = await browser.see("/d/d")
    assert reply.status_code == 200
    assert "Nothing serves yet" in reply.text


async def test_the_badge_and_the_lag_say_what_status_exits_with_1_for(console, cluster, settings):
    async with console() as browser:
        cluster.append(settings.topics.requests, b"", partition=0)
        cluster.topics[settings.topics.requests][0][0].timestamp -= 7_300_000
        cluster.worker.speak(generation=1, model_name="m", loaded=[1], partitions={1: ""})
        text = (await browser.see("/d/d")).text
    assert "needs attention" in text
    assert "no live worker has partition 0, where 1 requests wait" in text
    assert "1, oldest 2 h" in text
