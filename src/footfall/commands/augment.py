"""``footfall augment``: real training examples with changed histories or queries."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from footfall import augmentation
from footfall.commands.options import SettingsFile, settings_from
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.simulator import EngineSettings

__all__ = ["augment"]


def augment(
    examples: Annotated[
        Path, typer.Argument(help="Real training examples (Parquet).", show_default=False)
    ],
    output: Annotated[
        Path, typer.Argument(help="Training set to write (Parquet).", show_default=False)
    ],
    kind: Annotated[
        str, typer.Option(help="crop, mask, reorder, rotate, paraphrase or back-translation.")
    ],
    rows: Annotated[
        int | None, typer.Option(help="Rows to add; by default as many as there are.", min=0)
    ] = None,
    weight: Annotated[float | None, typer.Option(help="Weight of an added row; 1.")] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Add as many rows, at the same mean weight, as this training set does."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    engine: Annotated[
        str | None, typer.Option(help="vllm, server, replay, scripted or a plug-in.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundled model, folder or Hugging Face name.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of an OpenAI-compatible server, ending in /v1.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Record the answers here, or replay them from here.")
    ] = None,
    pivot: Annotated[
        str | None, typer.Option(help="Language that back-translation goes through, such as zh.")
    ] = None,
    forth_model: Annotated[
        Path | None, typer.Option(help="Translation model to the pivot, in place of the engine.")
    ] = None,
    back_model: Annotated[
        Path | None, typer.Option(help="Translation model back from the pivot.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(help="End of the training part; a tuned model may know no more."),
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Add changed copies of real slates: an arm beside simulated rows.

    With --recording, an interrupted run goes on where it was. The settings file may hold the tables
    augmentation and engine.
    """
    chosen = settings_from(
        AugmentationSettings,
        settings,
        "augmentation",
        pivot=pivot,
        forth_model=forth_model,
        back_model=back_model,
    )
    chosen_engine = settings_from(
        EngineSettings,
        settings,
        "engine",
        kind=engine,
        model=model,
        address=address,
        recording=recording,
    )
    made = augmentation.augment(
        examples,
        output,
        kind=kind,
        rows=rows,
        weight=weight,
        like=like,
        seed=seed,
        settings=chosen,
        engine=chosen_engine,
        until=until,
    )
    typer.echo(f"{output}: {len(made):,} examples")
