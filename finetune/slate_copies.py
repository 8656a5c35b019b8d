"""Copies of whole slates, with ids and an origin of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples

__all__ = ["draw_slates", "rename_copies", "rows_of_slates", "whole_slates"]

Array = np.ndarray[Any, Any]


def rows_of_slates(examples: Examples, slates: Array) -> tuple[Array, Array]:
    """Rows of the given slates, one slate after another.

    Parameters
    ----------
    examples:
        Where the slates are.
    slates:
        Slate numbers (:meth:`Examples.slate_numbers`), repeated as often as wanted.

    Returns
    -------
    tuple
        Row numbers, and for each of them its place among ``slates``.
    """
    numbers = examples.slate_numbers()
    order = np.argsort(numbers, kind="stable")
    sizes = np.bincount(numbers)
    starts = np.r_[0, np.cumsum(sizes)]
    lengths = sizes[slates] if len(slates) else np.zeros(0, np.int64)
    ends = np.cumsum(lengths)
    copy = np.repeat(np.arange(len(slates)), lengths)
    within = np.arange(len(copy)) - np.repeat(ends - lengths, lengths)
    return order[starts[slates][copy] + within] if len(copy) else copy, copy


def draw_slates(
    examples: Examples, count: int, rng: np.random.Generator, among: Array | None = None
) -> tuple[Array, Array]:
    """``count`` rows: whole slates drawn with replacement, the last one cut to fit.

    ``among`` has the numbers of the slates that may be drawn; all by default. Returns what
    :func:`rows_of_slates` does.
    """
    sizes = np.bincount(examples.slate_numbers())
    allowed = np.arange(len(sizes)) if among is None else among
    drawn = allowed[rng.integers(len(allowed), size=int(np.ceil(count / sizes[allowed].min())))]
    rows, copy = rows_of_slates(examples, drawn)
    return rows[:count], copy[:count]


def whole_slates(examples: Examples, count: int, seed: int) -> Array:
    """``count`` rows, or all if there are fewer: whole slates drawn, the last one cut to fit."""
    slates = int(examples.slate_numbers().max(initial=-1)) + 1
    drawn = np.random.default_rng([seed, 18]).permutation(slates)
    return rows_of_slates(examples, drawn)[0][:count]


def rename_copies(examples: Examples, copies: Array, origin: str) -> Examples:
    """New ids and an origin, so that no copied row passes for a real one.

    ``copies`` has the number of each row's slate.
    """
    searches = np.char.add(f"{origin}/", copies.astype(str)).astype(object)
    ids = np.char.add(f"{origin}/row/", np.arange(len(examples)).astype(str)).astype(object)
    table = examples.table
    for name, values in (
        ("search_id", pa.array(searches, pa.string())),
        ("example_id", pa.array(ids, pa.string())),
        ("origin", pa.array([origin] * len(examples), pa.string())),
    ):
        table = table.set_column(EXAMPLE_SCHEMA.get_field_index(name), name, values)
    return Examples(table)
