"""``footfall export``: a log in the formats of other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footfall.commands.options import LogFile, Until
from footfall.simulator.log_export import export_log

__all__ = ["export"]


def export(
    log: LogFile,
    folder: Annotated[Path, typer.Argument(help="Folder to make.", show_default=False)],
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", help="parquet, recbole or huggingface.")
    ] = "parquet",
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="A run, or `real` for the real rows; may be repeated. Without any: everything."
        ),
    ] = None,
    until: Until = None,
    history: Annotated[
        int, typer.Option(help="Most items of a shopper's history in a row.", min=0)
    ] = 20,
) -> None:
    """Write a log, or a run of it, as Parquet, RecBole atomic files or a Hugging Face dataset."""
    made = export_log(log, folder, format=format, origin=run or None, until=until, history=history)
    for name, rows in made.rows.items():
        typer.echo(f"{name}: {rows:,} rows")
    typer.echo(f"{', '.join(made.origins)} as {made.format} in {made.folder}")
