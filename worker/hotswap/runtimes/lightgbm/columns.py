"""The columns of a LightGBM model: numbers, and the categories whose levels are in its file.

A request sends a level as its text, as pandas writes it to CSV: a level that is no text is `True`, `3`, `3.0` or `2.5`,
by its type. A categorical column without levels in the file takes its codes, whole numbers; LightGBM scores a code
that it does not know as missing.
"""

from collections.abc import Sequence
from typing import Any

from hotswap.codec.fields import Column
from hotswap.errors import SwapCode, SwapError
from hotswap.runtimes.lightgbm.text import ModelText


def columns_of(text: ModelText, names: Sequence[str], categories: Sequence[str]) -> list[Column]:
    """Return the columns; `names` replace those in the file, `categories` name those with levels, in their order.

    Raises SwapError: CONFIGURATION_INVALID if the names do not fit, MODEL_UNSUPPORTED if levels have the same text.
    """
    if names and len(names) != len(text.columns):
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `columns` has {len(names)} names; the model has {len(text.columns)} columns",
        )
    chosen = names or text.columns
    if unknown := [name for name in categories if name not in chosen]:
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `categories` names `{unknown[0]}`, which is not a column of the model",
        )
    levels = _placed(text, [chosen.index(name) for name in categories])
    return [
        Column(name, _written(name, levels[place]) if place in levels else None) for place, name in enumerate(chosen)
    ]


def _placed(text: ModelText, asked: Sequence[int]) -> dict[int, Sequence[Any]]:
    """Return the levels of each column that has some. The file lists them without saying whose they are."""
    levels = text.levels or []
    places = asked or (list(text.categorical) if levels else [])
    # Ordered categories of pandas are numbers to LightGBM, and whole numbers that are none may be categorical to it.
    is_fit = all(text.categorical.get(place, -1) < len(each) for place, each in zip(places, levels, strict=False))
    if len(places) != len(levels) or not is_fit:
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"the model's file has the levels of {len(levels)} columns, without their names, and they do not fit "
            f"{'those named' if asked else 'its categorical columns'}: name the columns that were categorical in "
            "pandas, in their order, in configuration.runtime `categories`",
        )
    return dict(zip(places, levels, strict=True))


def _written(name: str, levels: Sequence[Any]) -> tuple[str, ...]:
    texts = tuple(map(str, levels))
    if not all(isinstance(level, str | bool | int | float) for level in levels) or len(set(texts)) < len(texts):
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"column `{name}` has levels that are lists, or whose texts are the same: train the model with other ones",
        )
    return texts
