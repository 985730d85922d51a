"""The references in docs/ are generated from the code, which documents everything that they list."""

import runpy
from pathlib import Path

import pytest

from hotswap import metrics
from hotswap.batch import Code
from hotswap.errors import SwapCode
from hotswap.settings import Settings

pytestmark = pytest.mark.usefixtures("collector_is_off")
PAGES = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "generate.py"))["PAGES"]


def rows(page):
    return [line.strip("| ").split(" | ") for line in PAGES[page]().splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_description(name):
    assert Settings.model_fields[name].description


def test_a_default_that_depends_on_the_machine_is_described_in_words():
    made = {name: field for name, field in Settings.model_fields.items() if field.default_factory}

    shown = {cells[0]: cells[2] for cells in rows("settings.md")}

    assert made
    assert all("Default: " in field.description for field in made.values())
    assert {shown[f"`HOTSWAP_{name.upper()}`"] for name in made} == {""}


def test_every_code_is_listed_with_its_meaning():
    listed = rows("codes.md")

    assert [code for code, _ in listed] == [f"`{code}`" for code in (*SwapCode, *Code)]
    assert all(meaning for _, meaning in listed)


def test_every_swap_code_says_whether_it_refuses_a_command_or_fails_a_staging():
    meanings = dict(rows("codes.md")[: len(SwapCode)])

    assert [code for code, told in meanings.items() if not told.startswith(("Refuses the c", "Fails the s"))] == []


def test_every_metric_is_listed_with_its_help():
    collected = [told for told in metrics.REGISTRY.collect() if told.name.startswith("hotswap_")]
    registered = [(told.name, told.type, told.documentation) for told in collected]

    listed = [(name.strip("`").removesuffix("_total"), kind, told) for name, kind, _, _, told in rows("metrics.md")]

    assert listed == registered
    assert all(told for _, _, told in listed)
