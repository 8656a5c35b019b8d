"""The Python calls of ``footfall generate`` and ``footfall simulate-fast``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from footfall.personas import Persona, read_personas
from footfall.simulator.fast import FastSettings, FastSimulation, FastSummary
from footfall.simulator.generators import GenerationRun, GenerationSettings, GenerationSummary

__all__ = ["generate", "simulate_fast"]


def generate(
    log: str | Path,
    people: str | Path | Sequence[Persona] | None = None,
    *,
    settings: GenerationSettings | None = None,
) -> GenerationSummary:
    """Generate sessions without a language model, into the same log.

    Parameters
    ----------
    log:
        The log; nothing from ``until`` on is learned from.
    people:
        The shoppers, or the persona file that holds them; fitted on the log when not given.
    settings:
        Which generator, how many sessions, until when.
    """
    if isinstance(people, str | Path):
        people = read_personas(people)
    return GenerationRun(log, settings, personas=people).run()


def simulate_fast(
    log: str | Path,
    people: str | Path | Sequence[Persona],
    *,
    settings: FastSettings | None = None,
) -> FastSummary:
    """Simulate sessions of personas without a language model, into the same log.

    Parameters
    ----------
    log:
        The log; nothing from ``until`` on is learned from.
    people:
        The shoppers, or the persona file that holds them.
    settings:
        How many sessions, until when, in front of which search engine.
    """
    if isinstance(people, str | Path):
        people = read_personas(people)
    return FastSimulation(log, people, settings).run()
