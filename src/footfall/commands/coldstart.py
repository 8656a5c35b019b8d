"""The command ``footfall coldstart``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from footfall.cold_start import coldstart as fill_cold_start
from footfall.cold_start_settings import ColdStartSettings
from footfall.commands.options import LogFile, SettingsFile, read_tables
from footfall.progress import console
from footfall.recipe import validated

__all__ = ["coldstart"]

#: Tables that the settings file may hold.
_TABLES = ("coldstart", "personas", "engine", "aim", "training")
#: Items printed on the terminal; the file has all of them.
_SHOWN = 12


def coldstart(
    log: LogFile,
    folder: Annotated[Path, typer.Argument(help="Where results go.", show_default=False)],
    until: Annotated[
        datetime | None, typer.Option(help="End of the training part; later rows validate.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="purchased or clicked.")] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(help="Item to aim at; may be repeated. Without any: items without history."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="vllm, server, replay, scripted or a plug-in.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundled model, folder (tuned) or Hugging Face name.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Fill the gap of items without history, as far as a rehearsal shows that it pays."""
    tables: dict[str, dict[str, Any]] = read_tables(settings, _TABLES) if settings else {}
    for table, name, value in (
        ("coldstart", "until", until),
        ("coldstart", "label", label),
        ("coldstart", "items", tuple(item) if item else None),
        ("coldstart", "seed", seed),
        ("engine", "kind", engine),
        ("engine", "model", model),
    ):
        if value is not None:
            tables.setdefault(table, {})[name] = value
    chosen = validated(
        ColdStartSettings,
        tables,
        str(settings or "options"),
        hint="docs/coldstart.md lists what can be set.",
    )
    result = fill_cold_start(log, folder, chosen)
    if not result.enough:
        typer.echo("Result: no number of visits gained anything in the rehearsal; real rows only.")
    else:
        console.print(_items_table(result.items.slice(0, _SHOWN).to_pylist()))
        typer.echo(
            f"Result: {result.enough} visits an item are enough; log loss of cold rows in the "
            f"rehearsal fell by {result.curve.gain:.4f}."
        )
    typer.echo(f"Fused set: {result.fused}\nModel: {result.model}\nItems: {folder}/items.parquet")


def _items_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("item", "typed", "shown beside", "probability", "rank")
    for row in rows:
        probability = rank = "–"
        if row["probes"]:
            probability = f"{row['probability_before']:.3f} → {row['probability_after']:.3f}"
            rank = f"{row['rank_before']:.1f} → {row['rank_after']:.1f}"
        table.add_row(
            row["text"],
            ", ".join(row["typed"][:3]),
            row["shown_beside"][0][:40] if row["shown_beside"] else "–",
            probability,
            rank,
        )
    return table
