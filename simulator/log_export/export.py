"""Exports a log to a folder in the format of another library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from footfall.errors import SettingError
from footfall.files import new_folder
from footfall.simulator.log import Log
from footfall.simulator.log_export.chosen_rows import Origin, chosen_origins, chosen_rows
from footfall.simulator.log_export.huggingface import check_datasets, write_dataset
from footfall.simulator.log_export.parquet import write_tables
from footfall.simulator.log_export.recbole import write_atomic_files
from footfall.simulator.log_export.shown_items import LONGEST_HISTORY, check_history

__all__ = ["EXPORT_FORMATS", "ExportSummary", "export_log"]

EXPORT_FORMATS: Final = ("parquet", "recbole", "huggingface")


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written: rows of each file (of each split of a Hugging Face dataset)."""

    folder: Path
    format: str
    origins: tuple[str, ...]
    rows: dict[str, int]


def export_log(
    log_path: str | Path,
    target_folder: str | Path,
    *,
    format: str,  # noqa: A002
    origin: Origin = None,
    until: datetime | None = None,
    history: int = LONGEST_HISTORY,
) -> ExportSummary:
    """Write a part of a log to a new folder; the folder is there whole or not at all.

    Rows are streamed; what has to be sorted spills to disk beyond 2 GB.

    Parameters
    ----------
    log_path:
        The log, opened read-only.
    target_folder:
        The folder to make. RecBole's name of the data set is the folder's.
    format:
        ``parquet`` (one file a table), ``recbole`` (atomic files) or ``huggingface`` (a folder for
        ``datasets.load_from_disk``, one row an item shown).
    origin:
        ``real``, a run, or several of them; everything where not given.
    until:
        Only what happened before this moment; a moment without zone is UTC. See
        :func:`~footfall.simulator.log_export.chosen_rows.chosen_rows` for rows without a time.
    history:
        Most items in a row's history (recbole, huggingface).

    Raises
    ------
    SettingError
        If the format is unknown, or the folder holds something or has no place.
    DataError
        If the log has no such run, or the folder cannot be written.
    EmptyLogError
        If nothing is there to be exported.
    MissingPartError
        If the package ``datasets`` is needed and not installed.
    LogError
        If the log cannot be opened.
    """
    folder = Path(target_folder)
    _check(folder, format, history)
    with Log.open(log_path) as log, new_folder(folder) as partial:
        origins = chosen_origins(log, origin)
        if format == "huggingface":
            rows = write_dataset(log, partial, origins, until, history=history)
        else:
            with chosen_rows(log, origins, until):
                if format == "parquet":
                    rows = write_tables(log, partial)
                else:
                    name = folder.resolve().name
                    rows = write_atomic_files(log, partial, name, history=history)
    return ExportSummary(folder, format, origins, rows)


def _check(folder: Path, form: str, history: int) -> None:
    if form not in EXPORT_FORMATS:
        raise SettingError(
            f"format: {form!r} is unknown.", hint=f"Use {', '.join(EXPORT_FORMATS)}."
        )
    check_history(history)
    if form == "huggingface":
        check_datasets()
    if form == "recbole" and not re.fullmatch(r"[\w.-]+", folder.resolve().name):
        raise SettingError(
            f"{folder}: RecBole would not find a data set of this name.",
            hint="Use letters, digits, points, dashes and underscores in the folder's name.",
        )
