"""Two targets side by side with the same shoppers: which is better, and how certain that is.

Both meet the same visits, and the same visit's chance of clicking the same item is the same in
front of both (common random numbers), so what differs between them differs because of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import norm

from footfall.eval.results import format_figure, format_figures, rows_to_markdown
from footfall.eval.stress.rows import MeasureRow

__all__ = ["ABRow", "ab_rows", "ab_table"]

#: Half of a 95 % interval in standard errors.
_HALF: Final = float(norm.ppf(0.975))
#: Standard errors of a difference that a test finds four times in five, at 5 %.
_DETECTED: Final = _HALF + float(norm.ppf(0.8))


class ABRow(BaseModel):
    """One measure of both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str
    a: float | None
    b: float | None
    difference: float | None = Field(description="A less B.")
    low: float | None = None
    high: float | None = None
    certainty: float | None = Field(
        None, description="Probability that the difference has the sign that was found."
    )
    better: Literal["A", "B", ""] = Field(
        "", description="Which is better, where the interval leaves zero out."
    )
    saved: float | None = Field(
        None,
        description="Share of the visits that common random numbers save: two crowds of their own "
        "would have needed that many more for the same interval.",
    )
    visits_needed: int | None = Field(
        None, description="Visits at which a difference of this size is found four times in five."
    )


def ab_rows(a: Sequence[MeasureRow], b: Sequence[MeasureRow], *, visits: int) -> list[ABRow]:
    """One row a measure of A.

    Parameters
    ----------
    a:
        Measures of A compared with B, paired by shopper.
    b:
        Measures of B by themselves, for the interval that B would have alone.
    visits:
        Visits of each.
    """
    of_b = {row.measure: row for row in b}
    return [_row(row, of_b.get(row.measure), visits) for row in a]


def _row(row: MeasureRow, other: MeasureRow | None, visits: int) -> ABRow:
    paired = _error(row.difference_low, row.difference_high)
    certainty = needed = saved = None
    if row.difference is not None and paired:
        certainty = float(norm.cdf(abs(row.difference) / paired))
        if row.difference:
            needed = ceil(visits * (_DETECTED * paired / abs(row.difference)) ** 2)
        alone = _error(row.low, row.high), _error(other.low, other.high) if other else None
        if alone[0] and alone[1]:
            saved = 1.0 - paired**2 / (alone[0] ** 2 + alone[1] ** 2)
    return ABRow(
        measure=row.measure,
        a=row.value,
        b=row.baseline,
        difference=row.difference,
        low=row.difference_low,
        high=row.difference_high,
        certainty=certainty,
        better={"better": "A", "worse": "B", "": ""}[row.judged],
        saved=saved,
        visits_needed=needed,
    )


def _error(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else (high - low) / (2.0 * _HALF)


def ab_table(rows: Sequence[ABRow], *, a: str, b: str) -> str:
    """The rows as a Markdown table."""
    names = {"A": a, "B": b, "": "cannot be told"}
    body = [
        [
            row.measure,
            format_figure(row.a),
            format_figure(row.b),
            f"{format_figure(row.difference, signed=True)} "
            f"({format_figures(row.low, row.high, signed=True)})",
            names[row.better],
            "–" if row.certainty is None else f"{row.certainty:.1%}",
            "–" if row.saved is None else f"{row.saved:.0%}",
            "–" if row.visits_needed is None else f"{row.visits_needed:,}",
        ]
        for row in rows
        if row.difference is not None
    ]
    header = ["measure", a, b, "difference", "better", "certainty of the sign", "visits saved"]
    return rows_to_markdown([*header, "visits needed"], body)
