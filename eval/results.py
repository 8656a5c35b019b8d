"""What evaluations and comparisons hand back: plain records that become JSON, Arrow, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ArmComparison",
    "ArmVerdict",
    "Comparison",
    "DifferenceRow",
    "Evaluation",
    "EvaluationRow",
    "SliceVerdict",
    "Verdict",
    "format_figure",
    "format_figures",
    "format_interval",
    "format_number",
    "rows_to_markdown",
]

Verdict: TypeAlias = Literal["helped", "no evidence", "hurt"]


def format_number(value: float | None, *, signed: bool = False, digits: int = 4) -> str:
    """A number for people: fixed digits, a true minus sign, a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return text.replace("-", "−")


def format_interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Both bounds, or nothing."""
    if low is None or high is None:
        return ""
    return f"{format_number(low, signed=signed)} to {format_number(high, signed=signed)}"


def format_figure(value: float | None, *, signed: bool = False) -> str:
    """A number of any size for people: three significant digits, a dash where there is none."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    size = abs(value)
    text = f"{value:{sign},.0f}" if size >= 100 else f"{value:{sign}.3g}"
    return text.replace("-", "−")


def format_figures(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Both bounds as :func:`format_figure` writes them, or nothing."""
    if low is None or high is None:
        return ""
    return f"{format_figure(low, signed=signed)} to {format_figure(high, signed=signed)}"


def rows_to_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; pipes and line ends inside cells are made harmless."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluationRow(_Record):
    """One metric on one slice, with a 95 % interval."""

    slice: str = Field(description="Which rows: all, warm items, cold items, ...")
    metric: str = Field(description="Name in footfall.eval.metrics.METRICS.")
    value: float | None = Field(description="Mean over seeds; null where not measurable.")
    low: float | None = Field(None, description="Lower bound of the 95 % interval.")
    high: float | None = Field(None, description="Upper bound of the 95 % interval.")
    rows: int = Field(description="Score rows in the slice.")
    positives: int = Field(description="Rows labelled true in the slice.")
    users: int = Field(description="Users with rows in the slice.")
    note: str = Field("", description="Why it is not measurable, or a caution.")


class _Table(_Record):
    """Something with a list of records that becomes a table."""

    def _records(self) -> list[_Record]:
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table, one column per field."""
        records: list[dict[str, Any]] = [record.model_dump() for record in self._records()]
        return pa.Table.from_pylist(records)


class Evaluation(_Table):
    """Metrics by slice of one model."""

    rows: list[EvaluationRow]
    seeds: int = Field(1, description="Trained models averaged over.")
    resamples: int = Field(description="Bootstrap resamples of users.")
    seed: int = Field(description="Seed of the bootstrap.")

    def _records(self) -> list[_Record]:
        return list(self.rows)

    def row(self, metric: str, slice_name: str = "all") -> EvaluationRow:
        """The row of one metric and slice; ``KeyError`` where there is none."""
        for row in self.rows:
            if row.metric == metric and row.slice == slice_name:
                return row
        raise KeyError((slice_name, metric))

    def to_markdown(self) -> str:
        """The rows as a Markdown table."""
        header = ("slice", "metric", "value", "95 % interval", "rows", "positives", "note")
        body = [
            (
                row.slice,
                row.metric,
                format_number(row.value),
                format_interval(row.low, row.high),
                f"{row.rows:,}",
                f"{row.positives:,}",
                row.note,
            )
            for row in self.rows
        ]
        return rows_to_markdown(header, body)


class DifferenceRow(_Record):
    """One metric of two models on the same rows of a slice; difference is after minus before."""

    slice: str
    metric: str
    before: float | None
    after: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    rows: int
    positives: int
    note: str = ""


class SliceVerdict(_Record):
    """What a comparison says about one slice, and why."""

    slice: str
    verdict: Verdict
    reason: str


class Comparison(_Table):
    """Paired differences between two models; :func:`footfall.eval.compare` has the rule."""

    before: str = Field(description="Name of the first model.")
    after: str = Field(description="Name of the second model.")
    rows: list[DifferenceRow]
    verdicts: list[SliceVerdict] = Field(description="One per slice, `all` first.")
    seeds: int
    resamples: int
    seed: int

    @property
    def verdict(self) -> Verdict:
        """The verdict over all rows."""
        return self.verdicts[0].verdict

    @property
    def reason(self) -> str:
        """Why, in words, over all rows."""
        return self.verdicts[0].reason

    def _records(self) -> list[_Record]:
        return list(self.rows)

    def row(self, metric: str, slice_name: str = "all") -> DifferenceRow:
        """The row of one metric and slice; ``KeyError`` where there is none."""
        for row in self.rows:
            if row.metric == metric and row.slice == slice_name:
                return row
        raise KeyError((slice_name, metric))

    def to_markdown(self) -> str:
        """The rows as a Markdown table."""
        header = ("slice", "metric", self.before, self.after, "difference", "95 % interval", "note")
        body = [
            (
                row.slice,
                row.metric,
                format_number(row.before),
                format_number(row.after),
                format_number(row.difference, signed=True),
                format_interval(row.low, row.high, signed=True),
                row.note,
            )
            for row in self.rows
        ]
        return rows_to_markdown(header, body)


class ArmVerdict(_Record):
    """What the synthetic rows of one arm did on one slice, against real and the best control."""

    arm: str
    slice: str
    verdict: Verdict
    reason: str
    best_control: str | None = None


class ArmComparison(_Table):
    """Many arms of equal volume beside the reference (real rows only)."""

    reference: str
    synthetic: list[str]
    controls: list[str]
    evaluations: dict[str, Evaluation] = Field(description="Arm to its metrics.")
    comparisons: list[Comparison] = Field(description="Every other arm against the reference.")
    against_control: list[Comparison] = Field(
        description="Every synthetic arm against each control that is best on some slice."
    )
    verdicts: list[ArmVerdict] = Field(description="Synthetic arms x slices.")

    def versus(self, before: str | None, after: str) -> Comparison | None:
        """The comparison of two arms, or ``None`` where it was not made."""
        for found in (*self.comparisons, *self.against_control):
            if (found.before, found.after) == (before, after):
                return found
        return None

    @property
    def verdict(self) -> Verdict:
        """The verdict over all rows on the last synthetic arm, the one that is spoken of first."""
        return self.overall(self.synthetic[-1]).verdict

    def overall(self, arm: str) -> ArmVerdict:
        """What is said of a synthetic arm over all rows."""
        return next(row for row in self.verdicts if (row.slice, row.arm) == ("all", arm))

    def _records(self) -> list[_Record]:
        return list(self.verdicts)

    def to_markdown(self) -> str:
        """AUC and log loss of every arm, then the verdicts."""
        header = ("arm", "AUC", "95 % interval", "log loss", "95 % interval")
        body = []
        for name, evaluation in self.evaluations.items():
            cells = [name]
            for metric in ("auc", "log_loss"):
                row = evaluation.row(metric)
                cells += [format_number(row.value), format_interval(row.low, row.high)]
            body.append(cells)
        verdicts = [(row.arm, row.slice, row.verdict, row.reason) for row in self.verdicts]
        words = rows_to_markdown(("arm", "slice", "verdict", "reason"), verdicts)
        return rows_to_markdown(header, body) + "\n" + words
