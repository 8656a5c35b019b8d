"""Fitting a crowd without a language model on real slates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.behaviour_fit import BehaviourFitter
from footfall.simulator.catalog import Catalog
from footfall.simulator.fast.click_odds import Reference
from footfall.simulator.fast.items import Categories, UsualPrices
from footfall.simulator.fast.preference import Preference
from footfall.simulator.fast.real_pages import RealPages
from footfall.simulator.fast.vectors import TextVectors
from footfall.simulator.fit_clicks import FitData
from footfall.simulator.language import catalog_language
from footfall.simulator.real_slates import real_slates

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["TasteFit", "fit_taste", "taken_by"]

Floats = npt.NDArray[np.float64]

#: Impressions fitted on, in slates of a page's length; of shorter slates, as many more.
_SLATES: Final = 4000
#: Log-odds of a click by cosine of query and item, where the log cannot tell: the odds of an item
#: of the words typed (cosine 0.8) are then about 50 times those of one that has nothing of them. On
#: the public Best Buy log, which has queries, the fit gives 8.5.
_ASSUMED_ON_QUERY: Final = 5.0
_ASSUMED_QUERY: Final = 0.3


@dataclass(frozen=True, slots=True)
class TasteFit:
    """What decides clicks: fitted on real slates.

    ``behaviour`` has no shift and spread yet.
    """

    behaviour: Behaviour
    preference: Preference
    reference: Reference
    slates: int

    def on_query(self) -> Rate:
        """How much closeness to what was typed counts, and where it comes from."""
        if self.preference.fits_query:
            value = self.behaviour.on_preference.value * self.preference.on_query
            return Rate(
                value=value / self.reference.preference_unit,
                source="fitted",
                note=f"with the preference, on {self.preference.impressions:,} impressions",
            )
        return Rate(value=self.reference.on_query, note="assumed: too few real slates have queries")


def fit_taste(
    log: Log,
    catalog: Catalog,
    categories: Categories,
    vectors: npt.NDArray[np.float32],
    encoder: TextVectors,
    usual: UsualPrices,
    rows: dict[str, int],
    *,
    until: datetime | None,
    weeks: float,
    page_size: int,
    seed: int,
) -> TasteFit:
    """Fit preference and behaviour on real slates of the last ``weeks`` before ``until``.

    Raises
    ------
    NoResponseError
        If the log records neither clicks nor purchases before ``until``.
    """
    fitter = BehaviourFitter(log, until=until, page_size=page_size)
    slates = real_slates(
        log,
        catalog,
        count=int(_SLATES * max(1.0, page_size / fitter.mean_slate)),
        until=until,
        weeks=weeks,
        locale=catalog_language(log, until=until).default_locale(),
        seed=seed,
    )
    place = {item_id: row for row, item_id in enumerate(catalog.item_ids.tolist())}
    pages = RealPages.of(
        slates, place, rows, categories, vectors, encoder, usual, page_size=page_size
    )
    preference, told = _preference(pages, vectors.shape[1], seed)
    within = {
        "preference": pages.within(told),
        "affinity": pages.within(pages.affinity),
        "popularity": pages.within(pages.popularity),
        "price": pages.within(pages.price),
    }
    units = {name: _unit(within[name]) for name in ("preference", "affinity")}
    fit = fitter.fit(
        FitData(
            response=pages.response,
            position=pages.position,
            preference=within["preference"] / units["preference"],
            affinity=within["affinity"] / units["affinity"],
            popularity=within["popularity"],
            price=within["price"],
            slate=pages.slate,
            weight=pages.weight,
        )
    )

    def mean(values: Floats) -> float:
        return float(np.average(values, weights=pages.weight)) if len(pages) else 0.0

    known = preference.fits_query
    reference = Reference(
        preference=mean(preference.log_odds(pages.pairs)),
        preference_unit=units["preference"],
        affinity=mean(pages.affinity),
        affinity_unit=units["affinity"],
        popularity=mean(pages.popularity),
        price=mean(pages.price),
        query=_mean_query(pages) if known else _ASSUMED_QUERY,
        on_query=0.0 if known else _ASSUMED_ON_QUERY,
    )
    return TasteFit(fit.behaviour, preference, reference, len(slates))


def taken_by(log: Log, *, until: datetime | None) -> Literal["purchases", "clicks"]:
    """What taking means: purchases, or clicks where the log knows no purchase before ``until``."""
    known = log.scalar(
        "SELECT EXISTS (FROM purchases WHERE origin = 'real'"
        " AND ($until IS NULL OR purchased_at < $until))"
        " OR EXISTS (FROM impressions WHERE origin = 'real' AND purchased"
        " AND ($until IS NULL OR shown_at < $until))",
        {"until": until},
    )
    return "purchases" if known else "clicks"


def _preference(pages: RealPages, dimensions: int, seed: int) -> tuple[Preference, Floats]:
    if not len(pages):
        return Preference.none(dimensions), np.zeros(0)
    return Preference.fit(
        pages.pairs,
        response=pages.response,
        position=pages.position,
        popularity=pages.within(pages.popularity),
        slate=pages.slate,
        people=pages.people,
        weight=pages.weight,
        seed=seed,
    )


def _unit(deviations: Floats) -> float:
    found = float(deviations.std()) if len(deviations) else 0.0
    return found if found > 1e-9 else 1.0


def _mean_query(pages: RealPages) -> float:
    typed = np.isfinite(pages.pairs.query)
    return float(pages.pairs.query[typed].mean())
