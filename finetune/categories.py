"""Categorical features of the item as numbers, with the training rows' values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from footfall.finetune.example_table import Examples

__all__ = ["Categories"]

#: Between the parts of a category path.
_SEPARATOR = " > "


class Categories(BaseModel):
    """The values of each categorical feature that training has seen often enough.

    Number 0 is for all others: rare, missing and new ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field((), description="Features, in order.")
    values: tuple[tuple[str, ...], ...] = Field((), description="Values of each, sorted.")

    @classmethod
    def fit(cls, examples: Examples, names: Sequence[str], smallest: int) -> Categories:
        """Values that at least ``smallest`` rows have."""
        values = []
        for name in names:
            counts = pc.value_counts(_column(examples, name).drop_null())
            often = pc.greater_equal(counts.field("counts"), smallest)
            values.append(tuple(sorted(counts.field("values").filter(often).to_pylist())))
        return cls(names=tuple(names), values=tuple(values))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of each feature, the unknown one included."""
        return tuple(len(values) + 1 for values in self.values)

    def apply(self, examples: Examples) -> np.ndarray[Any, Any]:
        """Numbers of the values, int64, shape (rows, features)."""
        columns = [
            pc.add(
                pc.fill_null(
                    pc.index_in(_column(examples, name), pa.array(values, pa.string())), -1
                ),
                1,
            ).to_numpy(zero_copy_only=False)
            for name, values in zip(self.names, self.values, strict=True)
        ]
        if not columns:
            return np.zeros((len(examples), 0), np.int64)
        return np.column_stack(columns).astype(np.int64)


def _column(examples: Examples, name: str) -> pa.Array:
    source = examples.table["item_brand" if name == "brand" else "item_category"]
    column = source.combine_chunks() if isinstance(source, pa.ChunkedArray) else source
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    if name != "category":
        return column
    return pc.list_element(pc.split_pattern(column, _SEPARATOR), 0)
