"""What fusion did: to each synthetic row, and in sum."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from footfall.files import whole_file
from footfall.finetune.example_table import Examples
from footfall.finetune.row_weights import effective_sample_size

__all__ = [
    "KEPT",
    "PROVENANCE_SCHEMA",
    "FusionReport",
    "RowFates",
    "provenance_table",
    "rescaled_provenance",
    "save_provenance",
    "summarise",
]

Array = np.ndarray[Any, Any]

#: Outcome of the rows that are in the training set.
KEPT: Final = "kept"

#: One row a synthetic row, in the order in which they were given. ``outcome`` is ``kept`` or the
#: reason. ``merged_into`` names the row that stands for a merged one, and ``merged_rows`` how many
#: rows a kept one stands for, itself included; ``read_weight`` is the sum of their weights. The
#: weight is the product of ``read_weight`` and the factors; all of these are null for rows that
#: were dropped.
PROVENANCE_SCHEMA: Final = pa.schema(
    [
        ("example_id", pa.string()),
        ("search_id", pa.string()),
        ("item_id", pa.string()),
        ("origin", pa.string()),
        ("label", pa.bool_()),
        ("item_cold", pa.bool_()),
        ("outcome", pa.string()),
        ("merged_into", pa.string()),
        ("merged_rows", pa.int64()),
        ("read_weight", pa.float64()),
        ("merging", pa.float64()),
        ("alpha", pa.float64()),
        ("time", pa.float64()),
        ("density", pa.float64()),
        ("confidence", pa.float64()),
        ("weight", pa.float64()),
    ]
)


class FusionReport(BaseModel):
    """What fusion did in sum; weights are those of the synthetic rows that are left."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    real_rows: int = Field(description="Real rows; none is ever dropped.")
    synthetic_rows: int = Field(description="Synthetic rows given.")
    kept_rows: int = Field(description="Synthetic rows in the training set.")
    dropped: dict[str, int] = Field(description="Rows not kept, by reason.")
    runs: dict[str, int] = Field(description="Kept rows by the run that made them.")
    real_weight: float = Field(description="Sum of the real rows' weights.")
    synthetic_weight: float = Field(description="Sum of the kept synthetic rows' weights.")
    smallest_weight: float | None = Field(None, description="Smallest weight of a kept row.")
    median_weight: float | None = Field(None, description="Median weight of the kept rows.")
    largest_weight: float | None = Field(None, description="Largest weight of a kept row.")
    cold_weight_share: float | None = Field(
        None, description="Share of the synthetic weight that is about cold items."
    )
    effective_rows: float = Field(
        description="Equally weighted rows that tell as much as the kept ones (Kish)."
    )
    density_auc: float | None = Field(
        None, description="How well unseen real and synthetic rows were told apart; 0.5: not."
    )
    confidence_auc: float | None = Field(
        None, description="How well the model of real rows tells unseen real responses."
    )
    notes: tuple[str, ...] = Field((), description="What could not be done, and why.")

    def lines(self) -> list[str]:
        """The report in words, one finding a line."""
        said = [
            f"{self.real_rows:,} real rows, weight {self.real_weight:,.1f}",
            f"{self.kept_rows:,} of {self.synthetic_rows:,} synthetic rows, "
            f"weight {self.synthetic_weight:,.1f}, worth {self.effective_rows:,.0f} equal rows",
        ]
        said += [f"left out, {reason}: {count:,}" for reason, count in self.dropped.items()]
        if self.smallest_weight is not None:
            said.append(
                f"weights from {self.smallest_weight:.3g} to {self.largest_weight:.3g}, "
                f"median {self.median_weight:.3g}, {self.cold_weight_share:.0%} about cold items"
            )
        if self.density_auc is not None:
            said.append(f"real and synthetic rows told apart with AUC {self.density_auc:.3f}")
        if self.confidence_auc is not None:
            said.append(f"model of real rows, for confidence: AUC {self.confidence_auc:.3f}")
        return [*said, *self.notes]


