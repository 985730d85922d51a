"""`python -m browser.journey [--pictures FOLDER] [--picture FILE]`, in tests/: the console in a real Chromium.

A model is brought in, swapped under a running stream and rolled back, others come as canaries or are refused, dead
letters are replayed: once by mouse, once by keyboard alone. Names, headers, bytes and comments that are script are
there all the while. Each page is held to axe-core's rules for accessibility. Needs chromium on PATH.
"""

import argparse
import asyncio
import contextlib
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Dialog, Locator, Page, async_playwright, expect

from browser.person import Person, WithKeyboard, WithMouse
from harness.calls import Gateway
from harness.fleet import EXAMPLES, ROOT, Deployment, messages
from hotswap.client.answers import Outgoing
from hotswap.local.kafka import LocalKafka

_BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
_WAIT_MS = 60_000
_STREAM_S = 0.05
_SCRIPT = "<script>alert(1)</script>"
_PROTO = (EXAMPLES / "protos" / "iris.proto").read_text() + f"// {_SCRIPT}\n"
_ROW = {"sepal_length": "5.1", "sepal_width": "3.5", "petal_length": "1.4", "petal_width": "0.2"}
_SAMPLE, _MODEL = (EXAMPLES / "data" / "iris.csv", EXAMPLES / "models" / "iris_glm.zip")
_OTHER = EXAMPLES / "models" / "cancer_gbm.zip"
_JAR = ROOT / "tests" / "jars" / "hostile.jar"
_FORMS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "has_touch": True},
}


