"""Synthetic sessions beside the real ones, and one half of the real users beside the other.

A distance alone says nothing. Every row therefore carries the floor: how far two random halves
of the real users are apart on the same measure, as mean and 95 % interval over several splits.
What the real log does not record (null responses, no positions, sampled slates) is reported as
"not recorded in the real log", never as a number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.errors import EmptyLogError, SettingError
from footfall.eval.distinctness import Queries
from footfall.eval.likeness_counts import MAX_POSITION, Counts, Response, Sides, Window
from footfall.eval.likeness_results import Likeness, LikenessRow, MixShare, PositionPoint

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["Likeness", "LikenessRow", "MixShare", "PositionPoint", "likeness"]

Floats: TypeAlias = npt.NDArray[np.float64]
Value: TypeAlias = Callable[[Floats], float]
Distance: TypeAlias = Callable[[Floats, Floats], float]

NOT_RECORDED: Final = "not recorded in the real log"
_SHOWN_CATEGORIES: Final = 12
_WORDS: Final[dict[Response, tuple[str, str]]] = {
    "clicked": ("clicks", "a click"),
    "carted": ("items put in the cart", "something in the cart"),
    "purchased": ("purchases", "a purchase"),
}


def _share(counts: Floats) -> float:
    return float(counts[0] / counts[1]) if counts[1] else np.nan


def _effective_number(counts: Floats) -> float:
    if not counts.sum():
        return np.nan
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _jensen_shannon(first: Floats, second: Floats) -> float:
    if not first.sum() or not second.sum():
        return np.nan
    from scipy.spatial.distance import jensenshannon

    return float(np.nan_to_num(jensenshannon(first, second, base=2)))


def _rates(counts: Floats) -> tuple[Floats, Floats]:
    """Response rate and impressions by position."""
    positive, shown = counts[:MAX_POSITION], counts[MAX_POSITION:]
    return np.divide(positive, shown, out=np.full(MAX_POSITION, np.nan), where=shown > 0), shown


def _top_rate(counts: Floats) -> float:
    return float(_rates(counts)[0][0])


def _curve_distance(first: Floats, second: Floats) -> float:
    one, shown = _rates(first)
    other, also = _rates(second)
    both = (shown > 0) & (also > 0)
    return (
        float(np.average(np.abs(one - other)[both], weights=shown[both])) if both.any() else np.nan
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class _Comparer:
    """Compares counts of both sides, and of random halves of the real users."""

    def __init__(self, user_count: int, splits: int, generator: np.random.Generator) -> None:
        order = generator.random((splits, user_count)).argsort(axis=1)
        self.halves: npt.NDArray[np.bool_] = order < user_count // 2

    def row(
        self,
        measure: str,
        counts: Counts,
        value: Value = _share,
        distance: Distance | None = None,
        *,
        kind: str = "difference",
        recorded: bool = True,
        note: str = "",
    ) -> LikenessRow:
        synthetic = _number(value(counts.synthetic))
        total = counts.real_total
        real = _number(value(total))
        if not recorded or real is None:
            return LikenessRow(measure=measure, real=None, synthetic=synthetic, note=NOT_RECORDED)
        if synthetic is None:
            return LikenessRow(
                measure=measure, real=real, synthetic=None, note="not measurable in the run"
            )
        between: Distance = distance or (lambda one, other: abs(value(one) - value(other)))
        first: Floats = self.halves.astype(np.float64) @ counts.real
        floors = np.array([between(half, total - half) for half in np.asarray(first)])
        return _floored(
            measure, real, synthetic, between(total, counts.synthetic), floors, kind=kind, note=note
        )


def _floored(
    measure: str,
    real: float,
    synthetic: float,
    distance: float,
    floors: Floats,
    *,
    kind: str = "difference",
    note: str = "",
) -> LikenessRow:
    """A row with the floor's mean and interval, and the note that compares the two."""
    floors = floors[~np.isnan(floors)]
    row = LikenessRow(
        measure=measure, real=real, synthetic=synthetic, distance=_number(distance), kind=kind
    )
    if not len(floors) or np.isnan(distance):
        words = "too few real users for two halves"
        return row.model_copy(update={"note": f"{words}; {note}" if note else words})
    low, high = (float(bound) for bound in np.quantile(floors, [0.025, 0.975]))
    mean = float(floors.mean())
    ratio = distance / mean if mean > 0 else None
    if distance <= high + 1e-12:
        words = "as close as two halves of the real log"
    elif ratio is None:
        words = "the real halves do not differ, the synthetic part does"
    else:
        words = f"{ratio:,.1f} times as far as two halves of the real log"
    return row.model_copy(
        update={
            "floor": mean,
            "floor_low": low,
            "floor_high": high,
            "ratio": ratio,
            "note": f"{words}; {note}" if note else words,
        }
    )


def _slate_rows(sides: Sides, comparer: _Comparer) -> list[LikenessRow]:
    whole = sides.records("whole")
    return [
        comparer.row("impressions per slate", sides.ratio("impressions", "slates"), recorded=whole),
        comparer.row("slates per session", sides.ratio("slates", "whole_sessions"), recorded=whole),
    ]


