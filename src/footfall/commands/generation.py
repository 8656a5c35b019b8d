"""``footfall generate`` and ``footfall simulate-fast``: sessions without a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footfall import generation
from footfall.commands.options import (
    INTERRUPTED,
    LogFile,
    Seed,
    SettingsFile,
    Until,
    settings_from,
)
from footfall.simulator import SimulationSummary
from footfall.simulator.fast import FastSettings, FastSummary
from footfall.simulator.generators import GenerationSettings, GenerationSummary

__all__ = ["generate", "say_run", "simulate_fast"]


def generate(
    log: LogFile,
    generator: Annotated[
        str | None,
        typer.Option(help="markov, vae, gan, a plug-in or package.module:object."),
    ] = None,
    personas: Annotated[
        Path | None,
        typer.Option(help="Persona file of the shoppers; without it, fitted on the log."),
    ] = None,
    sessions: Annotated[int | None, typer.Option(help="Sessions to generate.", min=1)] = None,
    until: Until = None,
    cold_items: Annotated[
        float | None,
        typer.Option(
            help="Chance that a shown item is one without any response so far.", min=0, max=1
        ),
    ] = None,
    seed: Seed = None,
    settings: SettingsFile = None,
) -> None:
    """Generate sessions without a language model, into the same log.

    The settings file may hold the table generation.
    """
    chosen = settings_from(
        GenerationSettings,
        settings,
        "generation",
        generator=generator,
        sessions=sessions,
        until=until,
        cold_items=cold_items,
        seed=seed,
    )
    summary = generation.generate(log, personas, settings=chosen)
    say_run(summary, log)
    if summary.state == "interrupted":
        raise typer.Exit(INTERRUPTED)


def simulate_fast(
    log: LogFile,
    people: Annotated[
        Path, typer.Argument(metavar="PERSONAS", help="Persona file.", show_default=False)
    ],
    sessions: Annotated[int | None, typer.Option(help="Sessions to simulate.", min=1)] = None,
    until: Until = None,
    search: Annotated[str | None, typer.Option(help="bm25, dense, hybrid or a plug-in.")] = None,
    seed: Seed = None,
    settings: SettingsFile = None,
) -> None:
    """Send personas through the shop without a language model: a thousand sessions a second.

    The settings file may hold the table fast.
    """
    chosen = settings_from(
        FastSettings,
        settings,
        "fast",
        sessions=sessions,
        until=until,
        search=search,
        seed=seed,
    )
    summary = generation.simulate_fast(log, people, settings=chosen)
    say_run(summary, log)


def say_run(summary: GenerationSummary | FastSummary | SimulationSummary, log: Path) -> None:
    """Print what a run put into the log."""
    typer.echo(
        f"Run {summary.run_id} {summary.state}: {summary.searches:,} searches, "
        f"{summary.impressions:,} impressions, {summary.clicks:,} clicks, "
        f"{summary.purchases:,} purchases in {log}"
    )