class RowFates:
    """What became of every synthetic row so far."""

    def __init__(self, synthetic: Examples) -> None:
        self.synthetic = synthetic
        count = len(synthetic)
        self.outcome = np.full(count, KEPT, object)
        self.stands_for = np.arange(count)
        self.same = np.ones(count, np.int64)
        self.read_weight = synthetic.weights
        self.factors: dict[str, Array] = {
            name: np.ones(count) for name in ("merging", "alpha", "time", "density", "confidence")
        }

    @property
    def kept(self) -> Array:
        """True for the rows that are left, shape (rows,)."""
        flags: Array = self.outcome == KEPT
        return flags

    @property
    def weights(self) -> Array:
        """Weight of every row as if it were kept, shape (rows,)."""
        product: Array = np.prod([self.read_weight, *self.factors.values()], axis=0)
        return product

    def drop(self, rows: Array, reason: str) -> None:
        """Leave out rows (boolean mask); a row that is left out already keeps its first reason."""
        self.outcome[rows & self.kept] = reason

    def weigh(self, factor: str, values: Array | float) -> None:
        """Set a factor of the rows that are left, in their order."""
        self.factors[factor][self.kept] = values

    def left(self) -> Examples:
        """The rows that are left, at their weights."""
        kept = self.kept
        return self.synthetic.take(kept).with_column("weight", self.weights[kept])


def provenance_table(fates: RowFates) -> pa.Table:
    """One row a synthetic row in the columns of :data:`PROVENANCE_SCHEMA`."""
    table = fates.synthetic.table
    ids = fates.synthetic.column("example_id")
    kept = fates.kept
    merged = fates.stands_for != np.arange(len(ids))
    merged &= fates.stands_for >= 0
    columns: dict[str, Any] = {
        name: table[name]
        for name in ("example_id", "search_id", "item_id", "origin", "label", "item_cold")
    }
    columns["outcome"] = pa.array(fates.outcome, pa.string())
    columns["merged_into"] = pa.array(ids[fates.stands_for], pa.string(), mask=~merged)
    columns["merged_rows"] = pa.array(fates.same, pa.int64(), mask=~kept)
    for name, values in {"read_weight": fates.read_weight, **fates.factors}.items():
        columns[name] = pa.array(values, pa.float64(), mask=~kept)
    columns["weight"] = pa.array(fates.weights, pa.float64(), mask=~kept)
    return pa.table({name: columns[name] for name in PROVENANCE_SCHEMA.names}).cast(
        PROVENANCE_SCHEMA
    )


def rescaled_provenance(provenance: pa.Table, factor: float) -> pa.Table:
    """The same rows at ``factor`` times their weight: ``alpha`` and ``weight`` are multiplied."""
    for name in ("alpha", "weight"):
        place = provenance.schema.get_field_index(name)
        provenance = provenance.set_column(
            place, provenance.schema.field(name), pc.multiply(provenance[name], factor)
        )
    return provenance


def save_provenance(provenance: pa.Table, path: str | Path) -> Path:
    """Write a provenance table to a Parquet file, replacing it in one step.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    with whole_file(path) as partial:
        pq.write_table(provenance, partial, compression="zstd")
    return Path(path)


def summarise(real: Examples, fates: RowFates, **findings: Any) -> FusionReport:
    """The report on ``fates``; ``findings`` are what only the weighing knows."""
    reasons, counts = np.unique(fates.outcome[~fates.kept].astype(str), return_counts=True)
    left = fates.left()
    weights = left.weights
    runs, rows = np.unique(left.column("origin").astype(str), return_counts=True)
    total = float(weights.sum())
    summary: dict[str, Any] = {}
    if len(left):
        summary = {
            "smallest_weight": float(weights.min()),
            "median_weight": float(np.median(weights)),
            "largest_weight": float(weights.max()),
        }
    if total > 0:
        cold = left.column("item_cold").astype(bool)
        summary["cold_weight_share"] = float(weights[cold].sum()) / total
    return FusionReport(
        real_rows=len(real),
        synthetic_rows=len(fates.synthetic),
        kept_rows=len(left),
        dropped=dict(zip(reasons.tolist(), counts.tolist(), strict=True)),
        runs=dict(zip(runs.tolist(), rows.tolist(), strict=True)),
        real_weight=float(real.weights.sum()),
        synthetic_weight=total,
        effective_rows=effective_sample_size(weights),
        **summary,
        **findings,
    )
