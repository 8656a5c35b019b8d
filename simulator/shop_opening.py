"""Opening a shop: everything that visits share, fitted on the log or read back from a begun run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.persona import Persona
from footfall.progress import print_lines
from footfall.simulator.appeal import Appeal
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Behaviour, Rate, rate_lines
from footfall.simulator.calibration import calibrate
from footfall.simulator.catalog import Catalog
from footfall.simulator.demand import demand_deviation, fit_demand
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.language import Language, catalog_language
from footfall.simulator.log import Log
from footfall.simulator.needs import NeedBook
from footfall.simulator.pilot import Pilot, run_pilot
from footfall.simulator.prompt_examples import read_query_examples
from footfall.simulator.prompts import PromptBook, QueryExample
from footfall.simulator.queries import QueryLimits
from footfall.simulator.reformulation import Reformulations, read_reformulation_examples
from footfall.simulator.response_target import read_response_target
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.scoring import Correction, ScoringKind
from footfall.simulator.scoring_bias import Bias
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.shopper import Shop
from footfall.simulator.simulation_settings import SimulationSettings
from footfall.simulator.typing_slips import TypingSlips

__all__ = ["OpenedShop", "ShopFit", "open_prompts", "open_shop", "read_run_configuration"]

_QUERY_EXAMPLES = 4
_REFORMULATION_EXAMPLES = 2


class ShopFit(BaseModel):
    """Everything about a shop's people that is fitted, as it is stored with a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    behaviour: Behaviour = Field(default_factory=Behaviour)
    rhythm: Rhythm = Field(default_factory=Rhythm)
    slips: TypingSlips = Field(default_factory=TypingSlips)
    demand: dict[str, float] = Field(
        default_factory=dict, description="How much more often top-level categories are needed."
    )
    reformulations: Reformulations = Field(default_factory=Reformulations)
    language: Language = Field(default_factory=Language)
    limits: QueryLimits = Field(default_factory=QueryLimits)
    scoring: ScoringKind = "item"
    correction: Correction | None = None
    bias: Bias | None = None
    appeal: Appeal | None = None
    pilot: Pilot | None = None

    def rates(self) -> dict[str, Rate]:
        """Every fitted number outside the click curve, by what it is."""
        rhythm = self.rhythm
        return {
            "replenishment: share of items taken on later visits that were taken before": (
                rhythm.replenishment
            ),
            "replenishment: median days until an item is taken again": rhythm.interval,
            "interest drift: weight of the last visit": rhythm.drift,
            "seasonality: standard deviation of the months' factors": rhythm.season_deviation,
            "fatigue: log-odds per log(1 + earlier showings in vain)": rhythm.fatigue,
            "demand: standard deviation of the logarithm of the categories' factors": (
                demand_deviation(self.demand)
            ),
            "typing slips: share of queries": self.slips.rate,
            "typing slips: of them, rare words spelt right at most": self.slips.false_share,
        } | {f"second query of a visit, {name}": rate for name, rate in self.reformulations}


@dataclass(frozen=True, slots=True)
class OpenedShop:
    """A shop ready for visits, what was fitted for it, and the engine's kind at its start."""

    shop: Shop
    fit: ShopFit
    engine_kind: str


def read_run_configuration(log: Log, run_id: str) -> dict[str, object] | None:
    """Configuration that a begun run was stored with; ``None`` where it was not begun."""
    stored = log.query(
        "SELECT configuration FROM runs WHERE run_id = $run_id", {"run_id": run_id}
    ).to_pylist()
    return dict(json.loads(stored[0]["configuration"])) if stored else None


def open_shop(
    log: Log,
    catalog: Catalog,
    personas: Sequence[Persona],
    engine: Engine,
    settings: SimulationSettings,
    arrivals: Arrivals,
    *,
    begun: dict[str, object] | None = None,
) -> OpenedShop:
    """Fit the shop's people on the log before ``until``, or take the fit of a ``begun`` run.

    Raises
    ------
    NoResponseError
        If the behaviour is to be fitted and the log has no response.
    """
    # The same model may answer in another way when a run goes on: a server, or a recording of it.
    kind = engine.identity.kind if begun is None else str(begun["engine"])
    fit = None if begun is None else ShopFit.model_validate(begun["fit"])
    language = fit.language if fit else catalog_language(log, until=settings.until)
    prompts = open_prompts(
        log,
        language,
        until=settings.until,
        count=settings.query_examples,
        seed=settings.seed,
        tuned=engine.identity.tuned,
    )
    if fit is None:
        fit = _fit(log, catalog, engine, prompts, language, personas, settings)
    parts = {
        "catalog": catalog,
        "search": open_search(settings.search, catalog),
        "recommender": open_recommender(settings.recommender, catalog),
        "needs": NeedBook(catalog, demand=fit.demand),
        "prompts": prompts,
        "page_size": settings.page_size,
        "most_pages": settings.most_pages,
        # At this mean the population's mean number of pages is that of the fitted rate.
        "mean_patience": float(np.mean([persona.patience for persona in personas])),
    }
    if begun is None and settings.pilot_sessions:
        fit = _try_out(log, _shop(parts, fit), fit, personas, engine, settings, arrivals)
    return OpenedShop(_shop(parts, fit), fit, kind)


