"""Measures that are made of counts per user: each knows its value, its distance and its words.

A value or a distance is a function of the summed counts of a side. So a part of the users, or a
resample of them, is a sum over other rows of the same small matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.likeness_counts import MAX_POSITION, Counts, Response, Sides

__all__ = [
    "CountedMeasure",
    "LogMeasures",
    "Section",
    "effective_number",
    "jensen_shannon",
    "position_rates",
    "read_measures",
    "share",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Value: TypeAlias = Callable[[Floats], float]
Distance: TypeAlias = Callable[[Floats, Floats], float]
Section: TypeAlias = Literal["rates", "positions", "mixes", "queries", "sessions", "models"]

_WORDS: Final[dict[Response, tuple[str, str]]] = {
    "clicked": ("clicks", "a click"),
    "carted": ("items put in the cart", "something in the cart"),
    "purchased": ("purchases", "a purchase"),
}
#: What the shoppers do more or less often, for sentences.
_DEEDS: Final[dict[Response, str]] = {
    "clicked": "click",
    "carted": "put items in the cart",
    "purchased": "buy",
}


def share(counts: Floats) -> float:
    """First count divided by the second; ``nan`` where the second is zero."""
    return float(counts[0] / counts[1]) if counts[1] else np.nan


def effective_number(counts: Floats) -> float:
    """Exponential of the entropy: how many equally large bins would be as varied."""
    if not counts.sum():
        return np.nan
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def jensen_shannon(first: Floats, second: Floats) -> float:
    """Jensen-Shannon distance, the root of the divergence in bits: 0 to 1 (Lin 1991)."""
    if not first.sum() or not second.sum():
        return np.nan
    from scipy.spatial.distance import jensenshannon

    return float(np.nan_to_num(jensenshannon(first, second, base=2)))


def position_rates(counts: Floats) -> tuple[Floats, Floats]:
    """Response rate and impressions by position, each of shape ``(MAX_POSITION,)``."""
    positive, shown = counts[:MAX_POSITION], counts[MAX_POSITION:]
    return np.divide(positive, shown, out=np.full(MAX_POSITION, np.nan), where=shown > 0), shown


def _top_rate(counts: Floats) -> float:
    return float(position_rates(counts)[0][0])


def _curve_distance(first: Floats, second: Floats) -> float:
    one, shown = position_rates(first)
    other, also = position_rates(second)
    both = (shown > 0) & (also > 0)
    return (
        float(np.average(np.abs(one - other)[both], weights=shown[both])) if both.any() else np.nan
    )


@dataclass(frozen=True, slots=True)
class CountedMeasure:
    """One measure of both sides.

    ``distance`` is the absolute difference of the values where it is ``None``. ``recorded`` says
    whether the real log records it; ``deed`` is what shoppers do more or less often, for
    sentences.
    """

    name: str
    counts: Counts
    value: Value = share
    distance: Distance | None = None
    kind: str = "difference"
    unit: str = ""
    note: str = ""
    deed: str = ""
    recorded: bool = True
    section: Section = "rates"

    def between(self, first: Floats, second: Floats) -> float:
        """Distance of two summed counts; ``nan`` where it is not defined."""
        if self.distance is not None:
            return self.distance(first, second)
        return abs(self.value(first) - self.value(second))


@dataclass(frozen=True, slots=True)
class LogMeasures:
    """The measures of a run beside the real log, and what their figures are made of.

    ``only`` names the responses that every real session has.
    """

    measures: list[CountedMeasure]
    response: Response
    outside: bool
    positions: Counts | None
    categories: Counts
    only: tuple[Response, ...] = ()


def _slates(sides: Sides) -> list[CountedMeasure]:
    whole = sides.records("whole")
    return [
        CountedMeasure(
            "impressions per slate", sides.ratio("impressions", "slates"), recorded=whole
        ),
        CountedMeasure(
            "slates per session", sides.ratio("slates", "whole_sessions"), recorded=whole
        ),
    ]


def _responses(
    sides: Sides, response: Response, *, outside: bool, lone: bool
) -> list[CountedMeasure]:
    words, one = _WORDS[response]
    recorded = sides.records(f"{response}_known") or outside
    total = sides.ratio(f"{response}_total", f"{response}_sessions")
    responding = sides.ratio(f"{response}_any", f"{response}_sessions")
    if outside:
        total, responding = sides.outside_purchases()
    note = ""
    only = recorded and share(responding.real_total) == 1.0
    if only:
        note = f"the real log holds only sessions with {one}"
    per_session = CountedMeasure(
        f"{words} per session", total, recorded=recorded, note=note, deed=_DEEDS[response]
    )
    any_of = CountedMeasure(f"sessions with {one}", responding, recorded=recorded, note=note)
    if only and lone:
        # How many sessions have none is what such a log leaves out.
        any_of = replace(any_of, recorded=False)
        per_session = replace(
            per_session, counts=_per(total, responding), note=f"{note}: per session with {one}"
        )
    return [
        per_session,
        any_of,
        CountedMeasure(
            f"{words} per impression",
            sides.ratio(f"{response}_whole", f"{response}_shown"),
            recorded=recorded and sides.records("whole") and not outside,
            deed=_DEEDS[response],
        ),
    ]


def _per(upper: Counts, lower: Counts) -> Counts:
    """Two bins: the first of ``upper`` and the first of ``lower``."""
    from scipy.sparse import csr_array, hstack

    def beside(one: Any, other: Any) -> Any:
        return csr_array(hstack([one[:, [0]], other[:, [0]]]))

    return Counts(
        beside(upper.real, lower.real),
        beside(upper.made, lower.made),
        (upper.labels[0], lower.labels[0]),
    )


def _mixes(
    sides: Sides, response: Response, until: datetime | None, *, outside: bool
) -> list[CountedMeasure]:
    mean_price, price_mix = sides.prices(response, outside=outside)
    words = _WORDS[response][0]
    mix = CountedMeasure(
        "", price_mix, effective_number, jensen_shannon, "Jensen-Shannon", section="mixes"
    )
    found = [
        replace(
            mix,
            name=f"category mix of {words}",
            counts=sides.categories(response, outside=outside),
            unit="effective number of top-level categories",
        ),
        CountedMeasure(f"mean price of {words}", mean_price, section="mixes"),
        replace(
            mix,
            name=f"price mix of {words}",
            unit="effective number of the real log's ten price tenths",
        ),
    ]
    if until is not None:
        new = sides.new_items(response, until, outside=outside)
        found.append(CountedMeasure(f"share of new items in {words}", new, section="mixes"))
    return found


def _position_curve(sides: Sides, response: Response) -> CountedMeasure:
    return CountedMeasure(
        f"{_WORDS[response][0]} by position",
        sides.positions(response),
        _top_rate,
        _curve_distance,
        kind="mean difference",
        unit="rate at the top position",
        section="positions",
    )


def read_measures(sides: Sides, until: datetime | None, *, lone: bool = False) -> LogMeasures:
    """Every measure that SQL counts.

    Purchases come from the table ``purchases`` where the real log's impressions have none. An item
    without a real response before ``until`` is new; that measure is left out without it, and where
    the real sessions end there too: they could not hold a new item. With ``lone``, a real log that
    holds only sessions with a response is compared with such sessions of the run.
    """
    end = sides.window.end
    if until is not None and end is not None and end <= until:
        until = None
    outside = not sides.records("purchased_known") and sides.has_purchases()
    bought = outside or sides.records("purchased_known")
    response: Response = "purchased" if bought else "clicked"
    curve_of: Response = "clicked" if sides.records("clicked_known") else response
    found = _slates(sides)
    for each in ("clicked", "carted", "purchased"):
        if each == "carted" and not _on_a_side(sides, each):
            continue
        apart = outside and each == "purchased"
        found += _responses(sides, each, outside=apart, lone=lone)
    curve = _position_curve(sides, curve_of)
    mixes = _mixes(sides, response, until, outside=outside)
    known = not np.isnan(curve.value(curve.counts.real_total))
    return LogMeasures(
        [*found, curve, *mixes],
        response,
        outside,
        curve.counts if known else None,
        mixes[0].counts,
        tuple(each for each in _WORDS if _only_with(each, found)),
    )


def _only_with(response: Response, measures: list[CountedMeasure]) -> bool:
    """Whether the real log holds only sessions with such a response."""
    name = f"sessions with {_WORDS[response][1]}"
    return any(measure.name == name and measure.note for measure in measures)


def _on_a_side(sides: Sides, response: Response) -> bool:
    column = f"{response}_known"
    return sides.records(column) or sides.records(column, synthetic=True)
