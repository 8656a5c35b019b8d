"""How much of what a scenario does is the target's own doing: a difference of differences.

Every target loses when the item in mind is out of stock, and every target sells more on a day of
low prices. What the scenario changes in the target, less what it changes in the baseline, is the
target's own::

    own = (target in the scenario - target in steady traffic)
          - (baseline in the scenario - baseline in steady traffic)

It is paired by shopper over all four crowds. Of a measure where more is better, below zero means
that the target takes the scenario worse than the baseline does. It is in the measure's unit, so a
target that starts higher has more to lose; it says nothing about which of them is better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from footfall.eval.stress.measure_kinds import Floats
from footfall.eval.stress.measure_list import MEASURES
from footfall.eval.stress.observed import observe
from footfall.eval.stress.replicates import combined, replicate
from footfall.eval.stress.results import OwnLoss
from footfall.simulator.crowd_events import CrowdEvents

if TYPE_CHECKING:
    from footfall.eval.stress.world import ScenarioWorld

__all__ = ["PlayedBoth", "own_losses"]

#: What a crowd did in front of the target and of the baseline, and in which world.
PlayedBoth: TypeAlias = "tuple[CrowdEvents, CrowdEvents, ScenarioWorld]"


def own_losses(
    scenario: PlayedBoth, steady: PlayedBoth, *, resamples: int = 1000, seed: int = 0
) -> dict[str, OwnLoss]:
    """What the scenario changes in the target beyond what it changes in the baseline.

    Parameters
    ----------
    scenario, steady:
        Target's crowd, baseline's crowd, and their world.
    resamples:
        Bootstrap resamples of shoppers, at least 20.
    seed:
        Of the resamples.

    Returns
    -------
    dict
        By measure; those that cannot be told in one of the crowds are left out.
    """
    crowds = [
        observe(events, world)
        for target, baseline, world in (scenario, steady)
        for events in (target, baseline)
    ]
    found = replicate(crowds, resamples=resamples, seed=seed)
    losses = {}
    for name in MEASURES:
        own = combined(_own, *(each[name] for each in found)).estimate()
        if np.isfinite(own.value):
            losses[name] = OwnLoss(value=own.value, low=own.interval.low, high=own.interval.high)
    return losses


def _own(target: Floats, baseline: Floats, target_steady: Floats, base_steady: Floats) -> Floats:
    return np.asarray((target - target_steady) - (baseline - base_steady), dtype=np.float64)
