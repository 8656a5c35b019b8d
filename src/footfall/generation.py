"""The Python call of ``footfall generate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from footfall.personas import Persona, read_personas
from footfall.simulator.generators import GenerationRun, GenerationSettings, GenerationSummary

__all__ = ["generate"]


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
