"""People at a browser: one with a mouse, and one who has only a keyboard. Both do the same things."""

from typing import Protocol

from playwright.async_api import Locator, Page, expect

_TABS = 400
"""More than any page has places to go to."""


class Person(Protocol):
    """Whoever uses the console."""

    async def press(self, page: Page, what: Locator) -> None:
        """Follow a link, press a button, or open what a summary hides."""

    async def write(self, page: Page, where: Locator, text: str) -> None:
        """Replace the text of a field."""

    async def choose(self, page: Page, where: Locator, path: str) -> None:
        """Choose a file. The browser's own dialog is not part of the page."""


class WithMouse:
    async def press(self, page: Page, what: Locator) -> None:
        await what.click()

    async def write(self, page: Page, where: Locator, text: str) -> None:
        await where.click()
        await where.fill(text)

    async def choose(self, page: Page, where: Locator, path: str) -> None:
        await where.set_input_files(path)


class WithKeyboard:
    """Goes from place to place by Tab alone, and asks of each where it stops that one sees the focus there."""

    async def press(self, page: Page, what: Locator) -> None:
        await self._go(page, what)
        await page.keyboard.press("Enter")

    async def write(self, page: Page, where: Locator, text: str) -> None:
        await self._go(page, where)
        await page.keyboard.press("Control+A")
        await page.keyboard.press("Delete")
        await page.keyboard.insert_text(text)

    async def choose(self, page: Page, where: Locator, path: str) -> None:
        await self._go(page, where)
        await where.set_input_files(path)

    async def _go(self, page: Page, where: Locator) -> None:
        await expect(where).to_be_visible()
        for _ in range(_TABS):
            if await where.evaluate("one => one === document.activeElement"):
                outline = await where.evaluate("one => getComputedStyle(one).outlineStyle")
                assert outline != "none", f"nobody sees that the focus is on {where}"
                return
            await page.keyboard.press("Tab")
        raise AssertionError(f"{where} cannot be reached by Tab")
