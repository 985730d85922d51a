"""Tables of a model's inputs or outputs: rows x columns, numbers in one matrix and all other values beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows x columns. `matrix` holds numbers, and a category as its number; NaN is missing.

    A column of other values (texts, 64-bit whole numbers, vectors) is in `objects` by its index, a value per row, None
    for a missing one; its column in the matrix is meaningless.
    """

    matrix: Matrix
    objects: Mapping[int, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.matrix)

    def part(self, rows: slice) -> "Table":
        """Return a table of these rows."""
        return Table(self.matrix[rows], {index: values[rows] for index, values in self.objects.items()})


def join(tables: Sequence[Table]) -> Table:
    """Concatenate the rows of at least one table; all tables have the same columns."""
    matrix = np.concatenate([table.matrix for table in tables])
    kinds = {index for table in tables for index in table.objects}
    objects = {index: [value for table in tables for value in table.objects.get(index, ())] for index in sorted(kinds)}
    return Table(matrix, objects)
