"""Score tables: what a model said about held-out rows, checked and cut into slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError, EmptyLogError
from footfall.eval.metrics import Predictions

__all__ = ["SCORE_COLUMNS", "SLICES", "Scores", "all_users", "as_tables", "check_same_rows"]

Tables: TypeAlias = "pa.Table | Sequence[pa.Table]"
Mask: TypeAlias = npt.NDArray[np.bool_]

#: Columns of a score table; ``weight`` may be missing and is then one.
SCORE_COLUMNS: Final = (
    "label",
    "probability",
    "group",
    "user_id",
    "weight",
    "item_cold",
    "user_cold",
)

#: Slice name to the rows it keeps, in the order of the reports.
SLICES: Final[Mapping[str, Callable[[Scores], Mask]]] = MappingProxyType(
    {
        "all": lambda scores: np.ones(len(scores.labels), dtype=np.bool_),
        "warm items": lambda scores: ~scores.item_cold,
        "cold items": lambda scores: scores.item_cold,
        "warm users": lambda scores: ~scores.user_cold,
        "cold users": lambda scores: scores.user_cold,
    }
)


@dataclass(frozen=True, slots=True)
class Scores:
    """A checked score table as arrays of shape ``(rows,)``.

    ``users`` are indexes into the list of all users given to :meth:`from_table`; ``groups``
    number the pairs of user and group, so that a group never spans two users.
    """

    labels: Mask
    probabilities: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    users: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    item_cold: Mask
    user_cold: Mask

    @classmethod
    def from_table(cls, table: pa.Table, users: pa.Array, *, name: str = "scores") -> Scores:
        """Check a score table.

        Raises
        ------
        DataError
            If a column is missing or has nulls, or a value is out of range.
        EmptyLogError
            If the table has no rows.
        """
        _check_columns(table, name)
        group = pc.fill_null(table["group"].cast(pa.string()), "").combine_chunks()
        user = pc.index_in(table["user_id"].cast(pa.string()), users).to_numpy().astype(np.int64)
        codes = group.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        weights: Any = np.ones(table.num_rows)
        if "weight" in table.column_names:
            weights = table["weight"].to_numpy()
        checked = Predictions.of(
            table["label"].to_numpy(), table["probability"].to_numpy(), weights
        )
        return cls(
            checked.labels,
            checked.probabilities,
            checked.weights,
            user,
            user * (int(codes.max()) + 1) + codes.astype(np.int64),
            table["item_cold"].to_numpy().astype(bool),
            table["user_cold"].to_numpy().astype(bool),
        )

    def predictions(self, mask: Mask, threshold: float | None) -> Predictions:
        """The rows of a slice as metric input."""
        return Predictions(
            self.labels[mask],
            self.probabilities[mask],
            self.weights[mask],
            self.groups[mask],
            threshold,
        )


def _check_columns(table: pa.Table, name: str) -> None:
    missing = [c for c in SCORE_COLUMNS if c != "weight" and c not in table.column_names]
    if missing:
        raise DataError(
            f"{name}: the score table lacks the columns {', '.join(missing)}.",
            hint=f"It needs {', '.join(SCORE_COLUMNS)}.",
        )
    if not table.num_rows:
        raise EmptyLogError(
            f"{name}: the score table has no rows.", hint="Widen the test part of the split."
        )
    for column in SCORE_COLUMNS:
        if column == "group" or column not in table.column_names:
            continue
        if table[column].null_count:
            raise DataError(
                f"{name}: column {column} has {table[column].null_count} nulls.",
                hint="Give every row a value.",
            )


def as_tables(tables: Tables) -> list[pa.Table]:
    """One score table, or one per training seed, as a list.

    Raises
    ------
    DataError
        If the list is empty.
    """
    found = [tables] if isinstance(tables, pa.Table) else list(tables)
    if not found:
        raise DataError("There is no score table.", hint="Give one table per training seed.")
    return found


def all_users(tables: Sequence[pa.Table]) -> pa.Array:
    """Distinct user ids over all tables, sorted, so that draws do not depend on row order."""
    for table in tables:
        if "user_id" not in table.column_names:
            raise DataError(
                "The score table lacks the column user_id.",
                hint=f"It needs {', '.join(SCORE_COLUMNS)}.",
            )
    each = [pc.unique(table["user_id"].cast(pa.string())) for table in tables]
    users = pc.unique(pa.concat_arrays(each))
    return users.take(pc.sort_indices(users))


def check_same_rows(before: pa.Table, after: pa.Table, names: tuple[str, str]) -> None:
    """Make sure that two models were scored on the same rows in the same order.

    Raises
    ------
    DataError
        If labels, users or the number of rows differ.
    """
    same = before.num_rows == after.num_rows
    for column in ("label", "user_id"):
        same = same and bool(before[column].combine_chunks().equals(after[column].combine_chunks()))
    if not same:
        raise DataError(
            f"{names[0]} and {names[1]} were not scored on the same rows in the same order.",
            hint="Score every model on the same test examples.",
        )
