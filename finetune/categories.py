"""Categorical features of item, shopper and query as numbers, with the training rows' values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import DataError
from footfall.finetune.example_table import Examples
from footfall.personas.stated_habits import field_about
from footfall.personas.tokens import normalize, text_parts

__all__ = ["Categories", "CategoryName"]

CategoryName: TypeAlias = Literal[
    "category", "category_path", "brand", "demographics", "habit", "query_parts"
]
Array = np.ndarray[Any, Any]

#: Between the parts of a category path.
_SEPARATOR: Final = " > "


class Categories(BaseModel):
    """The values of each categorical feature that training has seen often enough.

    Number 0 is for all others: rare, missing and new ones. ``demographics`` is a feature for each
    field (``demographics.age``), ``query_parts`` one for each place (``query_parts.1``) of queries
    that have several. Features without a value that is frequent enough are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field((), description="Features, in order.")
    values: tuple[tuple[str, ...], ...] = Field((), description="Values of each, sorted.")
    fields: tuple[str, ...] = Field((), description="Fields of the demographics, sorted.")

    @classmethod
    def fit(cls, examples: Examples, names: Sequence[CategoryName], smallest: int) -> Categories:
        """Values that at least ``smallest`` rows have, of a query's parts as many slates.

        Raises
        ------
        DataError
            If a row's demographics are no JSON object of texts.
        """
        read = _Columns(examples)
        fields = read.fields() if {"demographics", "habit"} & set(names) else ()
        one_each = np.unique(examples.slate_numbers(), return_index=True)[1]
        told = {}
        for name in names:
            rows = one_each if name == "query_parts" else slice(None)
            for feature in read.features(name, fields):
                values, numbers = read.coded(feature, fields)
                counts: Counter[str] = Counter()
                for value, count in zip(
                    values, np.bincount(numbers[rows], minlength=len(values)), strict=True
                ):
                    if value is not None:
                        counts[value] += int(count)
                often = sorted(value for value, count in counts.items() if count >= smallest)
                if often:
                    told[feature] = tuple(often)
        habit = "habit" in told
        return cls(names=tuple(told), values=tuple(told.values()), fields=fields if habit else ())

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of each feature, the unknown one included."""
        return tuple(len(values) + 1 for values in self.values)

    def apply(self, examples: Examples) -> Array:
        """Numbers of the values, int64, shape (rows, features).

        Raises
        ------
        DataError
            If a row's demographics are no JSON object of texts.
        """
        read = _Columns(examples)
        found = np.zeros((len(examples), len(self.names)), np.int64)
        for place, (name, known) in enumerate(zip(self.names, self.values, strict=True)):
            number_of: dict[str | None, int] = dict(
                zip(known, range(1, len(known) + 1), strict=True)
            )
            values, numbers = read.coded(name, self.fields)
            if values:
                found[:, place] = np.array([number_of.get(v, 0) for v in values])[numbers]
        return found


class _Columns:
    """The features of some rows; what has to be parsed is parsed once a distinct value."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self._parsed: dict[tuple[str, Callable[[str], Any]], tuple[list[Any], Array]] = {}

    def fields(self) -> tuple[str, ...]:
        """Names of what is known of some shopper, sorted."""
        people, _ = self._distinct("shopper_demographics", self._told)
        return tuple(sorted({name for one in people for name in one}))

    def features(self, name: str, fields: Sequence[str]) -> list[str]:
        """Names of the features that one name stands for."""
        if name == "query_parts":
            queries, _ = self._distinct("query", _several_parts)
            most = max((len(parts) for parts in queries), default=0)
            return [f"{name}.{place}" for place in range(1, most + 1)]
        return [f"{name}.{field}" for field in fields] if name == "demographics" else [name]

    def coded(self, name: str, fields: Sequence[str]) -> tuple[list[str | None], Array]:
        """Values, and the number of each row's, shape (rows,); values may repeat."""
        kind, _, part = name.partition(".")
        if kind == "brand":
            return self._distinct("item_brand", _or_none)
        if kind == "category_path":
            return self._distinct("item_category", _or_none)
        if kind == "category":
            return self._distinct("item_category", _first_step)
        if kind == "habit":
            return self._habits(fields)
        if kind == "query_parts":
            place = int(part) - 1
            queries, numbers = self._distinct("query", _several_parts)
            return [parts[place] if place < len(parts) else None for parts in queries], numbers
        people, numbers = self._distinct("shopper_demographics", self._told)
        return [one.get(part) for one in people], numbers

    def _habits(self, fields: Sequence[str]) -> tuple[list[str | None], Array]:
        people, shoppers = self._distinct("shopper_demographics", self._told)
        kinds, items = self._distinct("item_category", str)
        about = [field_about(kind, fields) for kind in kinds]
        pairs, numbers = np.unique(shoppers * max(len(kinds), 1) + items, return_inverse=True)
        values = []
        for pair in pairs.tolist():
            field = about[pair % len(kinds)]
            values.append(None if field is None else people[pair // len(kinds)].get(field))
        return values, numbers.reshape(-1)

    def _distinct(self, column: str, parse: Callable[[str], Any]) -> tuple[list[Any], Array]:
        """Parsed distinct values of a column, and their numbers; a null is the empty text."""
        key = (column, parse)
        if key not in self._parsed:
            coded = pc.fill_null(self._examples.table[column], "").dictionary_encode()
            # Coded first: the texts of a large table are too long for one array.
            coded = coded.unify_dictionaries().combine_chunks()
            if isinstance(coded, pa.ChunkedArray):
                self._parsed[key] = ([], np.zeros(0, np.int64))
            else:
                values = [parse(value) for value in coded.dictionary.to_pylist()]
                self._parsed[key] = (values, coded.indices.to_numpy().astype(np.int64))
        return self._parsed[key]

    def _told(self, text: str) -> dict[str, str]:
        """Demographics of one shopper, their values normalised."""
        try:
            said = {name: _plain(value) for name, value in json.loads(text or "{}").items()}
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            table = self._examples.table
            row = pc.index(table["shopper_demographics"], pa.scalar(text)).as_py()
            raise DataError(
                f"Example {table['example_id'][row].as_py()!r}: shopper_demographics is no JSON "
                f"object of texts: {text[:60]!r}.",
                hint='Write it like {"age": "26"}, or leave it empty.',
            ) from error
        return {name: value for name, value in said.items() if value}


def _plain(value: Any) -> str:
    """A text or number as normalised text; a null is the empty text."""
    if isinstance(value, (list, dict)):
        raise TypeError("neither text nor number")
    return "" if value is None else " ".join(normalize(str(value)).split())


def _several_parts(query: str) -> list[str]:
    """Parts of a query that is a row of fields; a search is one text and has none."""
    parts = text_parts(query)
    return parts if len(parts) > 1 else []


def _or_none(text: str) -> str | None:
    return text or None


def _first_step(path: str) -> str | None:
    return path.split(_SEPARATOR, maxsplit=1)[0] or None
