"""Fitting a shop's behaviour on real slates, some of which the engine scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np

from footfall.progress import console, print_lines
from footfall.simulator.appeal import Appeal, fit_with_out_of_fold
from footfall.simulator.behaviour import Behaviour, rate_lines
from footfall.simulator.behaviour_fit import BehaviourFit, BehaviourFitter
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.language import catalog_language
from footfall.simulator.log import Log
from footfall.simulator.prompts import PromptBook
from footfall.simulator.real_slates import fit_data, read_slates, real_slates
from footfall.simulator.scored_slates import (
    ScoredSlates,
    answers_likelihoods,
    full_correction,
    measure_bias,
)
from footfall.simulator.scoring import Correction, ScoringKind, SlateScores
from footfall.simulator.scoring_bias import Bias

__all__ = ["Calibration", "ScoringComparison", "calibrate", "read_slates"]

#: Fitted on the sessions that are tried out.
_FITTED_LATER: Final = ("intercept_shift", "intent_spread", "intent_of_shopper")
#: Losing this much log-likelihood is no loss: what one parameter without effect costs.
_ONE_NAT: Final = 1.0


@dataclass(frozen=True, slots=True)
class ScoringComparison:
    """How well the ways of asking tell the real responses to the same slates.

    ``log_likelihoods`` are penalised, of those slates' rows; ``standard_errors`` those of their
    difference from one pass a slate, between slates.
    """

    log_likelihoods: dict[ScoringKind, float]
    standard_errors: dict[ScoringKind, float]
    slates: int

    @property
    def best(self) -> ScoringKind:
        """``slate``, unless another is better by more than one nat and its standard error."""
        clearly = {
            kind: value
            for kind, value in self.log_likelihoods.items()
            if value - self.log_likelihoods["slate"] > max(_ONE_NAT, self.standard_errors[kind])
        }
        return max(clearly, key=lambda kind: clearly[kind]) if clearly else "slate"

    def line(self) -> str:
        """The figures in words."""
        words = {"slate": "in one pass a slate", "item": "item by item", "query": "by the query"}
        figures = ", ".join(
            f"{value:.1f} {words[kind]}"
            + ("" if kind == "slate" else f" (difference ± {self.standard_errors[kind]:.1f})")
            for kind, value in self.log_likelihoods.items()
        )
        return f"log-likelihood of {self.slates:,} slates {figures}"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted on a log, and how the engine is to be asked."""

    behaviour: Behaviour
    scoring: ScoringKind
    correction: Correction | None = None
    bias: Bias | None = None
    comparison: ScoringComparison | None = None
    appeal: Appeal | None = None
    scored_slates: int = 0
    unusable: int = 0

    def summary_lines(self) -> list[str]:
        """Every rate with its standard error and source, and what was found about the asking."""
        rates = {name: getattr(self.behaviour, name) for name in Behaviour.model_fields}
        lines = rate_lines({n: rate for n, rate in rates.items() if n not in _FITTED_LATER})
        if self.appeal is not None:
            lines.append(self.appeal.line())
        if self.comparison is not None:
            lines.append(f"asked by {self.scoring}: {self.comparison.line()}")
        if self.bias is not None:
            lines += self.bias.lines()
        if self.unusable:
            lines.append(f"{self.unusable:,} answers about real slates could not be used")
        return lines


