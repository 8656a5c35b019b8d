"""What a fidelity comparison hands back: rows of three columns, figures and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import SettingError
from footfall.eval.likeness_results import MixShare, PositionPoint
from footfall.eval.results import format_number, rows_to_markdown

__all__ = [
    "COLUMNS",
    "MEASURES",
    "Fidelity",
    "FidelityColumn",
    "FidelityRow",
    "RowVerdict",
    "check_limits",
    "format_distance",
]

RowVerdict: TypeAlias = Literal["within", "further", "not measured"]

#: The three columns of every row: attribute, heading.
COLUMNS: Final[tuple[tuple[Literal["synthetic", "floor", "simple"], str], ...]] = (
    ("synthetic", "run"),
    ("floor", "real against real"),
    ("simple", "simple simulator"),
)


#: Every name that a measure can have; which ones a log has depends on what it records.
MEASURES: Final[tuple[str, ...]] = (
    "impressions per slate",
    "slates per session",
    *(
        name
        for words, one in (
            ("clicks", "a click"),
            ("items put in the cart", "something in the cart"),
            ("purchases", "a purchase"),
        )
        for name in (
            f"{words} per session",
            f"sessions with {one}",
            f"{words} per impression",
            f"{words} by position",
            f"category mix of {words}",
            f"mean price of {words}",
            f"price mix of {words}",
            f"share of new items in {words}",
            f"spread of {words} per session",
        )
    ),
    "searches per session",
    "sessions without a query",
    "sessions of one page",
    "spread of pages per session",
    "minutes per session",
    "hour of the day",
    "query length in words",
    "session Frechet distance",
    "distinct-1 of queries",
    "distinct-2 of queries",
    "embedding distance of queries",
    "embedding distance of items responded to",
    "classifier two-sample test",
    "train on synthetic, test on real",
)


def check_limits(
    largest_ratio: float, require: Sequence[str], known: Sequence[str] = MEASURES
) -> None:
    """Check the limits of a comparison.

    Raises
    ------
    SettingError
        If the ratio is not 0 or more, or a required measure is not among the ``known`` ones.
    """
    if not largest_ratio >= 0:
        raise SettingError(f"largest_ratio = {largest_ratio} must be 0 or more.", hint="Use 2.")
    for measure in require:
        if measure not in known:
            raise SettingError(
                f"There is no measure {measure!r}.", hint=f"Measures: {', '.join(known)}."
            )


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FidelityColumn(_Record):
    """One side's value and its distance to the real log, with a 95 % interval over users."""

    value: float | None = Field(None, description="Value of the side, where the measure has one.")
    distance: float | None = Field(None, description="Distance to the real log, 0 or more.")
    low: float | None = Field(None, description="Lower bound of the 95 % interval of distance.")
    high: float | None = Field(None, description="Upper bound of the 95 % interval of distance.")
    ratio: float | None = Field(None, description="distance / the floor's distance.")


class FidelityRow(_Record):
    """One measure: the real value, and how far the run, real parts and a simple simulator are."""

    measure: str
    section: str = Field(description="rates, positions, mixes, queries, sessions or models.")
    unit: str = Field("", description="What the values are, where it is not plain.")
    kind: str = Field("difference", description="How distance is made; see docs/fidelity.md.")
    real: float | None = Field(description="Null where the real log does not record it.")
    synthetic: FidelityColumn = Field(description="The run against the real log.")
    floor: FidelityColumn = Field(description="A real part of the run's size against the rest.")
    simple: FidelityColumn = Field(description="The simple simulator against the real log.")
    direction: Literal["higher", "lower", "same", ""] = Field(
        "", description="The run's value beside the real one; empty where there is no order."
    )
    verdict: RowVerdict
    words: str = Field(description="The verdict in words, or why there is none.")
    shift: str = Field("", description="What the run has more or less of, in words.")
    deed: str = Field("", description="What shoppers do more or less often, for sentences.")
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether the run and real parts can be compared."""
        return self.verdict != "not measured"

    @property
    def excess(self) -> float:
        """How many times as far as real against real; infinite where real parts do not differ."""
        if not self.measured or not self.synthetic.distance:
            return 0.0
        return math.inf if self.synthetic.ratio is None else self.synthetic.ratio

    def beyond(self, largest_ratio: float) -> bool:
        """Whether the run is outside the floor's interval and more than so many times as far."""
        return self.verdict == "further" and self.excess > largest_ratio


class Fidelity(_Record):
    """How true a run is to the real log, measure by measure."""

    run_id: str
    until: datetime | None = Field(description="End of the training part, as the run knew it.")
    start: datetime | None
    end: datetime | None
    real_sessions: int
    real_users: int
    synthetic_sessions: int
    synthetic_users: int
    part_sessions: int = Field(description="Mean sessions of the real parts.")
    splits: int
    model_splits: int = Field(description="Real parts where a model is trained for each.")
    resamples: int
    seed: int
    response: str = Field(description="Response behind the mixes: clicked, carted or purchased.")
    rows: list[FidelityRow]
    positions: list[PositionPoint] = Field(default_factory=list)
    categories: list[MixShare] = Field(default_factory=list)
    cautions: list[str] = Field(default_factory=list)
    verdict: str = Field(description="What differs most, in plain words.")

    def row(self, measure: str) -> FidelityRow:
        """The row of one measure; ``KeyError`` where there is none."""
        for row in self.rows:
            if row.measure == measure:
                return row
        raise KeyError(measure)

    def exceeding(
        self, largest_ratio: float = 2.0, require: Sequence[str] = ()
    ) -> list[FidelityRow]:
        """Rows over the limit: outside real against real and more than so many times as far.

        With ``require`` only those measures count, and one that could not be measured counts as
        over the limit.

        Raises
        ------
        SettingError
            If a required measure is unknown or the ratio is not a number of 0 or more.
        """
        check_limits(largest_ratio, require, [row.measure for row in self.rows])
        if not require:
            return [row for row in self.rows if row.beyond(largest_ratio)]
        wanted = [row for row in self.rows if row.measure in require]
        return [row for row in wanted if not row.measured or row.beyond(largest_ratio)]

    def passed(self, largest_ratio: float = 2.0, require: Sequence[str] = ()) -> bool:
        """Whether no measure is over the limit; see :meth:`exceeding`."""
        return not self.exceeding(largest_ratio, require)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table; the three columns are structures."""
        return pa.Table.from_pylist([row.model_dump() for row in self.rows])

    def to_markdown(self) -> str:
        """The verdict and the rows as a Markdown table."""
        header = ("measure", "real", *(name for _, name in COLUMNS), "verdict")
        body = [
            (
                row.measure,
                format_number(row.real, digits=3),
                *(format_distance(getattr(row, attribute)) for attribute, _ in COLUMNS),
                row.words,
            )
            for row in self.rows
        ]
        return f"{self.verdict}\n\n{rows_to_markdown(header, body)}"


def format_distance(column: FidelityColumn, digits: int = 3) -> str:
    """Distance and interval in one cell; a dash where there is none."""
    if column.distance is None:
        return "–"
    text = format_number(column.distance, digits=digits)
    if column.low is None or column.high is None:
        return text
    bounds = (format_number(bound, digits=digits) for bound in (column.low, column.high))
    return f"{text} ({' to '.join(bounds)})"
