"""Equal-volume controls: what as many extra rows give without a language model."""

from __future__ import annotations

import numpy as np

from footfall.errors import EmptyLogError, SettingError
from footfall.finetune.example_table import Examples
from footfall.finetune.slate_copies import draw_slates, rename_copies

__all__ = ["oversample_real", "random_pairs"]

_OF_SHOPPER = (
    "user_id",
    "session_id",
    "query",
    "shopper_text",
    "shopper_profile",
    "shopper_demographics",
    "shopper_history",
    "user_cold",
    "has_query",
)


def oversample_real(real: Examples, count: int, seed: int) -> Examples:
    """``count`` more rows: whole real slates drawn again, the last one cut to fit.

    The copies have ids of their own and the origin ``control:oversample``. Join them by
    :meth:`Examples.concat`; ``fuse`` would drop them as duplicates.

    Raises
    ------
    EmptyLogError
        If there are no real rows.
    SettingError
        If ``count`` is negative.
    """
    _check(real, count)
    rng = np.random.default_rng(seed)
    rows, copy = draw_slates(real, count, rng)
    return rename_copies(real.take(rows), copy, "control:oversample")


def random_pairs(real: Examples, count: int, seed: int) -> Examples:
    """``count`` rows of a random shopper and a random item, labelled at the real response rate.

    Shopper, query and session come from one real row, item and its features from another, and
    ``category_affinity`` from a third, which is what pairs without a reason look like. The origin
    is ``control:random``; the labels are drawn, so there is nothing in them to learn.

    Raises
    ------
    EmptyLogError
        If there are no real rows.
    SettingError
        If ``count`` is negative.
    """
    _check(real, count)
    rng = np.random.default_rng(seed)
    shoppers, items, affinities = rng.integers(len(real), size=(3, count))
    labels = rng.random(count) < np.average(real.labels, weights=real.weights)
    pairs = real.take(items)
    chosen = real.take(shoppers).table
    for name in _OF_SHOPPER:
        pairs = pairs.with_column(name, chosen[name].combine_chunks())
    pairs = pairs.with_column("category_affinity", real.column("category_affinity")[affinities])
    # A slate keeps the usual number of rows, so that it is judged like the others.
    size = max(1, round(len(real) / (int(real.slate_numbers().max()) + 1)))
    pairs = pairs.with_column("label", labels).with_column("weight", np.ones(count))
    return rename_copies(pairs, np.arange(count) // size, "control:random")


def _check(real: Examples, count: int) -> None:
    if not len(real):
        raise EmptyLogError("There are no real examples to make controls of.")
    if count < 0:
        raise SettingError(f"count: {count} is negative.")
