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
    from footfall.doctor import diagnose
    from footfall.errors import FootfallError
    from footfall.generation import generate
    from footfall.recipe import Recipe, load_recipe, run_recipe
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

__all__ = [
    "FootfallError",
    "Recipe",
    "Split",
    "augment",
    "compare",
    "diagnose",
    "evaluate",
    "fuse",
    "generate",
    "ingest",
    "load_recipe",
    "make_personas",
    "report",
    "run_recipe",
    "simulate",
    "train",
    "tune",
]

__version__ = version("footfall")

__getattr__ = lazy_exports(
    __name__,
    {
        "FootfallError": "errors",
        "Recipe": "recipe",
        "Split": "steps",
        "augment": "augmentation",
        "compare": "steps",
        "diagnose": "doctor",
        "evaluate": "steps",
        "fuse": "steps",
        "generate": "generation",
        "ingest": "steps",
        "load_recipe": "recipe",
        "make_personas": "steps",
        "report": "steps",
        "run_recipe": "recipe",
        "simulate": "steps",
        "train": "steps",
        "tune": "steps",
    },
)
