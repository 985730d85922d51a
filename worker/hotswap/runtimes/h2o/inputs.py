"""The inputs of a MOJO: its columns, and how their values become the rows of its score0.

    most models             score0 takes the columns that the model was trained on
    categorical_encoding    OneHotExplicit, Binary, Eigen, LabelEncoder, EnumLimited: each level is encoded once, by the
                            library's own encoder, and looked up afterwards
    GAM                     has a column of splines for each knot: the library expands one row at a time to them
    CoxPH                   the times, the strata's own column and the interactions need not be sent
    target encoder          only the columns that it encodes

Some MOJOs do not declare the encoding that they were trained with, and their columns here are the encoded ones:
encoded.py has those from before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jpype
import numpy as np

from hotswap.codec.fields import Column
from hotswap.codec.values import Matrix
from hotswap.errors import SwapCode, SwapError

UNSUPPORTED_ENCODING: Final = (
    "the model was trained with a categorical_encoding that its MOJO does not support: train it with AUTO"
)
# The encodings that put all numbers before the columns that are made of categories.
_NUMBERS_FIRST: Final = {"Binary", "OneHotExplicit"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """`columns` are to be sent; `arrange` turns rows x columns into the rows of score0 (None: they are the same)."""

    columns: Sequence[Column]
    arrange: Callable[[Matrix], Matrix] | None = None


def inputs_of(model: Any) -> Inputs:
    """Return the inputs of a MOJO, without its offset. Raises SwapError MODEL_UNSUPPORTED for an unknown encoding."""
    encoding = model.getCategoricalEncoding()
    if encoding is None:
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, UNSUPPORTED_ENCODING)
    if str(encoding) != "AUTO":
        return _encoded(model, encoding)
    kind = str(model.getClass().getSimpleName())
    count = int(model.nfeatures())
    columns = [_column(str(name), model.getDomainValues(index)) for index, name in enumerate(model.getNames()[:count])]
    if kind.startswith("Gam"):
        return _expanded(model, columns)
    if kind == "CoxPHMojoModel":
        return _chosen(columns, _covariates(model))
    if kind == "TargetEncoderMojoModel":
        sent = {str(name) for mapping in model._inencMapping for name in mapping.from_()}  # noqa: SLF001 - public in Java
        return _chosen(columns, [index for index, column in enumerate(columns) if column.name in sent])
    return Inputs(columns)


def _column(name: str, domain: Any) -> Column:
    return Column(name, None if domain is None else tuple(str(value) for value in domain))


def _chosen(columns: Sequence[Column], places: Sequence[int]) -> Inputs:
    def arrange(matrix: Matrix) -> Matrix:
        rows = np.full((len(matrix), len(columns)), np.nan)
        rows[:, places] = matrix
        return rows

    return Inputs([columns[place] for place in places], arrange)


def _encoded(model: Any, encoding: Any) -> Inputs:
    """Return the columns from before the encoding; a table per column maps each level to its encoding."""
    scheme, width = str(encoding), int(model.nfeatures())
    own = [str(name) for name in model.getNames()]
    original = own if scheme == "LabelEncoder" else [str(name) for name in model.getOrigNames()]
    domains = dict(zip(original, model.getOrigDomainValues(), strict=False))
    # Weights, offset, fold and treatment are among the original columns, but are no features.
    others = own[width:]
    inputs = [name for name in original[: int(model.getOrigNumCols())] if name not in others]
    columns = [_column(name, domains[name]) for name in inputs]
    places = encoding.createColumnMapping(model)
    if scheme in _NUMBERS_FIRST:
        # The library counts them: with numbers among them, all categories are too far to the right.
        further = sum(name in others and domains[name] is None for name in original[: int(model.getOrigNumCols())])
        for column in columns:
            if column.categories is not None:
                places.put(column.name, jpype.JInt(int(places.get(column.name)) - further))
    encoders = encoding.createCategoricalEncoders(model, places)
    numeric: list[tuple[int, int]] = []
    tables: list[tuple[int, Any, Matrix]] = []
    for index, column in enumerate(columns):
        place = int(places.get(column.name))
        if column.categories is None:
            numeric.append((index, place))
            continue
        if scheme == "EnumLimited" and column.name in own:
            # It keeps all of its levels. The library would take one that is called `other` for unknown.
            table = _numbered_levels(column.categories, width, place)
        else:
            table = _encode_levels(encoders.get(jpype.JInt(place)), column.categories, width)
        filled = np.flatnonzero(~np.isnan(table).all(axis=0))
        tables.append((index, filled, table[:, filled]))
    return Inputs(columns, _arrangement(width, numeric, tables))


def _arrangement(
    width: int, numeric: Sequence[tuple[int, int]], tables: Sequence[tuple[int, Any, Matrix]]
) -> Callable[[Matrix], Matrix]:
    """Return a function that places numbers, and for each category the row of its table."""
    sources, targets = [pair[0] for pair in numeric], [pair[1] for pair in numeric]

    def arrange(matrix: Matrix) -> Matrix:
        rows = np.full((len(matrix), width), np.nan)
        rows[:, targets] = matrix[:, sources]
        for index, filled, table in tables:
            rows[:, filled] = table[np.nan_to_num(matrix[:, index], nan=len(table) - 1).astype(np.int64)]
        return rows

    return arrange


def _encode_levels(encoder: Any, levels: Sequence[str], width: int) -> Matrix:
    """Return a row for each level, and a last one for a missing value."""
    table = np.empty((len(levels) + 1, width))
    for number, level in enumerate([*levels, None]):
        row = jpype.JArray.of(np.full(width, np.nan))
        if level is None or not encoder.encodeCatValue(level, row):
            encoder.encodeNA(row)
        table[number] = row
    return table


def _numbered_levels(levels: Sequence[str], width: int, place: int) -> Matrix:
    """Return the same for a column whose levels are their numbers."""
    table = np.full((len(levels) + 1, width), np.nan)
    table[:-1, place] = range(len(levels))
    return table


def _covariates(model: Any) -> Sequence[int]:
    """Return the indices of the columns that a Cox model reads: strata, categories, numbers with a coefficient.

    Interactions are left out.
    """
    strata, cats = int(field_of(model, "_strata_len")), int(field_of(model, "_cats"))
    coefficients = len(field_of(model, "_coef"))
    offsets = field_of(model, "_num_offsets")
    if offsets is None:  # written by an older H2O: the numbers' coefficients follow those of the categories
        numbers = coefficients - int(field_of(model, "_cat_offsets")[cats])
    else:
        numbers = sum(int(offset) < coefficients for offset in offsets)
    made = {int(place) for place in field_of(model, "_interaction_targets") or ()}
    return [place for place in range(strata + cats + numbers) if place not in made]


def _expanded(model: Any, columns: Sequence[Column]) -> Inputs:
    """Return the columns without the splines; the library's converter expands each row."""
    base = list(columns[: len(columns) - int(field_of(model, "_numExpandedGamColsCenter"))])
    splined = [str(name) for names in field_of(model, "_gam_columns_sorted") for name in names]
    known = {column.name for column in base}
    sent = [*base, *(Column(name) for name in dict.fromkeys(splined) if name not in known)]
    places = {column.name: index for index, column in enumerate(sent)}
    config = jpype.JClass("hex.genmodel.easy.EasyPredictModelWrapper").Config()
    maps = [jpype.JClass("java.util.HashMap")() for _ in range(2)]
    consumer = jpype.JClass("hex.genmodel.easy.error.VoidErrorConsumer")()
    convert = model.makeConverterFactory(*maps, consumer, config).convert
    row_data = jpype.JClass("hex.genmodel.easy.RowData")

    def arrange(matrix: Matrix) -> Matrix:
        rows = np.full((len(matrix), len(columns)), np.nan)
        rows[:, : len(base)] = matrix[:, : len(base)]
        for number, values in enumerate(matrix):
            data = row_data()
            for name in splined:
                data.put(name, jpype.JDouble(values[places[name]]))
            rows[number] = convert(data, jpype.JArray.of(rows[number]))
        return rows

    try:
        arrange(np.zeros((1, len(sent))))
    except jpype.JException as error:
        message = (
            f"the library cannot expand this GAM's columns to splines ({error}); train it with splines of one kind"
        )
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, message) from error
    return Inputs(sent, arrange)


def field_of(model: Any, name: str) -> Any:
    """Return the value of a private field that the library has no accessor for."""
    kind = model.getClass()
    while kind is not None:
        for field in kind.getDeclaredFields():
            if str(field.getName()) == name:
                field.setAccessible(True)
                return field.get(model)
        kind = kind.getSuperclass()
    raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"the library has no field {name} for this kind of model")
