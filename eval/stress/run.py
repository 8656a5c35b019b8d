"""A stress test: every scenario in front of the target and the baseline, with the same shoppers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, Literal

import numpy as np

from footfall.eval.stress.bubble import DAILY_MEASURES, daily_course
from footfall.eval.stress.crowds import CrowdMaker, Played, play
from footfall.eval.stress.exposure_shares import exposure_shares
from footfall.eval.stress.findings import findings_of
from footfall.eval.stress.measures import measure
from footfall.eval.stress.results import Course, Exposure, OwnLoss, ScenarioResult
from footfall.eval.stress.robustness import own_losses
from footfall.eval.stress.rows import MeasureRow
from footfall.eval.stress.scenario import Scenario
from footfall.eval.stress.settings import StressSettings
from footfall.eval.stress.thresholds import check_thresholds
from footfall.eval.stress.world import ScenarioWorld, StressWorld, apply_scenario
from footfall.progress import track
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.targets.faults import FaultyClient
from footfall.simulator.targets.protocol import TargetClient

__all__ = ["STEADY", "StressTest"]

#: The scenario that all others are compared with.
STEADY: Final = "steady-traffic"
#: What exposure is shared out by, and groups of each in the report.
_GROUPS: Final[tuple[Literal["seller", "price band"], ...]] = ("seller", "price band")
_MOST_GROUPS: Final = 8


@dataclass(frozen=True, slots=True)
class _Both:
    """What one scenario came to in front of the target and of the baseline."""

    world: ScenarioWorld
    target: CrowdEvents
    baseline: CrowdEvents
    rows: list[MeasureRow]


class StressTest:
    """Plays scenarios.

    Parameters
    ----------
    world:
        The shop before any scenario.
    target, baseline:
        What is tested, and what it is compared with.
    make_crowd:
        Makes a crowd of a scenario's world in front of a target.
    settings:
        How many visits, for how long.
    """

    def __init__(
        self,
        world: StressWorld,
        target: TargetClient,
        baseline: TargetClient,
        make_crowd: CrowdMaker,
        settings: StressSettings,
    ) -> None:
        self.world = world
        self.target = target
        self.baseline = baseline
        self.settings = settings
        self._make_crowd = make_crowd
        self._steady: _Both | None = None

    def run(
        self, scenario: Scenario, *, keep: Callable[[str, CrowdEvents], None] | None = None
    ) -> ScenarioResult:
        """Play one scenario in front of both.

        Parameters
        ----------
        scenario:
            What changes.
        keep:
            Given ``target`` and ``baseline`` with what the crowd did in front of each.

        Raises
        ------
        SettingError
            If the scenario cannot be applied to this shop.
        TargetError
            If the target refuses to learn.
        """
        began = monotonic()
        world = self._world(scenario)
        days = int(world.plan.day.max(initial=-1)) + 1
        every = self.settings.retrain_every_days or scenario.feedback.retrain_every_days
        retrained = bool(every) and (every or 0) < days
        faulty = self._faulty(world)
        rounds = 3 if retrained else 2
        with track(scenario.name, total=rounds * len(world.plan)) as progress:

            def played(client: TargetClient, every: int | None) -> Played:
                return play(
                    world,
                    client,
                    self._make_crowd,
                    retrain_every_days=every,
                    progress=progress.advance,
                )

            baseline = played(self.baseline, every)
            frozen = played(faulty, None) if retrained else None
            target = played(faulty, every)
        if keep is not None:
            keep("target", target.events)
            keep("baseline", baseline.events)
        rows = self._measure(target.events, world, baseline.events)
        both = _Both(world, target.events, baseline.events, rows)
        steady = both if scenario.name == STEADY else self._steady_traffic()
        courses, drift = [], list[MeasureRow]()
        if frozen is not None:
            courses = _courses(world, target, frozen, baseline)
            drift = self._drift(world, target.events, frozen.events, days)
        own = {} if steady is both else self._own_losses(both, steady)
        return ScenarioResult(
            name=scenario.name,
            title=scenario.name.replace("-", " ").capitalize(),
            description=scenario.description,
            visits=len(world.plan),
            days=days,
            retrained=max(0, target.fits - 1),
            measures=rows,
            thresholds=check_thresholds(scenario, rows, steady=steady.rows),
            own_loss=own,
            exposures=_exposures(both),
            drift=drift,
            courses=courses,
            findings=findings_of(rows, drift, own, self.target.name, self.baseline.name),
            notes=list(world.notes),
            problems=_problems(self.target),
            seconds=monotonic() - began,
        )

    def _world(self, scenario: Scenario) -> ScenarioWorld:
        settings = self.settings
        return apply_scenario(
            scenario,
            self.world,
            sessions=settings.sessions,
            days=settings.days,
            seed=settings.seed,
        )

    def _faulty(self, world: ScenarioWorld) -> TargetClient:
        """The target as the scenario lets shoppers reach it; the baseline never misbehaves."""
        if world.faults is None:
            return self.target
        return FaultyClient(self.target, world.faults, seed=self.settings.seed)

    def _steady_traffic(self) -> _Both:
        """Steady traffic, played once for all scenarios that are compared with it."""
        if self._steady is None:
            world = self._world(Scenario(name=STEADY, description="Nothing changes."))
            with track("Steady traffic, to compare with", total=2 * len(world.plan)) as progress:
                target, baseline = (
                    play(world, client, self._make_crowd, progress=progress.advance).events
                    for client in (self.target, self.baseline)
                )
            rows = self._measure(target, world, baseline)
            self._steady = _Both(world, target, baseline, rows)
        return self._steady

    def _measure(
        self, events: CrowdEvents, world: ScenarioWorld, compared_with: CrowdEvents
    ) -> list[MeasureRow]:
        return measure(
            events,
            world,
            compared_with=compared_with,
            resamples=self.settings.resamples,
            seed=self.settings.seed,
        )

    def _drift(
        self, world: ScenarioWorld, target: CrowdEvents, frozen: CrowdEvents, days: int
    ) -> list[MeasureRow]:
        first = days - max(1, days // 3)
        return self._measure(_since(target, first), world, _since(frozen, first))

    def _own_losses(self, both: _Both, steady: _Both) -> dict[str, OwnLoss]:
        return own_losses(
            (both.target, both.baseline, both.world),
            (steady.target, steady.baseline, steady.world),
            resamples=self.settings.resamples,
            seed=self.settings.seed,
        )


def _since(events: CrowdEvents, day: int) -> CrowdEvents:
    """The visits from a day on."""
    import pyarrow.compute as pc

    visits = events.visits.filter(pc.greater_equal(events.visits["day"], day))
    pages = events.pages.filter(pc.is_in(events.pages["session_id"], visits["session_id"]))
    shown = events.impressions
    kept = shown.filter(pc.is_in(shown["search_id"], pages["search_id"]))
    return replace(events, visits=visits, pages=pages, impressions=kept)


def _courses(
    world: ScenarioWorld, target: Played, frozen: Played, baseline: Played
) -> list[Course]:
    found = []
    for name, played in (
        ("target", target),
        ("target without retraining", frozen),
        ("baseline", baseline),
    ):
        course = daily_course(played.events, world.items)
        found += [
            Course(
                measure=measured,
                played=name,
                days=course["day"].to_pylist(),
                values=[_number(value) for value in course[measured].to_pylist()],
            )
            for measured in DAILY_MEASURES
        ]
    return found


def _exposures(both: _Both) -> list[Exposure]:
    """Shares of what the target shows, beside what the baseline shows of the same."""
    found: list[Exposure] = []
    for by in _GROUPS:
        shares = exposure_shares(both.target, both.world, by=by).to_pylist()
        others = exposure_shares(both.baseline, both.world, by=by).to_pylist()
        shown = {row["group"]: row["shown"] for row in others}
        found += [
            Exposure(
                by=by,
                group=str(row["group"]),
                baseline_shown=shown.get(row["group"]),
                **{name: row[name] for name in ("catalogue", "wanted", "shown", "clicked")},
            )
            for row in shares[:_MOST_GROUPS]
        ]
    return found


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _problems(client: TargetClient) -> list[str]:
    """What the client noted of answers that could not be used, each once."""
    noted: Sequence[str] = getattr(client, "problems", ())
    return list(dict.fromkeys(noted))[:10]
