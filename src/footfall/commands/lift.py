"""The command ``footfall lift``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footfall.lift import run_lift
from footfall.lift_recipe import LiftRecipe
from footfall.recipe import load_settings
from footfall.recipe_text import recipe_toml

__all__ = ["lift"]


def lift(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Recipe of a proof: its file, or lift-bestbuy, lift-coupon, lift-coupon-64, "
            "lift-coupon-256, lift-ogeek, lift-complete-journey.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path | None, typer.Option(help="Where results go, instead of the recipe's folder.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the source's files, instead of the recipe's."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the recipe and print it with all settings.")
    ] = False,
) -> None:
    """Prove whether synthetic rows help: equal-volume arms, paired seeds, intervals, a verdict."""
    loaded = load_settings(
        LiftRecipe,
        recipe,
        hint="`footfall lift lift-bestbuy --check` prints a packaged recipe with all settings.",
    )
    if data is not None:
        loaded = loaded.with_data(data)
    if check:
        typer.echo(recipe_toml(loaded))
        return
    result = run_lift(loaded, folder=folder)
    typer.echo(result.comparison.to_markdown())
    typer.echo(f"Report: {result.report}")
    typer.echo(f"Result: {result.verdict}")
