"""pytest plug-in: a crowd of shoppers as a fixture, so that a test says what must hold.

::

    @pytest.mark.crowd(log="shop.duckdb", personas="people.jsonl", sessions=500)
    def test_my_ranker_keeps_up_with_popularity(crowd):
        report = crowd(MyRanker(), scenario="sale-day")
        report.require("ndcg", at_least=1.0, compared_with="baseline")
        report.check()  # the scenario's own thresholds

Every setting may also stand in pytest's configuration, as ``footfall_log`` and so on. The settings
of the call go before those of the nearest marker, those before the configuration's.

Nothing of Footfall is loaded before a crowd is sent in. PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import pytest

if TYPE_CHECKING:
    from footfall.eval.stress.results import ScenarioResult, StressResult
    from footfall.eval.stress.rows import MeasureRow
    from footfall.personas import Persona

__all__ = ["Crowd", "CrowdReport", "CrowdSettings", "crowd"]

_PREFIX: Final = "footfall_"
_STEADY: Final = "steady-traffic"


@dataclass(frozen=True, slots=True)
class CrowdSettings:
    """What a crowd is made of; see :func:`footfall.stress`.

    Paths are relative to pytest's root folder. ``scenario`` may be several names.
    """

    log: str | Path | None = None
    personas: str | Path | Sequence[Persona] | None = None
    scenario: str | Sequence[str] = _STEADY
    baseline: Any = "popularity"
    until: datetime | str | None = None
    sessions: int | str = 2000
    days: int | str = 7
    seed: int | str = 0

    def changed(self, values: dict[str, Any], place: str) -> Self:
        """The settings with these values in their place.

        Raises
        ------
        pytest.UsageError
            If one is unknown; ``place`` says where it was given.
        """
        known = [field.name for field in fields(self)]
        for name in values:
            if name not in known:
                raise pytest.UsageError(
                    f"{place}: {name!r} is no setting of a crowd. There are {', '.join(known)}."
                )
        return replace(self, **values)


_HELP: Final = {
    "log": "the shop's log (DuckDB)",
    "personas": "the shoppers (JSON Lines)",
    "scenario": f"names or files of scenarios, separated by spaces ({_STEADY})",
    "baseline": "what the target stands beside (popularity)",
    "until": "nothing of the log after this time is known to anybody",
    "sessions": "visits in steady traffic (2000)",
    "days": "simulated days (7)",
    "seed": "of everything that is drawn (0)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings to pytest's configuration."""
    for name, words in _HELP.items():
        parser.addini(_PREFIX + name, f"Crowd of shoppers: {words}.", type="string", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line(
        "markers", f"crowd({', '.join(f'{name}=...' for name in _HELP)}): the crowd of a test"
    )


@pytest.fixture
def crowd(request: pytest.FixtureRequest) -> Crowd:
    """Send a crowd of shoppers through a target: ``crowd(target, scenario="sale-day")``."""
    config = request.config
    given = {name: str(config.getini(_PREFIX + name)) for name in _HELP}
    values: dict[str, Any] = {name: text for name, text in given.items() if text}
    if "scenario" in values:
        values["scenario"] = values["scenario"].split()
    settings = CrowdSettings().changed(values, "configuration")
    # The nearest marker comes first, and has the last word.
    for marker in reversed(list(request.node.iter_markers("crowd"))):
        if marker.args:
            raise pytest.UsageError("@pytest.mark.crowd: give settings by name.")
        settings = settings.changed(marker.kwargs, "@pytest.mark.crowd")
    return Crowd(settings, config.rootpath)


class Crowd:
    """What the fixture gives: call it with a target.

    Parameters
    ----------
    settings:
        Of every call that names no others.
    root:
        What relative paths are relative to.
    """

    def __init__(self, settings: CrowdSettings, root: Path) -> None:
        self.settings = settings
        self._root = root

    def __call__(self, target: Any, **settings: Any) -> CrowdReport:
        """Play the scenarios in front of ``target`` and the baseline.

        Parameters
        ----------
        target:
            An object, or a name or address as on the command line of ``footfall stress``.
        settings:
            In place of the marker's and the configuration's.

        Raises
        ------
        pytest.UsageError
            If a setting is unknown, of a wrong kind, or missing.
        footfall.errors.FootfallError
            If the log, the personas, a scenario or a target cannot be used.
        """
        __tracebackhide__ = True
        chosen = self.settings.changed(settings, "crowd(...)")
        if not chosen.log or not chosen.personas:
            missing = "personas" if chosen.log else "log"
            raise pytest.UsageError(
                f"The crowd has no {missing}: set {_PREFIX}{missing} in pytest's configuration, or "
                f"{missing}=... in @pytest.mark.crowd or the call."
            )
        from footfall import stress

        named = chosen.scenario
        people = chosen.personas
        result = stress(
            target,
            log=self._path(chosen.log),
            personas=self._path(people) if isinstance(people, str | Path) else people,
            scenarios=[named] if isinstance(named, str) else list(named),
            baseline=chosen.baseline,
            until=_moment(chosen.until),
            sessions=_whole("sessions", chosen.sessions),
            days=_whole("days", chosen.days),
            seed=_whole("seed", chosen.seed),
        )
        return CrowdReport(result)

    def _path(self, path: str | Path) -> Path:
        return self._root / path


@dataclass(frozen=True, slots=True)
class CrowdReport:
    """What came of it.

    Attributes
    ----------
    result:
        Everything measured.
    """

    result: StressResult

    def scenario(self, name: str | None = None) -> ScenarioResult:
        """One scenario; the only one need not be named.

        Raises
        ------
        LookupError
            If there is no such scenario, or there are several and none is named.
        """
        played = {each.name: each for each in self.result.scenarios}
        if name is None and len(played) == 1:
            return next(iter(played.values()))
        if name is None or name not in played:
            wanted = "Name one of the scenarios" if name is None else f"{name!r} was not played"
            raise LookupError(f"{wanted}: {', '.join(played)}.")
        return played[name]

    def measure(self, name: str, *, scenario: str | None = None) -> MeasureRow:
        """One measure: ``value``, ``low``, ``high``, and the baseline's beside it.

        Raises
        ------
        LookupError
            If there is no such measure or scenario.
        """
        rows = {row.measure: row for row in self.scenario(scenario).measures}
        if name not in rows:
            raise LookupError(f"There is no measure {name!r}; there are {', '.join(rows)}.")
        return rows[name]

    def require(
        self,
        measure: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        compared_with: Literal["value", "baseline", "steady"] = "value",
        by: Literal["difference", "ratio"] = "ratio",
        certain: bool = False,
        scenario: str | None = None,
    ) -> None:
        """Fail the test where a measure does not hold a bound, or where it cannot be told.

        Parameters
        ----------
        measure:
            Its name.
        at_least, at_most:
            The bounds; one is enough.
        compared_with:
            What is held against them: the measure itself, or the measure beside the baseline's, or
            beside the same target's in steady traffic (which must have been played, too).
        by:
            How it is compared.
        certain:
            Whether the whole 95 % interval has to lie within the bounds.
        scenario:
            Need not be named where only one was played.

        Raises
        ------
        AssertionError
            If it does not hold.
        LookupError
            If there is no such measure or scenario.
        footfall.errors.SettingError
            If no bound is given, or the two contradict each other.
        """
        __tracebackhide__ = True
        from footfall.eval.stress.scenario import Scenario
        from footfall.eval.stress.scenario_tables import Threshold
        from footfall.eval.stress.thresholds import check_thresholds
        from footfall.recipe import validated

        played, row = self.scenario(scenario), self.measure(measure, scenario=scenario)
        bounds = {"at_least": at_least, "at_most": at_most}
        how = {"compared_with": compared_with, "by": by, "certain": certain}
        threshold = validated(
            Threshold,
            {"measure": measure, "reason": "a test requires it", **bounds, **how},
            "require",
            hint="Give at_least or at_most.",
        )
        asked = Scenario(name=played.name, description="As played.", thresholds=(threshold,))
        steady = [each.measures for each in self.result.scenarios if each.name == _STEADY]
        (found,) = check_thresholds(asked, played.measures, steady=steady[0] if steady else None)
        if found.outcome != "pass":
            but = "cannot be told: " if found.outcome == "cannot be told" else "found "
            raise AssertionError(f"{found.words}: {but}{found.found}\n{self._context(played, row)}")

    def check(self, *, certain: bool = False) -> None:
        """Fail the test where a threshold of a scenario is broken.

        Parameters
        ----------
        certain:
            Fail as well where it cannot be told.

        Raises
        ------
        AssertionError
            If one is; it names all of them.
        """
        __tracebackhide__ = True
        wrong = {"fail", "cannot be told"} if certain else {"fail"}
        broken = [
            (played, each)
            for played in self.result.scenarios
            for each in played.thresholds
            if each.outcome in wrong
        ]
        if broken:
            lines = [
                f"{played.name}: {each.words}: {each.outcome}, found {each.found}. {each.reason}"
                for played, each in broken
            ]
            raise AssertionError(
                "\n".join([f"{len(broken)} broken thresholds", *lines, self._crowd()])
            )

    def _context(self, played: ScenarioResult, row: MeasureRow) -> str:
        beside = "" if row.baseline is None else f", {self.result.baseline} {row.baseline:.4g}"
        own = "not measured" if row.value is None else f"{row.value:.4g}"
        return f"{played.name}: {self.result.target} {own}{beside}\n{self._crowd()}"

    def _crowd(self) -> str:
        result = self.result
        return (
            f"{result.sessions:,} visits in steady traffic by {result.shoppers:,} shoppers over "
            f"{result.days} days, seed {result.seed}"
        )


def _whole(name: str, value: int | str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise pytest.UsageError(f"{name}: {value!r} is no whole number.") from None


def _moment(value: datetime | str | None) -> datetime | None:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise pytest.UsageError(
            f"until: {value!r} is no time. Write one such as 2017-10-01 or 2017-10-01T12:00."
        ) from None
