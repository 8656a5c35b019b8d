"""Examples as Parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from footfall.errors import DataError
from footfall.finetune.example_table import Examples

__all__ = ["load_examples", "save_examples"]


def save_examples(examples: Examples, path: str | Path) -> Path:
    """Write examples to a Parquet file, replacing it in one step.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        pq.write_table(examples.table, partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{path}: the examples cannot be written ({error.strerror or error}).",
            hint="Choose a folder that exists and has room.",
        ) from error
    return path


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
