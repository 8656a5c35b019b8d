"""Categorical features of item, shopper and query as numbers, with the training rows' values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import DataError
from footfall.finetune.example_table import Examples
from footfall.personas.stated_habits import stated_habit
from footfall.personas.tokens import normalize, text_parts

__all__ = ["Categories", "CategoryName"]

CategoryName: TypeAlias = Literal[
    "category", "category_path", "brand", "demographics", "habit", "query_parts"
]

#: Between the parts of a category path.
_SEPARATOR: Final = " > "
#: Those that are several features, one a field of the shopper or a part of the query.
_SEVERAL: Final = ("demographics", "query_parts")


class Categories(BaseModel):
    """The values of each categorical feature that training has seen often enough.

    Number 0 is for all others: rare, missing and new ones. ``demographics`` is a feature for each
    field (``demographics.age``), ``query_parts`` one for each place (``query_parts.1``) of queries
    that have several. Features without a value that is frequent enough are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field((), description="Features, in order.")
    values: tuple[tuple[str, ...], ...] = Field((), description="Values of each, sorted.")

    @classmethod
    def fit(cls, examples: Examples, names: Sequence[CategoryName], smallest: int) -> Categories:
        """Values that at least ``smallest`` rows have.

        Raises
        ------
        DataError
            If a row's demographics are no JSON object.
        """
        read = _Columns(examples)
        found = [
            part for name in names for part in (read.several(name) if name in _SEVERAL else (name,))
        ]
        values = {}
        for name in found:
            counts = pc.value_counts(read.column(name).drop_null())
            often = pc.greater_equal(counts.field("counts"), smallest)
            values[name] = tuple(sorted(counts.field("values").filter(often).to_pylist()))
        told = {name: own for name, own in values.items() if own}
        return cls(names=tuple(told), values=tuple(told.values()))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of each feature, the unknown one included."""
        return tuple(len(values) + 1 for values in self.values)

    def apply(self, examples: Examples) -> np.ndarray[Any, Any]:
        """Numbers of the values, int64, shape (rows, features).

        Raises
        ------
        DataError
            If a row's demographics are no JSON object.
        """
        read = _Columns(examples)
        columns = [
            pc.add(
                pc.fill_null(pc.index_in(read.column(name), pa.array(values, pa.string())), -1), 1
            ).to_numpy(zero_copy_only=False)
            for name, values in zip(self.names, self.values, strict=True)
        ]
        if not columns:
            return np.zeros((len(examples), 0), np.int64)
        return np.column_stack(columns).astype(np.int64)


class _Columns:
    """The features of some rows by name; what has to be parsed is parsed once a distinct value."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self._parsed: dict[str, tuple[list[Any], np.ndarray[Any, Any]]] = {}

    def several(self, name: str) -> list[str]:
        """Names of the features that one name stands for."""
        if name == "query_parts":
            queries, _ = self._distinct("query", _several_parts)
            most = max((len(parts) for parts in queries), default=0)
            return [f"{name}.{place}" for place in range(1, most + 1)]
        people, _ = self._distinct("shopper_demographics", self._fields)
        return [f"{name}.{field}" for field in sorted({field for one in people for field in one})]

    def column(self, name: str) -> pa.Array:
        """Values, text, shape (rows,); null where a row has none."""
        kind, _, part = name.partition(".")
        if kind == "brand":
            return self._texts("item_brand")
        if kind == "category_path":
            return self._texts("item_category")
        if kind == "category":
            steps = pc.split_pattern(self._texts("item_category"), _SEPARATOR)
            return pc.list_element(steps, 0)
        if kind == "habit":
            return self._habits()
        if kind == "query_parts":
            place = int(part) - 1
            queries, numbers = self._distinct("query", _several_parts)
            values = [parts[place] if place < len(parts) else None for parts in queries]
        else:
            people, numbers = self._distinct("shopper_demographics", self._fields)
            values = [fields.get(part) for fields in people]
        return pa.array(values, pa.string()).take(pa.array(numbers))

    def _habits(self) -> pa.Array:
        people, shoppers = self._distinct("shopper_demographics", self._fields)
        kinds, items = self._distinct("item_category", str)
        pairs, numbers = np.unique(shoppers * max(len(kinds), 1) + items, return_inverse=True)
        values = [
            stated_habit(people[pair // len(kinds)], kinds[pair % len(kinds)])
            for pair in pairs.tolist()
        ]
        return pa.array(values, pa.string()).take(pa.array(numbers.reshape(-1)))

    def _distinct(
        self, column: str, parse: Callable[[str], Any]
    ) -> tuple[list[Any], np.ndarray[Any, Any]]:
        """Parsed distinct values of a column, and their numbers; a null is the empty text."""
        if column not in self._parsed:
            coded = pc.fill_null(self._texts(column), "").dictionary_encode()
            values = [parse(value) for value in coded.dictionary.to_pylist()]
            self._parsed[column] = (values, coded.indices.to_numpy().astype(np.int64))
        return self._parsed[column]

    def _texts(self, column: str) -> pa.Array:
        source = self._examples.table[column].combine_chunks()
        if isinstance(source, pa.ChunkedArray):
            chunks = source.chunks
            source = pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())
        return source

    def _fields(self, text: str) -> dict[str, str]:
        """Demographics of one shopper, their values normalised."""
        try:
            found = json.loads(text or "{}")
            return {name: normalize(value) for name, value in found.items() if value}
        except (ValueError, AttributeError, TypeError) as error:
            column = self._examples.table["shopper_demographics"]
            row = pc.index(column, pa.scalar(text)).as_py() + 1
            raise DataError(
                f"Row {row:,} of the examples: shopper_demographics is no JSON object of texts: "
                f"{text[:60]!r}.",
                hint='Write it like {"age": "26"}, or leave it empty.',
            ) from error


def _several_parts(query: str) -> list[str]:
    """Parts of a query that is a row of fields; a search is one text and has none."""
    parts = text_parts(query)
    return parts if len(parts) > 1 else []
