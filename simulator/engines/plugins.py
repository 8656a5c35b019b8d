"""Engines of other packages, found through the entry-point group ``footfall.engines``.

An entry point's name is the ``kind`` that settings ask for; it names something callable with the
``EngineSettings`` that returns an ``Engine``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

from footfall.simulator.engines.protocol import Engine

__all__ = ["PLUGIN_GROUP", "EngineFactory", "plugin_engines"]

#: The entry-point group.
PLUGIN_GROUP = "footfall.engines"

#: Called with ``EngineSettings`` (typed ``Any`` here because the settings import this module).
EngineFactory: TypeAlias = Callable[[Any], Engine]


def plugin_engines() -> dict[str, EngineFactory]:
    """Engines of all plug-ins that can be loaded, by kind.

    A plug-in that cannot be loaded is named in a ``RuntimeWarning`` and left out.
    """
    found: dict[str, EngineFactory] = {}
    for point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda point: point.name):
        factory = _load(point)
        if factory is not None:
            found[point.name] = factory
    return found


def _load(point: EntryPoint) -> EngineFactory | None:
    try:
        factory = point.load()
    except Exception as error:  # Another package's code may fail in any way.
        reason = f"{type(error).__name__}: {error}"
    else:
        if callable(factory):
            loaded: EngineFactory = factory
            return loaded
        reason = f"{factory!r} cannot be called"
    warnings.warn(
        f"The engine plug-in {point.name!r} ({point.value}) is left out: {reason}",
        RuntimeWarning,
        stacklevel=4,
    )
    return None
