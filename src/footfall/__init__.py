"""Synthetic shoppers for search and recommendation teams.

Every command of ``footfall`` is one of the functions here; the rooms ``footfall.personas``,
``footfall.simulator``, ``footfall.finetune`` and ``footfall.eval`` hold the parts.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from footfall.exports import lazy_exports

if TYPE_CHECKING:
    from footfall.augmentation import augment
    from footfall.cold_start import coldstart
    from footfall.cold_start_settings import ColdStartSettings
    from footfall.doctor import diagnose
    from footfall.errors import FootfallError
    from footfall.generation import generate, simulate_fast
    from footfall.lift import run_lift
    from footfall.lift_recipe import LiftRecipe
    from footfall.recipe import Recipe, load_recipe, run_recipe
    from footfall.simulator.log_export import export_log
    from footfall.steps import (
        Split,
        compare,
        evaluate,
        fuse,
        ingest,
        make_personas,
        report,
        simulate,
        train,
        tune,
    )
    from footfall.stressing import ab_test, stress

__all__ = [
    "ColdStartSettings",
    "FootfallError",
    "LiftRecipe",
    "Recipe",
    "Split",
    "ab_test",
    "augment",
    "coldstart",
    "compare",
    "diagnose",
    "evaluate",
    "export_log",
    "fuse",
    "generate",
    "ingest",
    "load_recipe",
    "make_personas",
    "report",
    "run_lift",
    "run_recipe",
    "simulate",
    "simulate_fast",
    "stress",
    "train",
    "tune",
]

__version__ = version("footfall")

__getattr__ = lazy_exports(
    __name__,
    {
        "ColdStartSettings": "cold_start_settings",
        "FootfallError": "errors",
        "LiftRecipe": "lift_recipe",
        "Recipe": "recipe",
        "Split": "steps",
        "ab_test": "stressing",
        "augment": "augmentation",
        "coldstart": "cold_start",
        "compare": "steps",
        "diagnose": "doctor",
        "evaluate": "steps",
        "export_log": "simulator.log_export",
        "fuse": "steps",
        "generate": "generation",
        "ingest": "steps",
        "load_recipe": "recipe",
        "make_personas": "steps",
        "report": "steps",
        "run_lift": "lift",
        "run_recipe": "recipe",
        "simulate": "steps",
        "simulate_fast": "generation",
        "stress": "stressing",
        "train": "steps",
        "tune": "steps",
    },
)