def _response_rows(
    sides: Sides, comparer: _Comparer, response: Response, *, outside: bool
) -> list[LikenessRow]:
    words, one = _WORDS[response]
    recorded = sides.records(f"{response}_known") or outside
    total = sides.ratio(f"{response}_total", f"{response}_sessions")
    buying = sides.ratio(f"{response}_any", f"{response}_sessions")
    if outside:
        total, buying = sides.outside_purchases()
    note = ""
    if recorded and _share(buying.real_total) == 1.0:
        note = f"the real log holds only sessions with {one}"
    return [
        comparer.row(f"{words} per session", total, recorded=recorded, note=note),
        comparer.row(f"sessions with {one}", buying, recorded=recorded, note=note),
        comparer.row(
            f"{words} per impression",
            sides.ratio(f"{response}_whole", f"{response}_shown"),
            recorded=recorded and sides.records("whole") and not outside,
        ),
    ]


def _mix_rows(
    sides: Sides,
    comparer: _Comparer,
    response: Response,
    until: datetime | None,
    *,
    outside: bool,
) -> tuple[list[LikenessRow], Counts]:
    categories = sides.categories(response, outside=outside)
    mean_price, price_mix = sides.prices(response, outside=outside)
    words = _WORDS[response][0]
    rows = [
        comparer.row(
            f"category mix of {words}",
            categories,
            _effective_number,
            _jensen_shannon,
            kind="Jensen-Shannon",
        ).model_copy(update={"unit": "effective number of top-level categories"}),
        comparer.row(f"mean price of {words}", mean_price),
        comparer.row(
            f"price mix of {words}",
            price_mix,
            _effective_number,
            _jensen_shannon,
            kind="Jensen-Shannon",
        ).model_copy(update={"unit": "effective number of the real log's ten price tenths"}),
    ]
    if until is not None:
        new = sides.new_items(response, until, outside=outside)
        rows.append(comparer.row(f"share of new items in {words}", new))
    return rows, categories


def _query_rows(queries: Queries, comparer: _Comparer, seed: int) -> list[LikenessRow]:
    rows = []
    found = queries.lengths()
    rows.append(comparer.row("query length in words", found))
    for size in (1, 2):
        measure = f"distinct-{size} of queries"
        drawn = queries.distinct(size, comparer.halves, np.random.default_rng((seed, size)))
        if drawn is None:
            note = NOT_RECORDED if not queries.real_count else "too few queries to compare"
            rows.append(LikenessRow(measure=measure, real=None, synthetic=None, note=note))
            continue
        note = f"samples of {drawn.sample:,} queries"
        rows.append(
            _floored(
                measure,
                drawn.real,
                drawn.synthetic,
                abs(drawn.real - drawn.synthetic),
                drawn.floors,
                note=note,
            )
        )
    return rows


def _position_rows(
    sides: Sides, comparer: _Comparer, response: Response
) -> tuple[list[LikenessRow], list[PositionPoint]]:
    counts = sides.positions(response)
    row = comparer.row(
        f"{_WORDS[response][0]} by position",
        counts,
        _top_rate,
        _curve_distance,
        kind="mean difference",
    )
    row = row.model_copy(update={"unit": "rate at the top position"})
    if row.real is None:
        return [row], []
    real, _ = _rates(counts.real_total)
    synthetic, _ = _rates(counts.synthetic)
    points = [
        PositionPoint(position=place + 1, real=_number(one), synthetic=_number(other))
        for place, (one, other) in enumerate(zip(real, synthetic, strict=True))
        if not (np.isnan(one) and np.isnan(other))
    ]
    return [row], points


def _top_categories(counts: Counts) -> list[MixShare]:
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
    """Compare a run's sessions with the real ones, beside real halves against each other.

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
        Random halvings of the real users.
    seed:
        Seed of the halvings and of the sampled queries.

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
    sessions = _session_totals(sides, run_id)
    comparer = _Comparer(len(sides.users), splits, np.random.default_rng(seed))
    outside = not sides.records("purchased_known") and sides.has_purchases()
    bought = outside or sides.records("purchased_known")
    response: Response = "purchased" if bought else "clicked"
    curve: Response = "clicked" if sides.records("clicked_known") else response
    rows = _slate_rows(sides, comparer)
    for each in ("clicked", "carted", "purchased"):
        if each == "carted" and not _records_on_a_side(sides, each):
            continue
        apart = outside and each == "purchased"
        rows += _response_rows(sides, comparer, each, outside=apart)
    position_rows, points = _position_rows(sides, comparer, curve)
    mix_rows, categories = _mix_rows(sides, comparer, response, until, outside=outside)
    queries = Queries(sides.queries(), len(sides.users))
    return Likeness(
        run_id=run_id,
        rows=[*rows, *position_rows, *mix_rows, *_query_rows(queries, comparer, seed)],
        real_sessions=sessions[0],
        real_users=len(sides.users),
        synthetic_sessions=sessions[1],
        response=response,
        splits=splits,
        seed=seed,
        positions=points,
        categories=_top_categories(categories),
    )


def _records_on_a_side(sides: Sides, response: Response) -> bool:
    column = f"{response}_known"
    return sides.records(column) or sides.records(column, synthetic=True)


def _session_totals(sides: Sides, run_id: str) -> tuple[int, int]:
    """Real and synthetic sessions; an error where either is missing."""
    counts: Any = sides.ratio("sessions", "sessions")
    real, synthetic = int(counts.real_total[0]), int(counts.synthetic[0])
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
