"""``footfall choose-alpha``: how much the synthetic rows of a fusion should count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footfall.commands.options import Assignments, SettingsFile, assigned, settings_from
from footfall.finetune import ClickSettings
from footfall.finetune.chosen_weight import choose_weight
from footfall.progress import console

__all__ = ["choose_alpha"]


def choose_alpha(
    folder: Annotated[
        Path, typer.Argument(help="Folder that `footfall fuse` wrote.", show_default=False)
    ],
    factor: Annotated[
        list[float] | None,
        typer.Option(
            help="Multiple of the fused weights to try, beside 0; may be repeated.", min=0
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Trainings of each that is left at the end.", min=1)
    ] = 3,
    margin: Annotated[
        float, typer.Option(help="Standard errors by which a weight has to beat 0.", min=0)
    ] = 1.0,
    assign: Assignments = None,
    settings: SettingsFile = None,
) -> None:
    """Choose the weight of synthetic rows by successive halving on real validation rows.

    0 may win. The training sets at the chosen weight go into the folder's own folder `chosen`. The
    settings file may hold the table training.
    """
    chosen = settings_from(ClickSettings, settings, "training", **assigned(assign, ClickSettings))
    factors = factor or [0.1, 0.25, 0.5, 1.0, 2.0]
    choice = choose_weight(
        folder, settings=chosen, factors=factors, seeds=range(seeds), margin=margin
    )
    for rung in choice.rungs:
        told = ", ".join(
            f"{alpha:g}: {mean:.5f}" for alpha, mean in zip(rung.alphas, rung.means, strict=True)
        )
        console.print(f"Validation log loss on {rung.budget:.0%} of the slates: {told}")
    if choice.gain is not None:
        error = "" if choice.standard_error is None else f" ± {choice.standard_error:.5f}"
        console.print(f"Gain of {choice.best:g} over 0: {choice.gain:.5f}{error}")
    typer.echo(
        f"Chosen: {choice.alpha:g} times the fused weights"
        if choice.alpha
        else "Chosen: 0, no synthetic rows"
    )
    typer.echo(f"Training sets in {folder / 'chosen'}")
