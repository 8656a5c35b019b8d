"""Synthetic sessions beside the real ones, and a part of the real users beside the rest.

A distance alone says nothing. Every row therefore carries the floor: how far a random part of the
real users, of the run's size, is from the rest on the same measure, as mean and 95 % interval over
several splits. What the real log does not record (null responses, no positions, sampled slates) is
reported as "not recorded in the real log", never as a number.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.errors import EmptyLogError, SettingError
from footfall.eval.counted_measures import CountedMeasure, position_rates, read_measures
from footfall.eval.distinctness import Queries
from footfall.eval.likeness_counts import Counts, Sides, Window
from footfall.eval.likeness_results import (
    NOT_RECORDED,
    WITHIN,
    Likeness,
    LikenessRow,
    MixShare,
    PositionPoint,
)
from footfall.eval.real_parts import real_parts

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "Likeness",
    "LikenessRow",
    "MixShare",
    "PositionPoint",
    "likeness",
    "position_points",
    "session_totals",
    "top_categories",
]

Floats: TypeAlias = npt.NDArray[np.float64]

_SHOWN_CATEGORIES: Final = 12


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class _Comparer:
    """Compares both sides, and random parts of the real users of the run's size with the rest."""

    def __init__(self, sides: Sides, splits: int, seed: int) -> None:
        target = int(sides.sessions(synthetic=True).sum())
        self.parts = real_parts(sides.sessions(), target, splits, np.random.default_rng(seed))

    def row(self, measure: CountedMeasure) -> LikenessRow:
        counts = measure.counts
        total = counts.real_total
        synthetic, real = (_number(measure.value(side)) for side in (counts.synthetic, total))
        row = LikenessRow(
            measure=measure.name, real=real, synthetic=synthetic, unit=measure.unit, note=""
        )
        if not measure.recorded or real is None:
            return row.model_copy(update={"real": None, "note": NOT_RECORDED})
        if synthetic is None:
            return row.model_copy(update={"note": "not measurable in the run"})
        parts: Floats = np.asarray(self.parts.astype(np.float64) @ counts.real)
        floors = np.array([measure.between(part, total - part) for part in parts])
        distance = measure.between(total, counts.synthetic)
        row = row.model_copy(update={"kind": measure.kind})
        return _floored(row, distance, floors, measure.note)


def _floored(row: LikenessRow, distance: float, floors: Floats, note: str = "") -> LikenessRow:
    """The row with the floor's mean and interval, and the note that compares the two."""
    floors = floors[~np.isnan(floors)]
    row = row.model_copy(update={"distance": _number(distance)})
    if not len(floors) or np.isnan(distance):
        words = "too few real users for two parts"
        return row.model_copy(update={"note": f"{words}; {note}" if note else words})
    low, high = (float(bound) for bound in np.quantile(floors, [0.025, 0.975]))
    mean = float(floors.mean())
    ratio = distance / mean if mean > 0 else None
    if distance <= high + 1e-12:
        words = WITHIN
    elif ratio is None:
        words = "real parts do not differ, the run does"
    else:
        words = f"{ratio:,.1f} times as far as real against real"
    return row.model_copy(
        update={
            "floor": mean,
            "floor_low": low,
            "floor_high": high,
            "ratio": ratio,
            "note": f"{words}; {note}" if note else words,
        }
    )


def _query_rows(queries: Queries, comparer: _Comparer, seed: int) -> list[LikenessRow]:
    rows = [comparer.row(CountedMeasure("query length in words", queries.lengths()))]
    for size in (1, 2):
        drawn = queries.distinct(size, comparer.parts, np.random.default_rng((seed, size)))
        row = LikenessRow(measure=f"distinct-{size} of queries", real=None, synthetic=None)
        if drawn is None:
            note = "too few queries to compare" if queries.real_count else NOT_RECORDED
            rows.append(row.model_copy(update={"note": note}))
            continue
        row = row.model_copy(update={"real": drawn.real, "synthetic": drawn.synthetic})
        note = f"samples of {drawn.sample:,} queries"
        rows.append(_floored(row, abs(drawn.real - drawn.synthetic), drawn.floors, note))
    return rows


def position_points(counts: Counts | None) -> list[PositionPoint]:
    """Response rate of both sides at every position that one of them shows."""
    if counts is None:
        return []
    real, _ = position_rates(counts.real_total)
    synthetic, _ = position_rates(counts.synthetic)
    return [
        PositionPoint(position=place + 1, real=_number(one), synthetic=_number(other))
        for place, (one, other) in enumerate(zip(real, synthetic, strict=True))
        if not (np.isnan(one) and np.isnan(other))
    ]


def top_categories(counts: Counts) -> list[MixShare]:
    """Shares of the largest categories; empty where a side has no response."""
    real, synthetic = counts.real_total, counts.synthetic
    if not real.sum() or not synthetic.sum():
        return []
    real, synthetic = real / real.sum(), synthetic / synthetic.sum()
    largest = np.argsort(-np.maximum(real, synthetic), kind="stable")[:_SHOWN_CATEGORIES]
    return [
        MixShare(name=counts.labels[k], real=float(real[k]), synthetic=float(synthetic[k]))
        for k in largest
    ]


def likeness(
    log: Log,
    run_id: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    until: datetime | None = None,
    splits: int = 20,
    seed: int = 0,
) -> Likeness:
    """Compare a run's sessions with the real ones, beside real parts of its size.

    The floor is a random part of the real users of the run's size (about as many sessions, at most
    half of the users) against the rest: a short run cannot come nearer than a short real part.

    Parameters
    ----------
    log:
        The open log with both origins.
    run_id:
        Origin of the synthetic rows.
    start, end:
        Real sessions that started from ``start`` and before ``end`` are compared; all by default.
    until:
        End of the training part: an item without a real click or purchase before it is new. The
        share of new items is left out without it.
    splits:
        Random parts of the real users.
    seed:
        Seed of the parts and of the sampled queries.

    Raises
    ------
    EmptyLogError
        If the log has no sessions of the run, or no real ones in the window.
    SettingError
        If ``splits`` is below 1.
    """
    if splits < 1:
        raise SettingError(f"splits = {splits} must be at least 1.", hint="Use 20.")
    sides = Sides(log, Window(run_id, start, end))
    real_sessions, synthetic_sessions = session_totals(sides, run_id)
    comparer = _Comparer(sides, splits, seed)
    found = read_measures(sides, until)
    rows = [comparer.row(measure) for measure in found.measures]
    return Likeness(
        run_id=run_id,
        rows=[*rows, *_query_rows(Queries(sides.queries(), sides.users), comparer, seed)],
        real_sessions=real_sessions,
        real_users=len(sides.users.real),
        synthetic_sessions=synthetic_sessions,
        response=found.response,
        splits=splits,
        seed=seed,
        positions=position_points(found.positions),
        categories=top_categories(found.categories),
    )


def session_totals(sides: Sides, run_id: str) -> tuple[int, int]:
    """Real and synthetic sessions; an ``EmptyLogError`` where either is missing."""
    real, synthetic = (int(sides.sessions(synthetic=side).sum()) for side in (False, True))
    if not synthetic:
        raise EmptyLogError(
            f"The log has no sessions of the run {run_id!r}.",
            hint="Run `footfall simulate` first, or name another run.",
        )
    if not real:
        raise EmptyLogError(
            "The log has no real sessions to compare with.",
            hint="Ingest the real log with `footfall ingest`, or widen start and end.",
        )
    return real, synthetic
