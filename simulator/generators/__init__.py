"""Generators of sessions other than the language model, behind one interface.

They write into the same log as a simulation, so that what the language model gives can be compared
with what came before it.
"""

from __future__ import annotations

from footfall.simulator.generators.protocol import GENERATED_SCHEMA, SessionGenerator
from footfall.simulator.generators.registry import (
    GENERATOR_GROUP,
    generator_names,
    open_generator,
)
from footfall.simulator.generators.run import GenerationRun
from footfall.simulator.generators.settings import GenerationSettings, GenerationSummary

__all__ = [
    "GENERATED_SCHEMA",
    "GENERATOR_GROUP",
    "GenerationRun",
    "GenerationSettings",
    "GenerationSummary",
    "SessionGenerator",
    "generator_names",
    "open_generator",
]
