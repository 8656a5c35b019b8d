"""Examples as Parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from footfall.errors import DataError
from footfall.files import whole_file
from footfall.finetune.example_table import Examples

__all__ = ["load_examples", "save_examples"]


def save_examples(examples: Examples, path: str | Path) -> Path:
    """Write examples to a Parquet file, replacing it in one step.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    with whole_file(path) as partial:
        pq.write_table(examples.table, partial, compression="zstd")
    return Path(path)


def load_examples(path: str | Path) -> Examples:
    """Read examples from a Parquet file.

    Raises
    ------
    DataError
        If the file is missing, is not Parquet, or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file of examples.", hint="Make it with `footfall fuse`."
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a Parquet file of examples: {error}.",
            hint="Make it with `footfall fuse`.",
        ) from error
    return Examples(table)
