"""The rows of a sample as scikit-learn and as ONNX take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import Pipeline

from hotswap.errors import SwapCode, SwapError
from hotswap.packages.sklearn.steps import first_of

_SHOWN: Final = 10
_TRUTHS: Final = {"true": "1", "false": "0"}


@dataclass(frozen=True, kw_only=True)
class SampleRows:
    """Columns by name, in the model's order: float64 with NaN for a missing number, or objects for texts.

    `is_frame`: the model was trained on named columns. `is_text`: it takes one text, not a table of columns.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    is_frame: bool
    is_text: bool

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def texts(self) -> list[str]:
        """The names of the columns of texts."""
        return [name for name, values in self.columns.items() if values.dtype == object]

    @property
    def given(self) -> Any:
        """What scikit-learn takes."""
        if self.is_text:
            return next(iter(self.columns.values()))
        if self.is_frame:
            return pd.DataFrame(dict(self.columns))
        return np.column_stack(list(self.columns.values()))

    def taken(self, places: npt.NDArray[Any]) -> "SampleRows":
        """Return the rows at these places."""
        return replace(self, columns={name: values[places] for name, values in self.columns.items()})

    def shown(self, place: int) -> str:
        """Return a row for a person to read."""
        cells = [f"{name}={values[place]!s}" for name, values in self.columns.items()]
        return ", ".join(cells[:_SHOWN]) + (", …" if len(cells) > _SHOWN else "")


def read_rows(model: Any, types: Mapping[str, str], cells: Sequence[Sequence[str]]) -> SampleRows:
    """Return the rows of a sample with the columns that a model takes; a cell "" is a missing value.

    `types` are those of the sample's columns, in their order: string, double, int64 or bool. A column whose encoder
    knows texts is one of texts, though its cells look like numbers. Raises SwapError SAMPLE_REFUSED.
    """
    named = getattr(model, "feature_names_in_", None)
    is_text = isinstance(first_of(model), CountVectorizer | HashingVectorizer)
    names = _names(model, types, named, is_text=is_text)
    places = {name: place for place, name in enumerate(types)}
    texts = _encoded_texts(model, names) | {name for name in names if types[name.strip()] == "string"}
    columns = {
        name: _column(name, [row[places[name.strip()]] for row in cells], is_text=name in texts) for name in names
    }
    return SampleRows(columns=columns, is_frame=named is not None, is_text=is_text)


def _names(model: Any, types: Mapping[str, str], named: Any, *, is_text: bool) -> list[str]:
    if named is not None:
        names = [str(name) for name in named]
        if lacking := [name for name in names if name.strip() not in types]:
            raise _refused(f"lacks {', '.join(lacking[:_SHOWN])}, which the model was trained with: add the columns")
        return names
    if is_text:
        texts = [name for name, kind in types.items() if kind == "string"]
        if len(texts) != 1:
            raise _refused(f"has {len(texts)} columns of texts, and the model takes one text: leave only that in it")
        return texts
    count = getattr(model, "n_features_in_", len(types))
    if count != len(types):
        raise _refused(
            f"has {len(types)} columns, and the model takes {count} without names: leave only these, in their order"
        )
    return list(types)


def _column(name: str, cells: Sequence[str], *, is_text: bool) -> npt.NDArray[Any]:
    if is_text:
        if "" in cells:
            raise _refused(
                f"has no value of `{name}` in row {cells.index('') + 1}: ONNX has no missing text, so such a "
                "request is refused. Leave the row out, or write the text that stands for it"
            )
        return np.array(cells, object)
    return np.array([float(_TRUTHS.get(cell.lower(), cell) or "nan") for cell in cells])


def _encoded_texts(model: Any, names: Sequence[str]) -> set[str]:
    """Return the columns whose encoder has texts as categories."""
    first = first_of(model)
    parts: list[tuple[Any, Sequence[Any]]] = [(model, names)]
    if isinstance(first, ColumnTransformer):
        parts = [(inner, selected(columns, names)) for _, inner, columns in first.transformers_]
    return {
        name
        for inner, columns in parts
        for name, categories in zip(columns, getattr(_encoder(inner), "categories_", ()), strict=False)
        if len(categories) and isinstance(categories[0], str)
    }


def _encoder(model: Any) -> Any:
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    return next((step for step in steps if hasattr(step, "categories_")), None)


def selected(columns: Any, names: Sequence[str]) -> list[str]:
    """Return the names of the columns that a column transformer selects, by name or place."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return list(names[columns])
    places = np.asarray(columns)
    return [names[int(one)] if isinstance(one, int | np.integer) else str(one) for one in places.tolist()]


def _refused(why: str) -> SwapError:
    return SwapError(SwapCode.SAMPLE_REFUSED, f"the sample {why}")
