"""The rhythm of a real log: its parts, each fitted where the log shows it."""

from __future__ import annotations

from datetime import datetime

from footfall.simulator.fit_drift import fit_drift
from footfall.simulator.fit_fatigue import fit_fatigue
from footfall.simulator.fit_replenishment import fit_replenishment
from footfall.simulator.fit_season import fit_season
from footfall.simulator.log import Log
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.taken_items import read_taken_items

__all__ = ["fit_rhythm"]


def fit_rhythm(log: Log, *, until: datetime | None = None) -> Rhythm:
    """Fit on real rows before ``until``; see :meth:`footfall.simulator.rhythm.Rhythm.fit`."""
    fatigue = fit_fatigue(log, until=until)
    taken = read_taken_items(log, until=until)
    if taken is None:
        return Rhythm(fatigue=fatigue)
    return Rhythm(
        response=taken.response,
        fatigue=fatigue,
        **fit_replenishment(taken),
        **fit_drift(taken),
        **fit_season(taken),
    )
