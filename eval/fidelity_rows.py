"""Rows of a fidelity report out of counted measures: distances, floors and resampled intervals.

Users are resampled by weights: all measures of a side are one sparse matrix (users by bins), and a
product with how often each user was drawn gives every measure's counts under every resample at
once. The real users are drawn alike for all measures and both made sides, so columns are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.counted_measures import CountedMeasure
from footfall.eval.fidelity_results import FidelityColumn, FidelityRow
from footfall.eval.intervals import Interval, UserResamples, percentiles
from footfall.eval.likeness_results import NOT_RECORDED

__all__ = ["Resampled", "centred_interval", "counted_rows", "make_row", "number"]

Floats: TypeAlias = npt.NDArray[np.float64]
Parts: TypeAlias = npt.NDArray[np.bool_]

WITHIN_WORDS: Final = "within real against real"


def number(value: float) -> float | None:
    """The value, or ``None`` for ``nan``."""
    return None if np.isnan(value) else float(value)


def centred_interval(distance: float, resampled: Floats) -> Interval:
    """95 % interval of a distance from resampled distances, shifted so that it is about it.

    Drawing users again adds noise to both sides, which by itself drives a distance up. The
    percentiles are therefore taken of the deviations from the resamples' mean, and cut at zero.
    """
    if np.isnan(distance):
        return Interval(None, None)
    found = percentiles(resampled)
    if found.low is None or found.high is None:
        return found
    mean = float(np.nanmean(resampled))
    low, high = distance + found.low - mean, distance + found.high - mean
    return Interval(max(0.0, min(low, distance)), max(high, distance))


class Resampled:
    """Counts of many measures under parts and resamples of the users.

    Parameters
    ----------
    matrices:
        One sparse array of shape ``(users, bins)`` per measure, all of the same users.
    resamples:
        How many times to draw the users.
    seed:
        Seed of the draws.
    """

    def __init__(self, matrices: Sequence[Any], *, resamples: int, seed: int) -> None:
        from scipy.sparse import csr_array, hstack

        self._bounds = np.cumsum([0, *(matrix.shape[1] for matrix in matrices)])
        joined = csr_array(hstack(matrices))
        self._joined = joined
        users = joined.shape[0]
        self._drawn: Floats | None = None
        # One user drawn again is the same user: no interval can come of it.
        if users > 1:
            batches = UserResamples(users, resamples=resamples, seed=seed).batches()
            self._drawn = np.vstack([(joined.T @ weights).T for _, weights in batches])

    def drawn(self, measure: int) -> Floats | None:
        """Counts of one measure under each resample, shape ``(resamples, bins)``."""
        if self._drawn is None:
            return None
        return self._drawn[:, self._bounds[measure] : self._bounds[measure + 1]]

    def of_parts(self, parts: Parts) -> list[Floats]:
        """Counts of each measure in each part of the users, shapes ``(splits, bins)``."""
        sums = np.asarray(parts.astype(np.float64) @ self._joined)
        return [sums[:, a:b] for a, b in zip(self._bounds, self._bounds[1:], strict=False)]


def _made_column(
    measure: CountedMeasure, real: Floats | None, made: Floats | None
) -> FidelityColumn:
    """Value, distance and interval of one made side against the real one."""
    total, counts = measure.counts.real_total, measure.counts.synthetic
    value = number(measure.value(counts))
    distance = measure.between(total, counts)
    if value is None or np.isnan(distance):
        return FidelityColumn(value=_shown(measure, value))
    interval = Interval(None, None)
    if real is not None or made is not None:
        size = len(real if real is not None else made)  # type: ignore[arg-type]
        pairs = (
            (total if real is None else real[k], counts if made is None else made[k])
            for k in range(size)
        )
        interval = centred_interval(
            distance, np.array([measure.between(one, other) for one, other in pairs])
        )
    return FidelityColumn(
        value=_shown(measure, value), distance=distance, low=interval.low, high=interval.high
    )


def _shown(measure: CountedMeasure, value: float | None) -> float | None:
    """Clouds have no value of their own."""
    return None if measure.kind == "Frechet" else value


def floor_column(value: float | None, floors: Floats) -> FidelityColumn:
    """Mean distance of real parts and the 95 % interval over the splits."""
    floors = floors[~np.isnan(floors)]
    if not len(floors):
        return FidelityColumn(value=value)
    low, high = (float(bound) for bound in np.quantile(floors, [0.025, 0.975]))
    return FidelityColumn(value=value, distance=float(floors.mean()), low=low, high=high)


def _ratio(column: FidelityColumn, floor: FidelityColumn) -> FidelityColumn:
    if column.distance is None or not floor.distance:
        return column
    return column.model_copy(update={"ratio": column.distance / floor.distance})


def make_row(
    measure: str,
    section: str,
    *,
    real: float | None,
    synthetic: FidelityColumn,
    floor: FidelityColumn,
    simple: FidelityColumn,
    kind: str = "difference",
    unit: str = "",
    shift: str = "",
    deed: str = "",
    note: str = "",
    lacking: str = "",
) -> FidelityRow:
    """Put a row together and say what it means; ``lacking`` is why it cannot be measured."""
    verdict, words = "further", ""
    if lacking or synthetic.distance is None:
        verdict, words = "not measured", lacking or "not measurable in the run"
    elif floor.distance is None or floor.high is None:
        verdict, words = "not measured", "too few real users for two parts"
    elif synthetic.distance <= floor.high + 1e-12:
        verdict, words = "within", WITHIN_WORDS
    elif not floor.distance:
        words = "real parts do not differ, the run does"
    else:
        times = synthetic.distance / floor.distance
        words = f"{times:,.1f} times as far as real against real"
    direction = ""
    if real is not None and synthetic.value is not None and kind == "difference":
        gap = synthetic.value - real
        direction = "same" if gap == 0 else "higher" if gap > 0 else "lower"
    return FidelityRow.model_validate(
        {
            "measure": measure,
            "section": section,
            "unit": unit,
            "kind": kind,
            "real": real,
            "synthetic": _ratio(synthetic, floor),
            "floor": _ratio(floor, floor),
            "simple": _ratio(simple, floor),
            "direction": direction,
            "verdict": verdict,
            "words": words,
            "shift": shift,
            "deed": deed,
            "note": note,
        }
    )


def _shift(measure: CountedMeasure) -> str:
    """The bins that grew and shrank most, for mixes with named bins."""
    labels = measure.counts.labels
    if measure.kind != "Jensen-Shannon" or not measure.name.startswith("category mix"):
        return ""
    real, made = measure.counts.real_total, measure.counts.synthetic
    if not real.sum() or not made.sum():
        return ""
    real, made = real / real.sum(), made / made.sum()
    words = []
    for place, more in (
        (int(np.argmax(made - real)), "more"),
        (int(np.argmin(made - real)), "less"),
    ):
        if made[place] != real[place]:
            words.append(f"{more} {labels[place]} ({made[place]:.0%} against {real[place]:.0%})")
    return ", ".join(words)


def counted_rows(
    run: Sequence[CountedMeasure],
    simple: Sequence[CountedMeasure],
    parts: Parts,
    *,
    resamples: int,
    seed: int,
) -> list[FidelityRow]:
    """Rows of the run's measures; those of the simple simulator are found by name.

    Parameters
    ----------
    run, simple:
        Measures of both made sides against the same real users.
    parts:
        Real parts of the run's size, shape ``(splits, real users)``.
    resamples:
        How often users are drawn.
    seed:
        Seed of the draws.
    """
    if not run:
        return []
    named = {measure.name: place for place, measure in enumerate(simple)}
    real = Resampled([m.counts.real for m in run], resamples=resamples, seed=seed)
    made = Resampled([m.counts.made for m in run], resamples=resamples, seed=seed + 1)
    other = None
    if simple:
        other = Resampled([m.counts.made for m in simple], resamples=resamples, seed=seed + 2)
        # Bins may be in another order there, so the same draws are repeated on its own counts.
        again = Resampled([m.counts.real for m in simple], resamples=resamples, seed=seed)
    of_parts = real.of_parts(parts)
    rows = []
    for place, measure in enumerate(run):
        total = measure.counts.real_total
        value = number(measure.value(total))
        lacking = "" if measure.recorded and value is not None else NOT_RECORDED
        synthetic, floor, beside = (FidelityColumn() for _ in range(3))
        if not lacking:
            synthetic = _made_column(measure, real.drawn(place), made.drawn(place))
            floors = [measure.between(part, total - part) for part in of_parts[place]]
            floor = floor_column(_shown(measure, value), np.array(floors))
            twin = named.get(measure.name)
            if other is not None and twin is not None:
                beside = _made_column(simple[twin], again.drawn(twin), other.drawn(twin))
        rows.append(
            make_row(
                measure.name,
                measure.section,
                real=None if lacking else _shown(measure, value),
                synthetic=synthetic,
                floor=floor,
                simple=beside,
                kind=measure.kind,
                unit=measure.unit,
                shift=_shift(measure),
                deed=measure.deed,
                note=measure.note,
                lacking=lacking,
            )
        )
    return rows
