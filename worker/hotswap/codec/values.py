"""Tables of values, as models take and give them: rows x columns, numbers in one matrix and all else beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """`matrix` is rows x columns: a number, or a category's; NaN is missing.

    A column whose values are no such numbers (texts, whole numbers of 64 bits, vectors) is in `objects` by its index, a
    value for each row, None where it is missing; its place in the matrix means nothing.
    """

    matrix: Matrix
    objects: Mapping[int, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.matrix)

    def part(self, rows: slice) -> "Table":
        """Some of the rows."""
        return Table(self.matrix[rows], {index: values[rows] for index, values in self.objects.items()})


def join(tables: Sequence[Table]) -> Table:
    """The rows of tables of the same columns, one after the other; at least one table."""
    matrix = np.concatenate([table.matrix for table in tables])
    kinds = {index for table in tables for index in table.objects}
    objects = {index: [value for table in tables for value in table.objects.get(index, ())] for index in sorted(kinds)}
    return Table(matrix, objects)
