"""One scenario played by a crowd in front of one target, day after day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from footfall.eval.stress.caused import caused_events
from footfall.eval.stress.world import ScenarioWorld
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.targets.protocol import TargetClient

__all__ = ["CrowdMaker", "DailyCrowd", "Played", "play"]


class DailyCrowd(Protocol):
    """A crowd that remembers from one call to the next."""

    demand: Mapping[str, float]

    def run(self, plan: VisitPlan) -> CrowdEvents:
        """All visits of the plan."""


#: Makes a crowd of the scenario's world in front of a target.
CrowdMaker = Callable[[ScenarioWorld, TargetClient], DailyCrowd]


@dataclass(frozen=True, slots=True)
class Played:
    """What a crowd did, and how often the target learned anew; 0 where it cannot learn."""

    events: CrowdEvents
    fits: int


def play(
    world: ScenarioWorld,
    client: TargetClient,
    make_crowd: CrowdMaker,
    *,
    retrain_every_days: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Played:
    """Let the target learn what the shop knew before, then send in the crowd, a day at a time.

    Parameters
    ----------
    world:
        The scenario.
    client:
        The target, with its faults.
    make_crowd:
        The fast crowd's, or a language model's.
    retrain_every_days:
        The target learns anew after so many days, on what was known before and on what it caused
        since; never where it is None.
    progress:
        Told how many visits have ended, day by day.
    """
    fits = int(client.fit(world.items, world.events))
    crowd = make_crowd(world, client)
    days = int(world.plan.day.max(initial=-1)) + 1
    happened: list[CrowdEvents] = []
    for day in range(days):
        if retrain_every_days and day and day % retrain_every_days == 0:
            caused = [caused_events(each) for each in happened]
            fits += int(client.fit(world.items, pa.concat_tables([world.events, *caused])))
        crowd.demand = world.demand[day]
        today = world.plan.of_day(day)
        happened.append(crowd.run(today))
        if progress is not None:
            progress(len(today))
    return Played(CrowdEvents.joined(happened), fits)
