"""A model is brought in over logs in memory: what is said of it, its proto, the comparison, the swap."""

import asyncio
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


async def test_a_canary_is_promoted_in_the_background_and_then_wholly_or_abandoned(console, cluster, hosts):
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
            page = await browser.see("/d/d")
            assert "hotswap promote d" in page.text
            assert (await browser.submit(f"/d/d/{ended}")).status_code == 303
            assert cluster.scored == scored
            assert "hotswap promote d" not in (await browser.see("/d/d")).text


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
