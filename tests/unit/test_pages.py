"""Pages keep their word: links lead somewhere, and what ARCHITECTURE.md and the decisions name is in the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "worker" / "hotswap"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
PAGES = [ROOT / "ARCHITECTURE.md", *DECISIONS]
SOURCES = {path: path.read_text(encoding="utf-8") for kind in ("py", "java") for path in PACKAGE.rglob(f"*.{kind}")}
LINKED = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "ops").rglob("*.md")]
MOST_WORDS = 250


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            yield link


def defines(source: str, name: str) -> bool:
    """Return whether a source defines a dotted name: each part of it as a class, a function or a variable."""
    parts = filter(None, name.split("."))
    return all(
        re.search(rf"\b(?:def|class) {part}\b|^ *{part}\b(?:: .+)?(?: =|$)", source, re.MULTILINE) for part in parts
    )


def absent_names(page: Path) -> Iterator[str]:
    for owner, name in re.findall(r"`([A-Z]\w+)\.(?!java)(\w+)`", text_of(page)):
        if not any(f"class {owner}" in source and defines(source, name) for source in SOURCES.values()):
            yield f"{owner}.{name}"
    for path, name in re.findall(r"`([\w/]+\.(?:py|java))(?::\s([\w.]+))?`", text_of(page)):
        found = [source for file, source in SOURCES.items() if file.as_posix().endswith(f"/{path}")]
        if not any(defines(source, name) for source in found):
            yield f"{path}: {name}"


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_file_and_function_that_a_page_names_exists(page: Path) -> None:
    assert list(absent_names(page)) == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_at_most_250_words(page: Path) -> None:
    assert len(text_of(page).split()) <= MOST_WORDS


def test_the_index_lists_each_decision_by_its_title() -> None:
    index = text_of(ROOT / "docs/decisions/README.md")
    titles = {page: text_of(page).partition("\n")[0].removeprefix("# ") for page in DECISIONS}
    assert [page.name for page, title in titles.items() if f"* [{title}]({page.name})" not in index] == []
