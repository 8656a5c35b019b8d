"""A crowd without a language model: vectorised, for loads that no model reaches."""

from footfall.simulator.fast.crowd import FastCrowd
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.fast.settings import FastSettings, FastSummary
from footfall.simulator.fast.shop import FastShop
from footfall.simulator.fast.writing import FastSimulation

__all__ = [
    "FastCrowd",
    "FastSettings",
    "FastShop",
    "FastSimulation",
    "FastSummary",
    "VisitPlan",
]
