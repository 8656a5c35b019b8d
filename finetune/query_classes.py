"""The classes that queries are told apart by: category paths, the rare ones folded away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import DataError

__all__ = ["SEPARATOR", "QueryClasses"]

#: Between the steps of a category path.
SEPARATOR = " > "
Array = np.ndarray[Any, Any]


class QueryClasses(BaseModel):
    """Category paths of at most ``depth`` steps that are classes.

    A path that is no class belongs to the nearest step above it that is one, or to none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(ge=1, description="Most steps of a class.")
    values: tuple[str, ...] = Field(description="The classes, sorted.")

    @classmethod
    def fit(
        cls, categories: Sequence[str], weights: Array, *, depth: int, smallest: float
    ) -> QueryClasses:
        """Classes with a weight of at least ``smallest``.

        From the deepest step upwards, a path that is too light adds its weight to its parent; a top
        category that is still too light is left out.

        Raises
        ------
        DataError
            If fewer than two classes are left.
        """
        counts = _sums(pa.array(_cut(categories, depth)), weights)
        kept: dict[str, float] = {}
        for steps in range(depth, 0, -1):
            light: dict[str, float] = {}
            for path, weight in counts.items():
                if path.count(SEPARATOR) + 1 < steps:
                    light[path] = light.get(path, 0.0) + weight
                elif weight >= smallest:
                    kept[path] = weight
                elif steps > 1:
                    parent = path.rpartition(SEPARATOR)[0]
                    light[parent] = light.get(parent, 0.0) + weight
            counts = light
        if len(kept) < 2:
            raise DataError(
                f"{len(kept)} categories have {smallest:g} responses or more, and telling apart "
                "needs two.",
                hint="Lower smallest_class, or use another depth.",
            )
        return cls(depth=depth, values=tuple(sorted(kept)))

    def __len__(self) -> int:
        return len(self.values)

    def apply(self, categories: Sequence[str]) -> Array:
        """Number of the class of each path, -1 where it has none, int64, shape (paths,)."""
        places = {value: place for place, value in enumerate(self.values)}
        encoded = pa.array(categories, pa.string()).dictionary_encode()
        numbers = np.array([self._place(path, places) for path in encoded.dictionary.to_pylist()])
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        found: Array = np.append(numbers, -1).astype(np.int64)[codes]
        return found

    def _place(self, path: str, places: dict[str, int]) -> int:
        steps = path.split(SEPARATOR)[: self.depth]
        for count in range(len(steps), 0, -1):
            place = places.get(SEPARATOR.join(steps[:count]))
            if place is not None:
                return place
        return -1


def _cut(categories: Sequence[str], depth: int) -> list[str]:
    return [SEPARATOR.join(path.split(SEPARATOR)[:depth]) for path in categories]


def _sums(paths: pa.Array, weights: Array) -> dict[str, float]:
    table = pa.table({"path": paths, "weight": pa.array(weights, pa.float64())})
    summed = table.group_by("path").aggregate([("weight", "sum")])
    summed = summed.filter(pc.greater(summed["weight_sum"], 0.0))
    return dict(zip(summed["path"].to_pylist(), summed["weight_sum"].to_pylist(), strict=True))
