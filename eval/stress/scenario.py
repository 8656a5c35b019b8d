"""What happens to a shop, as one small file: a table for each kind of change.

A scenario says what happens, not to which items: those are drawn from the run's seed, so one file
serves every shop. Times are shares of the run, so it serves runs of every length.

A name is a packaged scenario's, a plug-in's, or the path of a file. An entry point of the group
:data:`SCENARIO_GROUP` names a path, a dictionary of what such a file holds, a :class:`Scenario`, or
something callable that returns one of these.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footfall.errors import SettingError
from footfall.eval.stress.scenario_tables import (
    AttackChange,
    CatalogueChange,
    DemandChange,
    FeedbackLoop,
    PeopleChange,
    PriceChange,
    QueryChange,
    StockChange,
    TextChange,
    Threshold,
    TrafficChange,
)
from footfall.simulator.targets.faults import Faults

__all__ = ["SCENARIO_GROUP", "Scenario", "load_scenario", "packaged_scenarios", "scenario_names"]

SCENARIO_GROUP: Final = "footfall.scenarios"


class Scenario(BaseModel):
    """One scenario: what changes, and what has to hold. Tables left out change nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="What it is asked for by.")
    description: str = Field(min_length=1, description="What happens, for whoever reads a report.")
    traffic: TrafficChange | None = Field(None, description="Visits.")
    prices: PriceChange | None = Field(None, description="Prices.")
    catalogue: CatalogueChange | None = Field(None, description="Items without history.")
    demand: DemandChange | None = Field(None, description="What shoppers come for.")
    people: PeopleChange | None = Field(None, description="Shoppers' habits.")
    queries: QueryChange | None = Field(None, description="How queries are typed.")
    stock: StockChange | None = Field(None, description="What cannot be bought.")
    attack: AttackChange | None = Field(None, description="Visits that push items.")
    texts: TextChange | None = Field(None, description="Texts of items.")
    faults: Faults | None = Field(None, description="How the way to the target misbehaves.")
    feedback: FeedbackLoop = Field(
        default_factory=FeedbackLoop, description="Whether the target learns from what it caused."
    )
    thresholds: tuple[Threshold, ...] = Field((), description="What has to hold.")


def packaged_scenarios() -> list[str]:
    """Names of the scenarios that come with Footfall, sorted."""
    folder = files("footfall.eval.stress") / "scenarios"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name[-5:] == ".toml"
    )


def scenario_names() -> list[str]:
    """Names of the packaged scenarios and of all plug-ins that can be loaded, sorted.

    A plug-in that cannot be loaded is named in a ``RuntimeWarning`` and left out.
    """
    names = set(packaged_scenarios())
    for point in _points():
        try:
            _loaded(point)
        except SettingError as error:
            warnings.warn(
                f"The plug-in {point.name!r} ({point.value}, group {SCENARIO_GROUP}) is left out:"
                f" {error}",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            names.add(point.name)
    return sorted(names)


def load_scenario(name: str | Path) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    name:
        A packaged scenario's name, a plug-in's, or the path of a TOML file.

    Raises
    ------
    SettingError
        If there is no such scenario, or its content is wrong; the message names the field.
    """
    packaged = packaged_scenarios()
    if str(name) in packaged:
        file = files("footfall.eval.stress") / "scenarios" / f"{name}.toml"
        return _parsed(file.read_text("utf-8"), str(name))
    points = {point.name: point for point in _points()}
    if str(name) in points:
        return _loaded(points[str(name)])
    if Path(name).is_file():
        return _read(Path(name))
    raise SettingError(
        f"There is no scenario {str(name)!r}.",
        hint=f"Name a TOML file, or one of {', '.join(sorted({*packaged, *points}))}.",
    )


def _points() -> list[EntryPoint]:
    found = entry_points(group=SCENARIO_GROUP)
    return sorted(found, key=lambda point: (point.name, point.value))


def _loaded(point: EntryPoint) -> Scenario:
    where = f"the plug-in {point.name!r} ({point.value})"
    try:
        found = point.load()
        if callable(found):
            found = found()
    except Exception as error:  # Another package's code may fail in any way.
        raise SettingError(
            f"The scenario of {where} cannot be loaded: {type(error).__name__}: {error}",
            hint="Check that its package is installed and imports by itself.",
        ) from error
    return _made(found, where)


def _made(found: Any, where: str) -> Scenario:
    if isinstance(found, Scenario):
        return found
    if isinstance(found, Mapping):
        return _checked(dict(found), where)
    if isinstance(found, str | Path):
        return _read(Path(found))
    raise SettingError(
        f"The scenario of {where} is {type(found).__name__}.",
        hint="It has to be a path, a dictionary, a Scenario, or something that returns one.",
    )


def _read(path: Path) -> Scenario:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SettingError(
            f"{path}: not a text in UTF-8: {error}.", hint="Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise SettingError(
            f"{path}: cannot be read: {error}.", hint="Check the path of the scenario's file."
        ) from error
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> Scenario:
    try:
        return _checked(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(
            f"{where}: not valid TOML: {error}.", hint="See docs/scenarios.md for an example."
        ) from error


def _checked(content: dict[str, Any], where: str) -> Scenario:
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the scenario"
        raise SettingError(
            f"{where}, {field}: {first['msg']}.",
            hint="docs/scenarios.md describes every field.",
        ) from error
