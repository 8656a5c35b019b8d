"""A crowd without a language model: vectorised, for loads that no model reaches."""

from footfall.simulator.fast.crowd import FastCrowd
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.fast.shop import FastShop

__all__ = ["FastCrowd", "FastShop", "VisitPlan"]
