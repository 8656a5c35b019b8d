"""Items shown as a Hugging Face dataset: one row an impression, one split an origin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from footfall.errors import EmptyLogError, MissingPartError
from footfall.simulator.log_export.chosen_rows import Origin, chosen_origins, chosen_rows
from footfall.simulator.log_export.parquet import write_parquet
from footfall.simulator.log_export.shown_items import (
    LONGEST_HISTORY,
    SHOWN_ITEM_SCHEMA,
    check_history,
    shown_items_sql,
)

if TYPE_CHECKING:
    from datasets import DatasetDict

    from footfall.simulator.log import Log

__all__ = ["check_datasets", "export_dataset", "write_dataset"]

_BATCH_ROWS = 10_000


def check_datasets() -> None:
    """Find out that the package is missing before any work.

    Raises
    ------
    MissingPartError
        If it is.
    """
    if find_spec("datasets") is None:
        raise MissingPartError(
            "The package datasets is not installed.",
            hint="Install it with `pip install 'footfall[datasets]'`.",
        )


def export_dataset(
    log: Log,
    *,
    origin: Origin = None,
    until: datetime | None = None,
    history: int = LONGEST_HISTORY,
) -> DatasetDict:
    """Items shown as a dataset in memory, in the columns of ``SHOWN_ITEM_SCHEMA``.

    Large logs are better streamed to a folder:
    :func:`~footfall.simulator.log_export.export_log` and ``datasets.load_from_disk``.

    Parameters
    ----------
    log:
        An open log.
    origin:
        ``real``, a run, or several of them, each a split of the dataset; all where not given. A
        split's name is the origin's with underscores for what is no letter, digit or underscore.
    until:
        Only pages asked for before this moment; a moment without zone is UTC.
    history:
        Most items in a row's history.

    Raises
    ------
    MissingPartError
        If the package ``datasets`` is not installed.
    DataError
        If the log has no such run.
    EmptyLogError
        If no item was shown.
    """
    check_datasets()
    check_history(history)
    from datasets import Dataset, DatasetDict

    splits = {}
    for name, chosen in _splits(chosen_origins(log, origin)).items():
        with chosen_rows(log, [chosen], until):
            rows = log.query(shown_items_sql(history=history)).cast(SHOWN_ITEM_SCHEMA)
        if rows.num_rows:
            splits[name] = Dataset(rows, info=_info())
    if not splits:
        raise _nothing_shown()
    return DatasetDict(splits)


def write_dataset(
    log: Log, folder: Path, origins: Sequence[str], until: datetime | None, *, history: int
) -> dict[str, int]:
    """Stream items shown into a folder that ``datasets.load_from_disk`` reads; rows a split."""
    from datasets import Dataset, DatasetDict

    splits, rows, passing = {}, {}, []
    for name, chosen in _splits(origins).items():
        table, arrow = folder / f".{name}.parquet", folder / f".{name}.arrow"
        with chosen_rows(log, [chosen], until):
            count = write_parquet(log, shown_items_sql(history=history), table)
        _restream(table, arrow)
        table.unlink()
        passing.append(arrow)
        if count:
            rows[name] = count
            splits[name] = Dataset.from_file(str(arrow), info=_info())
    if not splits:
        raise _nothing_shown()
    with _quiet():
        DatasetDict(splits).save_to_disk(str(folder))
    for arrow in passing:
        arrow.unlink()
    return rows


def _info() -> Any:
    from datasets import DatasetInfo, Features

    return DatasetInfo(
        description="Items shown in a shop, with responses. Made by Footfall.",
        features=Features.from_arrow_schema(SHOWN_ITEM_SCHEMA),
    )


def _splits(origins: Sequence[str]) -> dict[str, str]:
    """Origins by the name of their split, which may hold nothing but word characters."""
    found: dict[str, str] = {}
    for origin in origins:
        plain = re.sub(r"\W", "_", origin)
        name, number = plain, 1
        while name in found:
            number += 1
            name = f"{plain}_{number}"
        found[name] = origin
    return found


def _restream(table: Path, arrow: Path) -> None:
    """Parquet as the Arrow stream that a dataset is mapped from, a batch at a time."""
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, SHOWN_ITEM_SCHEMA) as stream:
        for batch in pq.ParquetFile(table).iter_batches(_BATCH_ROWS):
            stream.write_table(pa.Table.from_batches([batch]).cast(SHOWN_ITEM_SCHEMA))


def _nothing_shown() -> EmptyLogError:
    return EmptyLogError(
        "None of the chosen rows shows an item.",
        hint="Choose another origin or a later `until`, or the format parquet.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the package meanwhile; they would mix with ours."""
    from datasets.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
