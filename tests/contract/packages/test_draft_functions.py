"""`pack` drafts the proto of a Python model from its type hints, or from a sample on which its functions are tried."""

import re
import sys
from pathlib import Path

import pytest

from fakes.python_models import written
from hotswap.errors import SwapError, UsageError
from hotswap.packages.onboarding import Onboarded, Wish, onboard
from hotswap.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only")

HINTED = """
    from typing import List, Optional, TypedDict
    Row = TypedDict("Row", {"age": float, "city name": str, "clicks": Optional[int], "is new": bool})
    Answer = TypedDict("Answer", {"p": float, "label": str, "top": List[str]})
    def predict(model, columns: Row) -> Answer:
        count = len(columns["age"])
        return {"p": [0.5] * count, "label": ["a"] * count, "top": [["x"]] * count}
"""
PLAIN = """
    def predict(model, columns):
        return {"old": [age > 30 for age in columns["age"]], "n": [len(city) for city in columns["city"]]}
    def explain(model, columns):
        return [[age, 1.0] for age in columns["age"]]
"""


async def packed(tmp_path: Path, source: str, sample: str = "") -> Onboarded:
    (tmp_path / "sample.csv").write_text(sample)
    wish = Wish(model=written(tmp_path / "risk", source), sample=tmp_path / "sample.csv" if sample else None)
    return await onboard(Settings(cache=tmp_path / "cache"), wish)


def messages(onboarded: Onboarded) -> dict[str, list[str]]:
    text = (onboarded.content.proto.source or b"").decode()
    found = re.findall(r"^message (\w+) {\n(.*?)^}", text, re.MULTILINE | re.DOTALL)
    return {name: re.findall(r"^  (.*) = \d+;", body, re.MULTILINE) for name, body in found}


async def test_type_hints_are_the_proto_and_odd_names_are_mapped(tmp_path: Path) -> None:
    onboarded = await packed(tmp_path, HINTED)

    assert messages(onboarded) == {
        "Row": ["double age", "string city_name", "optional int64 clicks", "bool is_new"],
        "Answer": ["double p", "string label", "repeated string top"],
    }
    assert onboarded.content.configuration.columns == {"city name": "city_name", "is new": "is_new"}
    assert onboarded.content.kind == "python"


async def test_a_sample_gives_the_columns_and_its_rows_what_the_functions_answer(tmp_path: Path) -> None:
    onboarded = await packed(tmp_path, PLAIN, "age,city,score\n30.5,Bonn,1\n20,Köln,\n")

    row = ["double age", "string city", "optional int64 score"]
    assert messages(onboarded) == {
        "PredictRow": row,
        "PredictAnswer": ["bool old", "int64 n"],
        "ExplainRow": row,
        "ExplainAnswer": ["repeated double prediction"],
    }
    assert list(onboarded.content.schema.operations) == ["Predict", "Explain"]


async def test_without_hints_or_a_sample_the_types_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the types of what `predict` takes are not known: declare it as a TypedDict"):
        await packed(tmp_path, PLAIN)


async def test_a_function_that_cannot_score_the_sample_says_why(tmp_path: Path) -> None:
    with pytest.raises(SwapError, match=r"the sample cannot be scored: `predict` failed: KeyError: 'city'"):
        await packed(tmp_path, PLAIN, "age\n30.5\n")
