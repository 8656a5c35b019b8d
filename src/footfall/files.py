"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from footfall.errors import DataError, SettingError

__all__ = ["check_folder", "whole_file"]


def check_folder(output: str | Path | None) -> None:
    """Find out that a result has no place before it is worked for.

    Raises
    ------
    SettingError
        If the folder of the file does not exist.
    """
    if output is not None and not Path(output).parent.is_dir():
        raise SettingError(
            f"{output}: the folder {Path(output).parent} does not exist.", hint="Make it first."
        )


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A place to write a file that takes the name ``path`` only when the block ends well.

    An older file of that name stays until then; after an error nothing is left behind.

    Raises
    ------
    DataError
        If the file cannot be written: no such folder, no permission, no room.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}).",
            hint="Choose a folder that exists, can be written to and has room.",
        ) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