def calibrate(
    log: Log,
    catalog: Catalog,
    engine: Engine,
    prompts: PromptBook,
    *,
    until: datetime | None = None,
    scored_slates: int = 40,
    slates: int = 2000,
    scoring: Literal["auto"] | ScoringKind = "auto",
    page_size: int = 10,
    weeks: float = 8.0,
    locales: Collection[str] = (),
    seed: int = 0,
) -> Calibration:
    """Fit the behaviour on ``slates`` real slates, of which the engine scores ``scored_slates``.

    The slates are those of the last ``weeks`` before ``until``; shoppers and popularity are
    described by the log before those weeks, so that no response is among its own causes. Where
    nothing lies before those weeks, the later half of the log's searches is fitted on instead.
    Without ``until``, shoppers are known by their demographics only and popularity is not fitted.

    Parameters
    ----------
    log, catalog, engine, prompts:
        Where responses, items, preferences and words come from.
    until, weeks:
        The fitted weeks.
    scored_slates, slates:
        How many slates the engine scores, and how many of a page's length are fitted on; of
        shorter slates, as many more.
    scoring:
        How the engine is asked about a slate. ``auto`` asks in all ways (by query likelihood where
        real slates have queries) and takes one pass a slate where that tells the real responses no
        worse. Where the log keeps no impression without a response, it asks by query likelihood.
    page_size:
        Items on a simulated page.
    locales:
        Of the simulated shoppers: the correction is measured in their languages, and in that of
        the log.
    seed:
        Of the choice of slates and of the orders in which they are shown.

    Raises
    ------
    NoResponseError
        If the log records neither clicks nor purchases before ``until``.
    """
    fitter = BehaviourFitter(log, until=until, page_size=page_size)
    locale = catalog_language(log, until=until).default_locale()
    chosen = real_slates(
        log,
        catalog,
        count=max(scored_slates, slates, int(slates * page_size / fitter.mean_slate)),
        until=until,
        weeks=weeks,
        locale=locale,
        seed=seed,
    )
    appeal, out_of_fold = fit_with_out_of_fold(chosen, page_size=page_size, seed=seed)

    def fit(scores: dict[int, SlateScores]) -> BehaviourFit:
        return fitter.fit(fit_data(chosen, scores, appeal=out_of_fold, page_size=page_size))

    scored = chosen[:scored_slates]
    kinds: tuple[ScoringKind, ...] = ("slate", "item") if scoring == "auto" else (scoring,)
    if scoring == "auto" and any(slate.query is not None for slate in scored):
        if not answers_likelihoods(engine):
            console.print(f"{engine.identity.model} tells no likelihoods: not asked by the query.")
        elif all(all(slate.responses) for slate in chosen):
            # Nothing tells the ways apart: the one that small models do best is taken.
            kinds = ("query",)
        else:
            kinds = (*kinds, "query")
    if not scored:
        return _announced(Calibration(fit({}).behaviour, kinds[0], appeal=appeal))
    corrections = {
        kind: full_correction(
            engine, prompts, scored, kind, page_size=page_size, locales=locales, seed=seed
        )
        for kind in kinds
    }
    asked = {kind: ScoredSlates.ask(scored, engine, prompts, kind, [seed]) for kind in kinds}
    scores = {kind: found.scores(corrections[kind]) for kind, found in asked.items()}
    fits = {kind: fit(dict(enumerate(found))) for kind, found in scores.items()}
    comparison = _compare(fits, [len(slate.rows) for slate in scored])
    kind = comparison.best if comparison else kinds[0]
    return _announced(
        Calibration(
            fits[kind].behaviour,
            kind,
            corrections[kind],
            measure_bias(asked[kind], corrections[kind], scored, engine, prompts, seed=seed),
            comparison,
            appeal,
            scored_slates=len(scored),
            unusable=sum(found.unusable for found in scores[kind]),
        )
    )


def _announced(calibration: Calibration) -> Calibration:
    print_lines("Fitted on the real log:", calibration.summary_lines())
    return calibration


def _compare(
    fits: dict[ScoringKind, BehaviourFit], sizes: Sequence[int]
) -> ScoringComparison | None:
    if len(fits) < 2:
        return None
    slate = np.repeat(np.arange(len(sizes)), sizes)
    totals = {
        kind: np.bincount(slate, fit.clicks.log_likelihood[: len(slate)], minlength=len(sizes))
        for kind, fit in fits.items()
    }
    differences = {kind: total - totals["slate"] for kind, total in totals.items()}
    return ScoringComparison(
        # Only the weights of the scores differ between the fits, and only the scored rows.
        {kind: float(total.sum() - fits[kind].clicks.penalty) for kind, total in totals.items()},
        {
            kind: float(each.std(ddof=1) * np.sqrt(len(sizes))) if len(sizes) > 1 else 0.0
            for kind, each in differences.items()
        },
        slates=len(sizes),
    )