class Journey:
    """One person's way through the console; what goes wrong in the browser meanwhile is kept in `faults`."""

    def __init__(self, page: Page, person: Person, name: str) -> None:
        self.faults: list[str] = []
        self.looked_at = 0
        self._page = page
        self._person = person
        self._name = name
        page.set_default_timeout(_WAIT_MS)
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.faults.append(f"script failed: {error}"))
        page.on("dialog", self._asked)

    def _told(self, message: ConsoleMessage) -> None:
        # A page that says what is wrong with a form is a reply of 4xx, which the browser tells, too.
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.faults.append(f"the browser's console: {message.text}")

    async def _asked(self, dialog: Dialog) -> None:
        self.faults.append(f"a dialog, so script ran: {dialog.message}")
        await dialog.dismiss()

    async def look(self, what: str) -> None:
        """Hold the page to axe-core's rules."""
        found = await Axe().run(self._page)
        self.looked_at += 1
        for one in found.response["violations"]:
            where = [node["target"] for node in one["nodes"]][:3]
            self.faults.append(f"{what}: {one['id']} at {where}: {one['help']}")

    async def press(self, what: Locator) -> None:
        await self._person.press(self._page, what)

    async def follow(self, name: str) -> None:
        """Follow a link."""
        await self.press(self._page.get_by_role("link", name=name, exact=True))

    async def push(self, name: str | re.Pattern[str]) -> None:
        """Press a button."""
        await self.press(self._page.get_by_role("button", name=name, exact=isinstance(name, str)))

    async def sees(self, text: str | re.Pattern[str], where: str = "main") -> None:
        await expect(self._page.locator(where)).to_contain_text(text, timeout=_WAIT_MS)

    async def bring(self, model: Path, *, name: str = "", sample: Path | None = None) -> None:
        """Bring a model in, and see what it is."""
        await self.follow("Bring a model in")
        await self._person.choose(self._page, self._page.locator("#model"), str(model))
        if sample:
            await self._person.choose(self._page, self._page.locator("#sample"), str(sample))
        if name:
            await self._person.write(self._page, self._page.locator("#name"), name)
        await self.push("Look at it")
        await self._page.wait_for_url("**/bring/*")

    async def swap_a_model(self) -> None:
        """Bring a model in, err in its proto, see it beside the serving one, and swap it in."""
        await self.bring(_MODEL, name=f"{self._name} {_SCRIPT}", sample=_SAMPLE)
        await self.look("a draft")
        proto = self._page.locator("#proto")
        await self._person.write(self._page, proto, _PROTO.replace("double setosa", "duoble setosa"))
        await self.push("Check it")
        await self.sees(re.compile(r"model\.proto:\d+"), "#errors")
        await self.look("a draft with an error")
        await self._person.write(self._page, proto, _PROTO)
        await self.push("Check it")
        await self.sees("fits its proto")
        await self.sees("The sample, by both models")
        await self.sees(_SCRIPT)
        await self.look("a draft beside what serves")
        await self.push("Swap it in")
        await self.sees(re.compile(rf"swap to \d+: model {self._name} .*, serving"), "#newest")
        await self.sees(f"{self._name} {_SCRIPT}", "#head")
        await self.look("the overview")

    async def try_canaries(self) -> None:
        """Give two models a quarter of the partitions, then promote the one and abandon the other."""
        first = await self.plan_a_canary("first")
        await self.end("Promote", first)
        await self.sees(f"generation {first} on 4 partitions", "#head")
        await expect(self._page.locator("#head table")).to_have_count(0)
        await self.sees(f"generation {first}: model {self._name} first,", "#head")
        second = await self.plan_a_canary("second")
        await self.end("Abandon", second)
        row = self._page.locator("#head tbody tr", has_text=f"serves in place of {second}")
        await expect(row).to_contain_text(f"{self._name} first", timeout=_WAIT_MS)
        await self.sees(f"generation {second + 1} on 1 partition", "#head")
        await self.sees(f"abandon {second} for {second + 1}, applied", "#newest")
        await self.look("an abandoned canary")

    async def plan_a_canary(self, name: str) -> int:
        """Bring a model in, see the plans of two canaries, and swap the possible one in; return its number."""
        await self.bring(_MODEL, name=f"{self._name} {name}")
        await self.push("Take the serving proto")
        await self.sees("each live one (2) can load models of kind h2o", "#plan")
        await self._person.write(self._page, self._page.locator("#canary"), "1/3")
        await self.push("See its plan")
        await self.sees("1/3 of 4 partitions is no whole number of them", "#plan")
        await expect(self._page.get_by_role("button", name="Swap it in")).to_have_count(0)
        await self.look("a plan that something is against")
        await self._person.write(self._page, self._page.locator("#canary"), "1/4")
        await self.push("See its plan")
        await self.sees(re.compile(r"the canary has 1 of 4 partitions \(\d\): \d+\.\d% of the requests"), "#plan")
        await self.look("the plan of a canary")
        title = await self._page.locator("#plan-title").inner_text()
        number = int(re.findall(r"\d+", title)[0])
        await self.push("Swap it in")
        row = self._page.locator("#head tbody tr", has_text=f"{self._name} {name}")
        await expect(row).to_contain_text(re.compile(r"promoted on partition \d of 4"), timeout=_WAIT_MS)
        await expect(row.locator("td").last).to_have_text(re.compile(r"^\d+(\.\d+)? %$"), timeout=_WAIT_MS)
        await self.sees(f"generation {number} on 1 partition", "#head")
        await self.look("a canary beside what serves")
        return number

    async def end(self, way: str, number: int) -> None:
        """Promote or abandon the staged generation."""
        await self.press(self._page.locator("summary", has_text=f"{way} {number}…"))
        await self.push(way)

    async def fail_to_swap(self) -> None:
        """Bring models in that do not fit: one that the console refuses, and one that only the workers can."""
        await self.bring(_OTHER)
        await self.push("Take the serving proto")
        await self.sees("Model and proto do not fit")
        await expect(self._page.get_by_role("button", name="Swap it in")).to_have_count(0)
        await self.look("a model that does not fit")
        await self.bring(_JAR)
        await self.push("Take the serving proto")
        await self.push("Swap it in")
        await self.sees(re.compile(r"swap to \d+: model hostile.*, (failed|refused)"), "#newest")
        await self.look("a refused swap")

    async def roll_back(self) -> None:
        await self.follow("Overview")
        await self.press(self._page.locator("summary", has_text="Roll back…"))
        await self.push("Roll back")
        await self.sees(re.compile(r"rollback to \d+ as \d+, serving"), "#newest")

    async def score(self) -> None:
        """Score a row by the form that is made from the proto."""
        await self.follow("Overview")
        for name, value in _ROW.items():
            await self._person.write(self._page, self._page.locator(f"[name='field-{name}']"), value)
        await self.push("Score it")
        await self.sees(re.compile(r"Answered by generation \d+"))
        await self.look("a scored row")

    async def replay(self) -> None:
        """Open a dead letter, replay it, then all of them."""
        await self.follow("Dead letters")
        await self.sees("Requests that were refused")
        await self.look("dead letters")
        await self.press(self._page.locator("tbody a").first)
        await self.sees(_SCRIPT, "section[aria-labelledby=headers-title]")
        await self.sees("alert(1)", ".dump")
        await self.look("a dead letter")
        await self.press(self._page.locator("summary", has_text="Replay it…"))
        await self.push("Publish 1 request again")
        await self.sees("Published again as")
        await self.follow("Dead letters")
        await self.follow("Replay them…")
        await self.sees(re.compile(r"This publishes \d+ requests"))
        await self.look("a replay")
        await self.push(re.compile(r"Publish \d+ requests again"))
        await self.sees("requests were published again")

    async def whole(self) -> None:
        """The journey."""
        await self.swap_a_model()
        await self.score()
        await self.try_canaries()
        await self.fail_to_swap()
        await self.roll_back()
        await self.replay()
        await self.follow("Models")
        await self.sees(f"{self._name} {_SCRIPT}")
        await self.look("models")
        await self.follow("Fleet")
        await self.sees("Workers of iris")
        await self.look("the fleet")


