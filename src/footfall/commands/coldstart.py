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
from footfall.recipe_text import recipe_toml

__all__ = ["coldstart"]

#: Tables that the settings file may hold.
_TABLES = ("coldstart", "personas", "engine", "tuning", "aim", "fusion", "training")
_MEASURED = {"held out": "what was held out", "all": "all rows (few responses were held out)"}
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
    users: Annotated[
        bool, typer.Option("--users", help="Aim at people without history instead of items.")
    ] = False,
    user: Annotated[
        list[str] | None, typer.Option(help="With --users: person to aim at; may be repeated.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="vllm, server, replay, scripted or a plug-in.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundled model, folder (tuned) or Hugging Face name.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    settings: SettingsFile = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the settings and print all of them.")
    ] = False,
) -> None:
    """Fill the gap of items or people without history, as far as a rehearsal shows that it pays.

    The settings file may hold the tables coldstart, personas, engine, tuning, aim,
    fusion and training.
    """
    tables: dict[str, dict[str, Any]] = read_tables(settings, _TABLES) if settings else {}
    for table, name, value in (
        ("coldstart", "until", until),
        ("coldstart", "label", label),
        ("coldstart", "items", tuple(item) if item else None),
        ("coldstart", "of", "users" if users else None),
        ("coldstart", "users", tuple(user) if user else None),
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
        hint="`footfall coldstart LOG FOLDER --until TIME --check` prints all settings.",
    )
    if check:
        typer.echo(recipe_toml(chosen))
        return
    result = fill_cold_start(log, folder, chosen)
    if not result.enough:
        typer.echo("Result: no number of visits gained anything in the rehearsal; real rows only.")
    else:
        rows = result.changes.slice(0, _SHOWN).to_pylist()
        told = chosen.coldstart.of
        console.print(_users_table(rows) if told == "users" else _items_table(rows))
        typer.echo(
            f"Result: {result.enough} visits each of the {told} are enough; log loss of "
            f"{_MEASURED[result.measured]} in the rehearsal fell by {result.curve.gain:.4f}."
        )
        if result.enough == result.curve.amounts[-1]:
            typer.echo(
                "The gain had not flattened by then: it is the largest number that was tried "
                "(coldstart.amounts)."
            )
    changed = folder / f"{chosen.coldstart.of}.parquet"
    typer.echo(f"Fused set: {result.fused}\nModel: {result.model}\nWhat changed: {changed}")


def _items_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("item", "shoppers are", "typed", "shown beside", "probability", "rank")
    for row in rows:
        table.add_row(
            row["text"],
            ", ".join(row["shoppers_are"][:2]) or "–",
            ", ".join(row["typed"][:3]),
            row["shown_beside"][0][:40] if row["shown_beside"] else "–",
            *_scores(row),
        )
    return table


def _users_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("person", "typed", "came for", "probability", "rank")
    for row in rows:
        came_for = "; ".join(text[:30] for text in row["came_for"][:2])
        table.add_row(row["user_id"], ", ".join(row["typed"][:3]), came_for, *_scores(row))
    return table


def _scores(row: dict[str, Any]) -> tuple[str, str]:
    """Probability and rank before and after, of what was taken on the probes."""
    if not row["probes"]:
        return "–", "–"
    return (
        f"{row['probability_before']:.3f} → {row['probability_after']:.3f}",
        f"{row['rank_before']:.1f} → {row['rank_after']:.1f}",
    )
