"""The table that the classifier is trained on and asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError, EmptyLogError
from footfall.simulator.schema import ORIGIN_REAL

__all__ = ["EXAMPLE_SCHEMA", "FEATURE_NAMES", "Examples"]

#: Numeric columns that the classifier reads beside the texts, in this order.
FEATURE_NAMES: Final = (
    "price_log",
    "price_vs_category",
    "popularity_log",
    "category_popularity_log",
    "category_affinity",
    "has_query",
)

#: Columns of :attr:`Examples.table`. ``query`` is null when browsing. ``shopper_text`` is
#: :func:`~footfall.personas.describe.shopper_line` of profile and history (latest item texts,
#: oldest first); ``shopper_demographics`` is a JSON object of texts. ``score`` is the simulator's
#: log-odds, null for real rows.
EXAMPLE_SCHEMA: Final = pa.schema(
    [
        ("example_id", pa.string()),
        ("search_id", pa.string()),
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("query", pa.string()),
        ("shopper_text", pa.string()),
        ("shopper_profile", pa.string()),
        ("shopper_demographics", pa.string()),
        ("shopper_history", pa.list_(pa.string())),
        ("item_text", pa.string()),
        ("item_category", pa.string()),
        ("item_brand", pa.string()),
        ("label", pa.bool_()),
        ("weight", pa.float64()),
        ("sample_rate", pa.float64()),
        ("origin", pa.string()),
        ("shown_at", pa.timestamp("us")),
        ("position", pa.int32()),
        ("score", pa.float64()),
        *((name, pa.float64()) for name in FEATURE_NAMES),
        ("item_cold", pa.bool_()),
        ("user_cold", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Examples:
    """Impressions with what is known about shopper and item.

    Parameters
    ----------
    table:
        One row an impression, in the columns of :data:`EXAMPLE_SCHEMA`.

    Raises
    ------
    DataError
        If a column is missing or has a type that cannot be cast.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        missing = [name for name in EXAMPLE_SCHEMA.names if name not in self.table.column_names]
        if missing:
            raise DataError(
                f"The examples lack the column(s) {', '.join(missing)}.",
                hint="Make examples with footfall.finetune.read_examples.",
            )
        try:
            table = self.table.select(EXAMPLE_SCHEMA.names).cast(EXAMPLE_SCHEMA)
        except (pa.ArrowInvalid, ValueError) as error:
            raise DataError(f"The examples have a column of a wrong type: {error}.") from error
        object.__setattr__(self, "table", table.combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the numeric feature columns."""
        return FEATURE_NAMES

    @property
    def labels(self) -> np.ndarray[Any, Any]:
        """Responses, bool, shape (rows,)."""
        return self.column("label").astype(bool)

    @property
    def weights(self) -> np.ndarray[Any, Any]:
        """Row weights, float64, shape (rows,)."""
        return self.column("weight").astype(np.float64)

    @property
    def features(self) -> np.ndarray[Any, Any]:
        """Numeric features before standardisation, float64, shape (rows, features)."""
        if not len(self):
            return np.zeros((0, len(FEATURE_NAMES)))
        return np.column_stack([self.column(name).astype(np.float64) for name in FEATURE_NAMES])

    @property
    def synthetic(self) -> np.ndarray[Any, Any]:
        """True where a row does not come from the real log, shape (rows,)."""
        flags: np.ndarray[Any, Any] = self.column("origin") != ORIGIN_REAL
        return flags

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """One column as a numpy array, shape (rows,)."""
        values: np.ndarray[Any, Any] = self.table[name].to_numpy()
        return values

    def slate_numbers(self) -> np.ndarray[Any, Any]:
        """Number of the slate of each row, 0 for the first slate seen, shape (rows,)."""
        codes = pc.dictionary_encode(self.table["search_id"].combine_chunks())
        if isinstance(codes, pa.ChunkedArray):
            codes = codes.combine_chunks()
        numbers: np.ndarray[Any, Any] = codes.indices.to_numpy(zero_copy_only=False)
        return numbers.astype(np.int64)

    def take(self, rows: np.ndarray[Any, Any]) -> Examples:
        """The rows of a boolean mask or of row numbers, in that order."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        return Examples(self.table.take(pa.array(rows.astype(np.int64))))

    def with_column(self, name: str, values: Any) -> Examples:
        """A copy in which one column is replaced."""
        place = EXAMPLE_SCHEMA.get_field_index(name)
        field = EXAMPLE_SCHEMA.field(name)
        return Examples(self.table.set_column(place, field, pa.array(values, field.type)))

    def with_synthetic_scaled(self, factor: float) -> Examples:
        """The same rows, those that are not real with ``factor`` times their weight."""
        return self.with_column(
            "weight", np.where(self.synthetic, factor * self.weights, self.weights)
        )

    def score_table(self, probability: np.ndarray[Any, Any]) -> pa.Table:
        """Columns that the evaluation reads: label, probability, group, user, weight, cold flags.

        ``group`` is the search, so that ranking is judged within a slate.
        """
        return pa.table(
            {
                "label": self.table["label"],
                "probability": pa.array(np.asarray(probability, np.float64)),
                "group": self.table["search_id"],
                "user_id": self.table["user_id"],
                "weight": self.table["weight"],
                "item_cold": self.table["item_cold"],
                "user_cold": self.table["user_cold"],
            }
        )

    @classmethod
    def concat(cls, parts: Sequence[Examples]) -> Examples:
        """Rows of all parts, in order.

        Raises
        ------
        EmptyLogError
            If there are no parts.
        """
        if not parts:
            raise EmptyLogError("There are no examples to join.")
        return cls(pa.concat_tables([part.table for part in parts]))
