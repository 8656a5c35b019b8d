"""Examples in portions, for tables and logs that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from footfall.errors import DataError
from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples
from footfall.finetune.examples import (
    Label,
    check_reading,
    read_slates,
    rows_of_slates,
)
from footfall.finetune.knowledge import check_knowledge
from footfall.finetune.row_columns import complete_examples
from footfall.finetune.row_description import RowDescriber
from footfall.simulator.catalog import utc_moment
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["ExampleBatches", "log_batches", "parquet_batches"]

#: Rows, and pages of a log, that are held at a time.
_ROWS_AT_ONCE = 16_384
_SLATES_AT_ONCE = 4_096


@dataclass(frozen=True)
class ExampleBatches:
    """Examples in order, in portions.

    Parameters
    ----------
    rows:
        How many there are in all.
    columns:
        Columns that the source has; others hold what :func:`complete_examples` puts there.
    batches:
        The portions; can be gone through once.
    """

    rows: int
    columns: tuple[str, ...]
    batches: Iterator[Examples]


def parquet_batches(
    path: str | Path, *, needed: Sequence[str], rows_at_once: int = _ROWS_AT_ONCE
) -> ExampleBatches:
    """Examples of a Parquet file, or of all Parquet files of a folder.

    Parameters
    ----------
    path:
        File or folder; in a folder, files are taken by name, subfolders included.
    needed:
        Columns that every file must have.
    rows_at_once:
        Most rows of a portion.

    Raises
    ------
    DataError
        If a file is not Parquet or lacks a needed column; while the portions are gone through, if
        a needed value is missing.
    """
    path = Path(path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"{path}: the folder holds no Parquet file.", hint="Name one with files *.parquet."
        )
    columns: set[str] = set()
    rows = 0
    for file in files:
        metadata = _metadata(file)
        names = metadata.schema.to_arrow_schema().names
        missing = [name for name in needed if name not in names]
        if missing:
            raise DataError(
                f"{file}: the column(s) {', '.join(missing)} are missing.",
                hint="`footfall fuse` writes examples with all columns.",
            )
        rows += metadata.num_rows
        columns |= set(names)
    parts = (part for file in files for part in _file_batches(file, needed, rows_at_once))
    known = tuple(name for name in EXAMPLE_SCHEMA.names if name in columns)
    return ExampleBatches(rows, known, parts)


def _metadata(file: Path) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{file} is not a Parquet file of examples: {error}.",
            hint="Make it with `footfall fuse`.",
        ) from error


def _file_batches(file: Path, needed: Sequence[str], rows_at_once: int) -> Iterator[Examples]:
    import pyarrow.parquet as pq

    before = 0
    try:
        with pq.ParquetFile(file) as opened:
            names = [name for name in EXAMPLE_SCHEMA.names if name in opened.schema_arrow.names]
            for batch in opened.iter_batches(rows_at_once, columns=names):
                table = pa.Table.from_batches([batch])
                yield complete_examples(table, needed=needed, where=str(file), rows_before=before)
                before += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is damaged after row {before:,}: {error}.") from error


def log_batches(
    log: Log,
    *,
    label: Label = "purchased",
    start: datetime | None = None,
    end: datetime | None = None,
    until: datetime,
    origins: Sequence[str] = (ORIGIN_REAL,),
    max_slates: int | None = None,
    seed: int = 0,
    snapshots: int = 8,
    allow_unknown_knowledge: bool = False,
    slates_at_once: int = _SLATES_AT_ONCE,
) -> ExampleBatches:
    """The examples of :func:`~footfall.finetune.examples.read_examples`, portion by portion.

    What is held meanwhile: a line for every page, the descriptions of all of their shoppers, and
    the rows of ``slates_at_once`` pages. Parameters and errors are those of ``read_examples``.
    """
    check_reading(label, origins, max_slates, snapshots)
    known_until = utc_moment(until)
    chosen = pa.table({"origin": pa.array(list(dict.fromkeys(origins)), pa.string())})
    check_knowledge(log, chosen, known_until, allow_unknown=allow_unknown_knowledge)
    slates = log.query(
        "SELECT * FROM slates ORDER BY slate_at NULLS LAST, search_id",
        slates=read_slates(
            log,
            label=label,
            start=start,
            end=end,
            origins=origins,
            max_slates=max_slates,
            seed=seed,
        ),
    )
    rows = log.query(
        "SELECT count(*) AS rows FROM impressions i SEMI JOIN slates USING (search_id) "
        f"WHERE i.{label} IS NOT NULL",
        slates=slates.select(["search_id"]),
    )
    describer = RowDescriber(log, slates, until=known_until, snapshots=snapshots)

    def parts() -> Iterator[Examples]:
        for first in range(0, slates.num_rows, slates_at_once):
            some = slates.slice(first, slates_at_once)
            yield describer.describe(rows_of_slates(log, some, label))

    return ExampleBatches(rows["rows"][0].as_py(), tuple(EXAMPLE_SCHEMA.names), parts())
