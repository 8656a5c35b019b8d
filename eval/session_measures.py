"""Measures of one vector per session: lengths, rates, spreads, the session Frechet distance.

Each is a sum per user, so that parts and resamples of the users are sums over other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.counted_measures import CountedMeasure, effective_number, jensen_shannon
from footfall.eval.frechet import Moments, moments_distance
from footfall.eval.likeness_counts import Counts, SideUsers
from footfall.eval.session_features import SessionFeatures

__all__ = [
    "frechet_measure",
    "moment_sums",
    "session_frechet",
    "session_measures",
    "standardised",
    "summed_moments",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Longer sessions share the last bin of a histogram.
_MOST: Final = 20
_BLOCK: Final = 50_000


def _by_user(columns: Floats, user: Integers, users: int) -> Any:
    """Sums of ``columns``, shape ``(sessions, bins)``, by user as a sparse array."""
    from scipy.sparse import csr_array

    rows = len(user)
    chooser = csr_array((np.ones(rows), (user, np.arange(rows))), shape=(users, rows))
    return csr_array(np.asarray(chooser @ columns))


def _counts(features: SessionFeatures, columns: Floats, users: SideUsers) -> Counts:
    """``columns`` of all sessions, shape ``(sessions, bins)``, summed by user of each side."""
    sides = []
    for made, count in ((False, len(users.real)), (True, len(users.made))):
        chosen = features.synthetic == made
        sides.append(_by_user(columns[chosen], features.user[chosen], count))
    return Counts(sides[0], sides[1], tuple(str(k) for k in range(columns.shape[1])))


def _mean(
    features: SessionFeatures, name: str, values: Floats, users: SideUsers, deed: str = ""
) -> CountedMeasure:
    known = ~np.isnan(values)
    columns = np.column_stack([np.where(known, values, 0.0), known.astype(np.float64)])
    return CountedMeasure(name, _counts(features, columns, users), deed=deed)


def _histogram(
    features: SessionFeatures, name: str, bins: Integers, users: SideUsers
) -> CountedMeasure:
    columns = np.eye(int(bins.max(initial=0)) + 1)[bins]
    return CountedMeasure(
        name,
        _counts(features, columns, users),
        effective_number,
        jensen_shannon,
        kind="Jensen-Shannon",
        unit="effective number of values",
        section="sessions",
    )


def session_measures(features: SessionFeatures, users: SideUsers) -> list[CountedMeasure]:
    """Rates that need whole sessions, and how lengths, responses and hours are spread."""
    found = []
    if (searches := features.column("searches")) is not None:
        found.append(_mean(features, "searches per session", searches, users, "search"))
        if features.column("browsed") is not None:
            silent = (searches == 0).astype(np.float64)
            found.append(_mean(features, "sessions without a query", silent, users))
    if (pages := features.column("pages")) is not None:
        single = (pages == 1).astype(np.float64)
        found.append(_mean(features, "sessions of one page", single, users))
        found.append(_histogram(features, "spread of pages per session", _capped(pages), users))
    if (minutes := features.column("duration")) is not None:
        found.append(_mean(features, "minutes per session", np.expm1(minutes), users))
    for name in ("clicks", "purchases"):
        if (column := features.column(name)) is not None:
            spread = _histogram(features, f"spread of {name} per session", _capped(column), users)
            found.append(spread)
    hours = features.column("hour")
    if hours is not None and not np.isnan(hours).any():
        found.append(_histogram(features, "hour of the day", hours.astype(np.int64), users))
    return found


def _capped(values: Floats) -> Integers:
    return np.minimum(values, _MOST).astype(np.int64)


def standardised(features: SessionFeatures) -> Floats:
    """Values in standard deviations from the real mean, shape ``(sessions, features)``.

    What a session does not have (a price without a response) counts as the real mean; a feature
    that is the same in every real session keeps its own unit.
    """
    real = features.values[~features.synthetic]
    known = ~np.isnan(real)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, real, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (real - mean) ** 2, 0.0).sum(axis=0) / count)
    scaled = (features.values - mean) / np.where(spread > 1e-12, spread, 1.0)
    return np.where(np.isnan(scaled), 0.0, scaled)


def moment_sums(vectors: Floats) -> Floats:
    """Per vector: one, its numbers, and their products, shape ``(n, 1 + d + d (d + 1) / 2)``.

    Summed over any vectors they give :func:`summed_moments` of those.
    """
    rows, columns = np.triu_indices(vectors.shape[1])
    products = vectors[:, rows] * vectors[:, columns]
    return np.hstack([np.ones((len(vectors), 1)), vectors, products])


def summed_moments(sums: Floats, width: int) -> Moments | None:
    """Mean and covariance out of sums of :func:`moment_sums`; ``None`` below two vectors."""
    count = float(sums[0])
    if count < 2:
        return None
    mean = sums[1 : width + 1] / count
    products = np.zeros((width, width))
    products[np.triu_indices(width)] = sums[width + 1 :]
    products = products + np.triu(products, 1).T
    covariance = (products - count * np.outer(mean, mean)) / (count - 1)
    return Moments(mean, covariance)


def frechet_measure(
    name: str, counts: Counts, width: int, *, scale: float = 1.0, unit: str, note: str = ""
) -> CountedMeasure:
    """A Frechet distance of counts that are sums of :func:`moment_sums`, divided by ``scale``."""

    def distance(first: Floats, second: Floats) -> float:
        one, other = summed_moments(first, width), summed_moments(second, width)
        if one is None or other is None:
            return np.nan
        return moments_distance(one, other) / scale

    # A cloud has no single value: its distance to itself stands in for one.
    return CountedMeasure(
        name,
        counts,
        lambda sums: 0.0 if sums[0] >= 2 else np.nan,
        distance,
        kind="Frechet",
        unit=unit,
        note=note,
        section="sessions",
    )


def session_frechet(features: SessionFeatures, users: SideUsers) -> CountedMeasure | None:
    """Session Frechet distance on standardised features; ``None`` without features."""
    names: Sequence[str] = features.names
    if not names:
        return None
    vectors = standardised(features)
    sides = []
    for made, count in ((False, len(users.real)), (True, len(users.made))):
        places = np.flatnonzero(features.synthetic == made)
        # In blocks: a session has many more products than features.
        blocks = np.array_split(places, len(places) // _BLOCK + 1)
        sides.append(
            sum(_by_user(moment_sums(vectors[k]), features.user[k], count) for k in blocks)
        )
    return frechet_measure(
        "session Frechet distance",
        Counts(sides[0], sides[1], ()),
        len(names),
        unit="squared real standard deviations",
        note=f"of {len(names)} features: {', '.join(names)}",
    )