def open_prompts(
    log: Log,
    language: Language,
    *,
    until: datetime | None,
    count: int | None,
    seed: int,
    tuned: bool,
) -> PromptBook:
    """Prompts with patterns of the log's own queries and of how they were said anew.

    ``count`` patterns; where it is none, four, and none for a tuned model.
    """
    if count is None:
        count = 0 if tuned else _QUERY_EXAMPLES
    locale = language.default_locale()
    examples = read_query_examples(log, until=until, count=count, seed=seed, locale=locale)
    said_anew = read_reformulation_examples(
        log, until=until, count=min(count, _REFORMULATION_EXAMPLES), seed=seed
    )
    return PromptBook(
        (
            *examples,
            *(QueryExample(each.wanted, each.later, (each.earlier,)) for each in said_anew),
        )
    )


def _fit(
    log: Log,
    catalog: Catalog,
    engine: Engine,
    prompts: PromptBook,
    language: Language,
    personas: Sequence[Persona],
    settings: SimulationSettings,
) -> ShopFit:
    limits = QueryLimits.from_log(log, until=settings.until)
    if settings.behaviour == "prior":
        scoring: ScoringKind = "item" if settings.scoring == "auto" else settings.scoring
        return _browsing(ShopFit(language=language, limits=limits, scoring=scoring), settings)
    calibration = calibrate(
        log,
        catalog,
        engine,
        prompts,
        until=settings.until,
        scored_slates=settings.scored_slates,
        scoring=settings.scoring,
        page_size=settings.page_size,
        weeks=settings.weeks,
        locales={persona.locale for persona in personas},
        seed=settings.seed,
    )
    fit = ShopFit(
        behaviour=calibration.behaviour,
        rhythm=Rhythm.fit(log, until=settings.until),
        slips=_slips(log, engine, settings),
        demand=fit_demand(log, catalog, personas, until=settings.until, seed=settings.seed),
        reformulations=Reformulations.fit(log, until=settings.until),
        language=language,
        limits=limits,
        scoring=calibration.scoring,
        correction=calibration.correction,
        appeal=calibration.appeal,
        bias=calibration.bias,
    )
    return _browsing(fit, settings)


def _slips(log: Log, engine: Engine, settings: SimulationSettings) -> TypingSlips:
    if engine.identity.tuned:
        note = "the model was tuned on queries as people typed them, slips and all"
        return TypingSlips(rate=Rate(value=0.0, note=note))
    return TypingSlips.fit(log, until=settings.until)


def _browsing(fit: ShopFit, settings: SimulationSettings) -> ShopFit:
    if settings.browsing_share is None:
        return fit
    rate = Rate(value=settings.browsing_share, note="set by hand: browsing_share")
    behaviour = fit.behaviour.model_copy(update={"browsing": rate})
    return fit.model_copy(update={"behaviour": behaviour})


def _try_out(
    log: Log,
    shop: Shop,
    fit: ShopFit,
    personas: Sequence[Persona],
    engine: Engine,
    settings: SimulationSettings,
    arrivals: Arrivals,
) -> ShopFit:
    """The fit with the pilot's shift of the click curve and spread of intent."""
    target = None
    if settings.behaviour == "fit":
        since = arrivals.until - timedelta(weeks=settings.weeks)
        target = read_response_target(log, since=since, until=settings.until)
    pilot = run_pilot(
        shop,
        personas,
        arrivals,
        engine,
        sessions=settings.pilot_sessions,
        target=target,
        seed=settings.seed,
        concurrency=settings.concurrency,
    )
    if target is not None:
        print_lines("Fitted on the sessions tried out:", rate_lines(pilot.rates()))
    behaviour = fit.behaviour.model_copy(update=pilot.rates())
    return fit.model_copy(update={"behaviour": behaviour, "pilot": pilot})


def _shop(parts: dict[str, Any], fit: ShopFit) -> Shop:
    return Shop(
        **parts,
        behaviour=fit.behaviour,
        rhythm=fit.rhythm,
        slips=fit.slips,
        language=fit.language,
        limits=fit.limits,
        scoring=fit.scoring,
        correction=fit.correction,
        appeal=fit.appeal if fit.appeal is not None and fit.appeal.informative else None,
    )
