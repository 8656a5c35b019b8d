"""Objects by name: an entry point of another package, or ``package.module:object``."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from footfall.errors import SettingError

__all__ = ["find_object", "plug_in_names"]


def _accept(_: Any) -> None:
    """Any object is of use."""


def plug_in_names(group: str, check: Callable[[Any], object] = _accept) -> set[str]:
    """Names of the group's entry points that can be loaded.

    One that cannot is named in a ``RuntimeWarning`` and left out.

    Parameters
    ----------
    check:
        Raises for a loaded object that is of no use.
    """
    names = set()
    for point in _points(group):
        try:
            check(point.load())
        except Exception as error:  # Another package's code may fail in any way.
            warnings.warn(
                f"The plug-in {point.name!r} ({point.value}, group {group}) is left out:"
                f" {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=3,
            )
        else:
            names.add(point.name)
    return names


def find_object(
    name: str,
    *,
    kind: str,
    group: str,
    known: Iterable[str],
    check: Callable[[Any], object] = _accept,
    or_else: str = "package.module:object",
) -> Any:
    """Load what a plug-in's name or ``package.module:object`` stands for.

    Parameters
    ----------
    kind:
        What it is, in messages.
    group:
        Of the entry points.
    known:
        Names that are built in, for the hint.
    check:
        Raises for a loaded object that is of no use.
    or_else:
        What may be given beside names, for the hint.

    Raises
    ------
    SettingError
        If there is none, or it cannot be loaded.
    """
    points = {point.name: point for point in _points(group)}
    point = points.get(name)
    if point is None and ":" not in name:
        raise SettingError(
            f"There is no {kind} {name!r}.",
            hint=f"Use one of {', '.join(sorted({*known, *points}))}, or {or_else}.",
        )
    try:
        found = point.load() if point else _imported(name)
        check(found)
    except Exception as error:  # Another package's code may fail in any way.
        where = f"plug-in {name!r} ({point.value})" if point else f"object {name!r}"
        raise SettingError(
            f"The {kind} of the {where} cannot be loaded: {type(error).__name__}: {error}",
            hint="Check that its package is installed and imports by itself.",
        ) from error
    return found


def _imported(name: str) -> Any:
    """The object of ``package.module:object``; dots lead on from it."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _points(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))
