"""Examples from columns that hold only what a classifier reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError
from footfall.finetune.example_table import EXAMPLE_SCHEMA, FEATURE_NAMES, Examples
from footfall.simulator.schema import ORIGIN_REAL

__all__ = ["complete_examples", "needed_columns"]

#: What stands in for a column that is not there; other columns are null.
_DEFAULTS: Final[dict[str, Any]] = {
    "session_id": "",
    "user_id": "",
    "item_id": "",
    "shopper_text": "",
    "shopper_profile": "",
    "shopper_demographics": "{}",
    "label": False,
    "weight": 1.0,
    "sample_rate": 1.0,
    "origin": ORIGIN_REAL,
    "item_cold": False,
    "user_cold": False,
    **dict.fromkeys(FEATURE_NAMES, 0.0),
}
#: Columns whose values decide a score, so that none of them may be null.
_NEVER_NULL: Final = ("shopper_text", "item_text", *FEATURE_NAMES)


def needed_columns(features: Sequence[str], categories: Sequence[str]) -> tuple[str, ...]:
    """Columns that a classifier with these features cannot do without.

    ``categories`` are settings' or those of a trained model (``demographics.age``).
    """
    columns = ["item_text", *(name for name in features if name != "has_query")]
    kinds = {name.partition(".")[0] for name in categories}
    if {"category", "category_path", "habit"} & kinds:
        columns.append("item_category")
    if "brand" in kinds:
        columns.append("item_brand")
    if {"demographics", "habit"} & kinds:
        columns.append("shopper_demographics")
    return tuple(columns)


def complete_examples(
    table: pa.Table,
    *,
    needed: Sequence[str] = ("item_text",),
    where: str = "The rows",
    rows_before: int = 0,
) -> Examples:
    """Examples of a table that need not have all columns.

    Parameters
    ----------
    table:
        Columns of :data:`~footfall.finetune.example_table.EXAMPLE_SCHEMA`; others are left out.
        A row without ``search_id`` is a slate of its own, without ``query`` it is browsing, and a
        shopper of whom nothing is said has an empty text. ``has_query`` follows from the query.
    needed:
        Columns that must be there.
    where:
        What an error calls the table, such as a file's name.
    rows_before:
        Rows of it that went before these: rows without an id, and errors, are numbered from there.

    Raises
    ------
    DataError
        If a needed column is missing, has the wrong type, or lacks a value that is read.
    """
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise DataError(
            f"{where}: the column(s) {', '.join(missing)} are missing.",
            hint="`footfall fuse` and footfall.finetune.read_examples make all columns.",
        )
    count = table.num_rows
    found: dict[str, Any] = {
        field.name: _cast(table[field.name], field, where)
        for field in EXAMPLE_SCHEMA
        if field.name in table.column_names
    }
    for name in ("example_id", "search_id"):
        if name not in found:
            found[name] = pa.array(
                np.arange(rows_before, rows_before + count).astype(str), pa.string()
            )
    if "has_query" not in found and "query" in found:
        found["has_query"] = pc.cast(pc.is_valid(found["query"]), pa.float64())
    for name in _NEVER_NULL:
        if name in found and (name in needed or name.endswith("_text")):
            _check_values(found[name], name, where, rows_before)
    columns = [
        found[field.name] if field.name in found else _default(field, count)
        for field in EXAMPLE_SCHEMA
    ]
    return Examples(pa.table(columns, schema=EXAMPLE_SCHEMA))


def _cast(column: pa.ChunkedArray, field: pa.Field, where: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        column = column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{where}: the column {field.name} cannot be read as {field.type}: {error}"
        ) from error
    filled = field.name in _DEFAULTS and field.name not in _NEVER_NULL
    return pc.fill_null(column, _DEFAULTS[field.name]) if filled else column


def _default(field: pa.Field, count: int) -> pa.Array:
    if pa.types.is_list(field.type):
        return pa.array([[]] * count, field.type)
    value = _DEFAULTS.get(field.name)
    if value is None:
        return pa.nulls(count, field.type)
    return pa.repeat(pa.scalar(value, field.type), count)


def _check_values(column: pa.ChunkedArray, name: str, where: str, rows_before: int) -> None:
    known = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        known = pc.fill_null(pc.and_(known, pc.is_finite(column)), False)
    if not pc.all(known, min_count=0).as_py():
        row = rows_before + int(np.argmin(known.to_numpy())) + 1
        raise DataError(f"{where}: the column {name} has no usable value in row {row:,}.")
