"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from footfall.errors import DataError, SettingError

__all__ = ["check_folder", "new_folder", "whole_file"]


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


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder to fill that takes the name ``path`` only when the block ends well.

    After an error nothing is left behind.

    Raises
    ------
    SettingError
        If ``path`` is a file or a folder that holds something, or its parent does not exist.
    DataError
        If the folder cannot be written: no permission, no room.
    """
    path = Path(path)
    check_folder(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingError(
            f"{path} exists already and is not an empty folder.",
            hint="Choose another name, or delete it if it is no longer needed.",
        )
    partial = path.with_name(path.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}).",
            hint="Choose a folder that can be written to and has room.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
