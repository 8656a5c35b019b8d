"""What a likeness hands back: rows of measures, and the numbers behind its figures."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from footfall.eval.results import format_interval, format_number, rows_to_markdown

__all__ = ["NOT_RECORDED", "WITHIN", "Likeness", "LikenessRow", "MixShare", "PositionPoint"]

NOT_RECORDED: Final = "not recorded in the real log"
#: Begins the note of a measure on which a real part of the run's size can be as far away.
WITHIN: Final = "within real against real"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LikenessRow(_Record):
    """One measure of both sides, their distance, and that of a real part to the rest."""

    measure: str
    real: float | None = Field(description="Null where the real log does not record it.")
    synthetic: float | None
    distance: float | None = Field(None, description="Synthetic to real, in the kind's unit.")
    kind: str = Field("difference", description="difference, Jensen-Shannon, or mean difference.")
    floor: float | None = Field(
        None, description="Mean distance of a real part of the run's size to the rest."
    )
    floor_low: float | None = None
    floor_high: float | None = None
    ratio: float | None = Field(None, description="distance / floor.")
    unit: str = Field("", description="What real and synthetic are, where it is not plain.")
    note: str = ""


class PositionPoint(_Record):
    """Share of impressions at one position that were responded to."""

    position: int
    real: float | None
    synthetic: float | None
    simple: float | None = Field(None, description="Of the simple simulator, where compared.")


class MixShare(_Record):
    """Share of one top-level category among the items responded to."""

    name: str
    real: float
    synthetic: float
    simple: float | None = Field(None, description="Of the simple simulator, where compared.")


class Likeness(_Record):
    """How alike a run and the real log are."""

    run_id: str
    rows: list[LikenessRow]
    real_sessions: int
    real_users: int
    synthetic_sessions: int
    response: str = Field(description="Response behind the mixes: clicked, carted or purchased.")
    splits: int
    seed: int
    positions: list[PositionPoint] = Field(default_factory=list)
    categories: list[MixShare] = Field(default_factory=list)

    def row(self, measure: str) -> LikenessRow:
        """The row of one measure; ``KeyError`` where there is none."""
        for row in self.rows:
            if row.measure == measure:
                return row
        raise KeyError(measure)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table, one column per field."""
        return pa.Table.from_pylist([row.model_dump() for row in self.rows])

    def to_markdown(self) -> str:
        """The rows as a Markdown table."""
        header = ("measure", "real", "synthetic", "distance", "floor", "95 %", "ratio", "note")
        body = [
            (
                row.measure,
                format_number(row.real),
                format_number(row.synthetic),
                format_number(row.distance),
                format_number(row.floor),
                format_interval(row.floor_low, row.floor_high),
                format_number(row.ratio, digits=1),
                row.note,
            )
            for row in self.rows
        ]
        return rows_to_markdown(header, body)
