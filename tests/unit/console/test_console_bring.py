"""A model is brought in over logs in memory: what is said of it, its proto, the comparison, the plan, the swap."""

import asyncio
import functools
import html
import io
import re
import zipfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Proto
from hotswap.packages.onboarding import Onboarded
from hotswap.v1 import control_pb2 as wire

SCRIPT = "<script>alert(1)</script>"
NAME = "<img src=x onerror=alert(1)>"
JAR = ("model", (f"{NAME}.jar", b"PK"))
DRAFT = """syntax = "proto3";
// <script>alert(2)</script>
message Row { optional double age = 1; optional string name = 2; }
message Frame { repeated Row rows = 1; }
service Echo { rpc echo(Frame) returns (Frame); rpc one(Row) returns (Row); }
"""


def mojo(content=""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.ini", content)
    return ("churn.zip", file.getvalue())


@pytest.fixture
def hosts(monkeypatch):
    """Stand in for model hosts: each echoes, the one of the model that is brought in adds a year to nobody's age."""
    made = SimpleNamespace(fault=None, loaded=[])

    @asynccontextmanager
    async def own_host(settings, model, kind, proto, configuration):
        made.loaded.append(model)
        if made.fault and isinstance(model, Path):
            raise made.fault

        async def score(values, asks):
            return [value.replace(b"a", b"z") if isinstance(model, Path) else value for value in values]

        yield SimpleNamespace(score=score), SimpleNamespace(reads={"echo": {"age": ["1", "2"]}}, fields={})

    async def onboard(settings, wish):
        content = SimpleNamespace(
            about=f"{wish.name}, a forest", proto=Proto.inline(DRAFT), configuration=wish.configuration
        )
        return Onboarded(content, [f"column {SCRIPT} is called x in the proto"])

    monkeypatch.setattr("hotswap.console.trial.own_host", own_host)
    monkeypatch.setattr("hotswap.console.drafts.onboard", onboard)
    return made


async def bring(browser, *files, fields=()):
    """Bring a model in, and return the page of its draft, and its address."""
    await browser.see("/d/d/bring")
    reply = await browser.submit("/d/d/bring", fields, dict(files))
    assert reply.status_code == 303, reply.text
    return await browser.see(reply.headers["location"]), reply.headers["location"]


async def test_a_mojo_is_told_with_its_draft_the_difference_and_both_predictions(console, hosts):
    async with console() as browser:
        sample = ("sample", ("rows.csv", b"age,name\n1,a\n2,b\n"))
        page, _ = await bring(browser, ("model", mojo()), sample)
        text = page.text
        for said in (
            "churn, a forest", "fits its proto", "optional double age = 1", "minor step", "optional", "differs",
            "rows.name",
        ):  # fmt: skip
            assert said in text, said
        assert [type(model).__name__ for model in hosts.loaded] == ["PosixPath", "Model"]
        assert "<script>alert(" not in text


async def test_an_error_in_the_proto_is_shown_at_its_line_and_nothing_is_swapped(console, cluster, hosts):
    async with console() as browser:
        _, at = await bring(browser, ("model", mojo()))
        for path in (at, f"{at}/swap"):
            page = await browser.submit(path, {"proto": DRAFT.replace("optional double", "optional duoble")})
            assert page.status_code == 422
            assert "model.proto:3:" in page.text
            assert re.search(r'<span class="wrong">message Row .*duoble.*←', page.text)
    assert len(cluster.topics["d.control"][0]) == 1


async def test_a_model_that_does_not_fit_says_why_and_is_not_swapped(console, cluster, hosts):
    hosts.fault = SwapError(SwapCode.SCHEMA_MISMATCH, f"no column {SCRIPT}")
    async with console() as browser:
        page, at = await bring(browser, ("model", mojo()))
        assert "Model and proto do not fit" in page.text
        assert f"{at}/swap" not in page.text
        assert (await browser.submit(f"{at}/swap", {"proto": DRAFT})).status_code == 200
    assert len(cluster.topics["d.control"][0]) == 1


async def test_the_swap_carries_what_was_edited_and_the_draft_is_gone(console, cluster, hosts):
    async with console() as browser:
        sample = ("sample", ("rows.json", b'[{"age": 1, "name": "a"}]'))
        _, at = await bring(browser, ("model", mojo()), sample)
        edited = DRAFT.replace("\n", "\r\n") + "// mine"
        reply = await browser.submit(f"{at}/swap", {"proto": edited})
        assert (reply.status_code, reply.headers["location"]) == (303, "/d/d#swaps")
        assert (await browser.get(at)).status_code == 410
    swap = wire.Command.FromString(cluster.topics["d.control"][0][-1].value).swap
    assert (swap.generation, swap.model.name, swap.model.kind) == (2, "churn", "h2o")
    assert swap.proto.text == DRAFT + "// mine"
    assert len(swap.samples) == 1


def plan_in(page):
    """Return the text of a page's plan, without tags; empty: it has none."""
    found = re.search('<section class="card" id="plan".*?</section>', page.text, re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", found[0])).split()) if found else ""


async def test_the_plan_is_told_before_the_swap_and_nothing_is_written_or_loaded_for_it(
    console, cluster, settings, hosts, tmp_path
):
    async with console() as browser:
        cluster.worker.speak(generation=1, model_name="m", loaded=[1], partitions={0: "", 1: ""}, contract=2)
        for partition in (0, 1, 1, 1):
            cluster.append(settings.topics.requests, b"", partition=partition)
        page, at = await bring(browser, ("model", mojo()))
        loaded, told = len(hosts.loaded), plan_in(page)
        for said in (
            "Plan: generation 2 of d can be swapped in", "Serves now generation 1", "Changes model, proto",
            "Proto minor step from the serving one", "Workers each live one (1) can load models of kind h2o",
            "Course in one step, at once",
        ):  # fmt: skip
            assert said in told, said
        assert ("Loaded here" in told, "the canary has" in told) == (False, False)
        page = await browser.submit(at, {"proto": DRAFT, "canary": " 1/2 "})
        assert "the canary has 1 of 2 partitions (0): 25.0% of the requests of the last hour" in plan_in(page)
        assert "promoted on partition 0 once all are ready (1 of 2)" in plan_in(page)
        assert 'value="1/2"' in page.text
        assert f"{at}/swap" in page.text
        assert page.text.count("--proto MODEL.proto --canary 1/2") == 1
        assert len(hosts.loaded) == 2 * loaded, "the trial has loaded it, and the plan does not"
        page = await browser.submit(at, {"proto": DRAFT.replace("double age", "double years"), "canary": ""})
        assert "Proto major step from the serving one, and it would misread requests of that" in plan_in(page)
        assert "Course staged on all live workers (1) first promoted on all partitions once" in plan_in(page)
    assert len(cluster.topics["d.control"][0]) == 1
    assert not (tmp_path / "store").exists()


async def test_each_reason_against_the_swap_is_told_in_place_of_its_button(console, cluster, hosts):
    async with console(proto=DRAFT) as browser:
        speak = functools.partial(cluster.worker.speak, generation=1, model_name="m", loaded=[1], contract=2)
        speak(kinds={"h2o": "no Java <b>here"})
        _, at = await bring(browser, ("model", mojo()))
        for canary, reasons in (("1/3", ("1/3 of 2 partitions is no", "no Java <b>here")), ("half", ("not 'half'",))):
            page = await browser.submit(at, {"proto": DRAFT, "canary": canary})
            assert [reason in plan_in(page) for reason in reasons] == [True] * len(reasons)
            assert "cannot be swapped in" in plan_in(page)
            assert ("<b>here" in page.text, f"{at}/swap" in page.text) == (False, False)
            assert f'value="{canary}"' in page.text
        speak(kinds={"h2o": ""})
        page = await browser.submit(at, {"proto": DRAFT, "canary": ""})
        assert ("can be swapped in" in plan_in(page), f"{at}/swap" in page.text) == (True, True)
        topics = cluster.topics.copy()
        del cluster.topics["d.requests"]
        page = await browser.see(at)
        assert (page.status_code, f"{at}/swap" in page.text) == (200, False)
        assert "Against it: topic d.requests does not exist" in plan_in(page)
        cluster.topics |= topics


async def test_a_draft_that_does_not_fit_has_no_plan(console, hosts):
    hosts.fault = SwapError(SwapCode.SCHEMA_MISMATCH, "no column")
    async with console() as browser:
        page, at = await bring(browser, ("model", mojo()))
        assert plan_in(page) == ""
        assert plan_in(await browser.submit(at, {"proto": DRAFT.replace("double", "duoble")})) == ""


async def test_a_canary_is_promoted_in_the_background_and_then_wholly_or_abandoned(console, cluster, hosts):
    for partition in (0, 1):
        cluster.append("d.requests", b"", partition=partition)
    async with console(proto=DRAFT) as browser:
        cluster.worker.speak(generation=1, model_name="m", loaded=[1], partitions={0: "", 1: ""}, contract=2)
        for ended, scored in (("abandon", {0: 3, 1: 1}), ("promote", {0: 4, 1: 4})):
            _, at = await bring(browser, ("model", mojo()))
            refused = await browser.submit(f"{at}/swap", {"proto": DRAFT, "canary": "a quarter"})
            assert (refused.status_code, "a part of all partitions" in refused.text) == (400, True)
            reply = await browser.submit(f"{at}/swap", {"proto": DRAFT, "canary": "1/2"})
            assert reply.status_code == 303, reply.text
            async with asyncio.timeout(10):
                while not {2, 4} & set(cluster.scored.values()):
                    await asyncio.sleep(0.005)
            canary = rf">{2 if ended == 'abandon' else 4}</th><td>churn</td><td>promoted on partition (\d) of 2</td>"
            async with asyncio.timeout(10):
                while not re.search(rf"{canary}<td>\1</td><td>50 %</td>", (await browser.see("/d/d")).text):
                    await asyncio.sleep(0.005)
            assert "hotswap promote d" in (await browser.see("/d/d")).text
            assert (await browser.submit(f"/d/d/{ended}")).status_code == 303
            assert cluster.scored == scored
            page = await browser.see("/d/d")
            assert "hotswap promote d" not in page.text
            assert ("<td>serves in place of 2</td>" in page.text) is (ended == "abandon")


async def test_the_serving_proto_can_be_taken_and_the_draft_again(console, hosts):
    async with console() as browser:
        _, at = await bring(browser, ("model", mojo()))
        page = await browser.submit(at, {"proto": "", "begin": "serving"})
        assert "Not a line differs" in page.text
        assert "Begin from the draft" in page.text
        page = await browser.submit(at, {"proto": "", "begin": "draft"})
        assert "minor step" in page.text


async def test_a_jar_is_not_run_here_and_can_be_swapped_all_the_same(console, cluster, hosts):
    async with console() as browser:
        page, at = await bring(browser, JAR)
        assert "brings code of its own" in page.text
        assert "not loaded here" in page.text
        assert NAME not in page.text
        assert hosts.loaded == []
        await browser.submit(f"{at}/swap", {"proto": DRAFT})
    swap = wire.Command.FromString(cluster.topics["d.control"][0][-1].value).swap
    assert (swap.model.kind, swap.model.name) == ("java", NAME)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (("m.zip", b"garbage"), "the file is no model but text"),
        (("m.zip", b""), "choose the file of a model"),
        (None, "not present"),
    ],
)
async def test_what_is_no_model_says_so_and_leaves_no_file(console, hosts, file, why):
    async with console() as browser:
        await browser.see("/d/d/bring")
        reply = await browser.submit("/d/d/bring", {}, {"model": file} if file else {})
    assert reply.status_code in (400, 422)
    assert why in reply.text


async def test_only_the_last_few_are_kept(console, hosts):
    async with console() as browser:
        first = (await bring(browser, JAR))[1]
        others = [(await bring(browser, JAR))[1] for _ in range(4)]
        assert (await browser.get(first)).status_code == 410
        assert (await browser.get(others[0])).status_code == 200


async def test_a_console_that_only_shows_takes_no_model(console, hosts):
    async with console(is_changing=False) as browser:
        await browser.see("/d/d/bring")
        assert (await browser.submit("/d/d/bring", {}, {"model": mojo()})).status_code == 403


async def test_a_model_without_the_token_of_its_page_is_not_taken(console, hosts):
    async with console() as browser:
        await browser.see("/d/d/bring")
        assert (await browser.submit("/d/d/bring", {}, {"model": mojo()}, token="forged")).status_code == 403
        _, at = await bring(browser, ("model", mojo()))
        for path in (at, f"{at}/swap"):
            assert (await browser.submit(path, {"proto": DRAFT}, token="")).status_code == 403