async def run(browser: Browser, folder: Path, pictures: Path) -> list[str]:
    """Have both people travel; return what went wrong."""
    faults: list[str] = []
    with LocalKafka() as kafka:
        deployment = await Deployment(kafka, folder, name="iris").create()
        try:
            await deployment.serve("iris_gbm", workers=("w1", "w2"))
            async with _serving(deployment) as console, _streaming(deployment):
                for name, person in (("mouse", WithMouse()), ("keyboard", WithKeyboard())):
                    page = await browser.new_page(**_FORMS["light"])
                    await page.goto(f"{console.address}/d/iris")
                    journey = Journey(page, person, name)
                    await journey.whole()
                    _say(f"{name}: the whole way, {journey.looked_at} pages by axe-core, {len(journey.faults)} faults")
                    faults += [f"{name}: {fault}" for fault in journey.faults]
                    await page.close()
                faults += await _pictures(browser, console.address, pictures)
            await deployment.drained()
            audit = await deployment.audit()
            _say(f"the stream meanwhile: {audit.asked:,} requests, {len(audit.lost)} lost, {len(audit.twice)} twice")
            faults += [f"the stream: {what}: {where}" for what, where in audit.faults.items()]
        finally:
            deployment.close()
    return faults


@contextlib.asynccontextmanager
async def _serving(deployment: Deployment) -> AsyncIterator[Gateway]:
    console = await Gateway(deployment, "console", "--allow-changes", command="console").start()
    try:
        yield console
    finally:
        console.kill()


@contextlib.asynccontextmanager
async def _streaming(deployment: Deployment) -> AsyncIterator[None]:
    """Publish iris all the while, after a request that is refused: script in its bytes and in a header."""
    values, _, _ = messages("iris")
    await deployment.publish([_SCRIPT.encode()] * 3, note=_SCRIPT.encode())

    async def stream() -> None:
        async with deployment.client() as client:
            while True:
                await client.publish(Outgoing(value) for value in values[:10])
                await asyncio.sleep(_STREAM_S)

    streaming = asyncio.create_task(stream())
    try:
        yield
    finally:
        streaming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await streaming  # a stream that has ended by itself is an error


async def _pictures(browser: Browser, address: str, folder: Path) -> list[str]:
    """Picture the pages in light, dark and at a phone's width, where axe-core and the width are looked at again."""
    faults = []
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "fleet": "/",
        "overview": "/d/iris",
        "bring": "/d/iris/bring",
        "dead-letters": "/d/iris/dead-letters",
        "models": "/d/iris/models",
        "problem": "/d/nothing",
    }
    for form, options in _FORMS.items():
        context = await browser.new_context(**options)
        page = await context.new_page()
        for name, path in pages.items():
            await page.goto(address + path)
            await page.screenshot(path=folder / f"{name}-{form}.png", full_page=name != "overview")
            found = await Axe().run(page)
            faults += [f"{name}, {form}: {one['id']}: {one['help']}" for one in found.response["violations"]]
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                faults.append(f"{name}, {form}: it is wider than the screen")
        await context.close()
    _say(f"{len(pages)} pages in {', '.join(_FORMS)}: {folder}")
    return faults


async def _play(executable: str, pictures: Path) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="hotswap-journey-") as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=executable)
            try:
                return await run(browser, Path(folder), pictures)
            finally:
                await browser.close()


def main() -> int:
    """Travel; exit with 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=ROOT / "build" / "console")
    parser.add_argument("--picture", type=Path, help="file for the overview in light, as the README has it")
    asked = parser.parse_args()
    executable = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not executable:
        _say(f"console-journey: install one of {', '.join(_BROWSERS)} (Debian: apt install chromium), none is on PATH")
        return 2
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    faults = asyncio.run(_play(executable, asked.pictures.absolute()))
    if asked.picture:
        shutil.copy(asked.pictures / "overview-light.png", asked.picture)
    for fault in faults:
        _say(f"console-journey: {fault}")
    _say(f"console-journey: {'BROKEN' if faults else 'holds'}")
    return 1 if faults else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
