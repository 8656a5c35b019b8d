"""What a stress test found, as plain records that become JSON, tables and the report."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footfall.errors import DataError
from footfall.eval.stress.rows import MeasureRow, ThresholdResult

__all__ = ["Course", "Exposure", "OwnLoss", "ScenarioResult", "StressResult", "read_result"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Course(_Record):
    """One measure day by day, of one way of playing the scenario."""

    measure: str
    played: str = Field(description="target, target without retraining, or baseline.")
    days: list[int]
    values: list[float | None]


class Exposure(_Record):
    """What part of everything a seller or price band has; nulls where there was nothing."""

    by: Literal["seller", "price band"]
    group: str = Field(description="A brand; of price bands, 1 is the cheapest fifth.")
    catalogue: float | None
    wanted: float | None = Field(description="Of what shoppers had in mind.")
    shown: float | None
    clicked: float | None
    baseline_shown: float | None


class OwnLoss(_Record):
    """What the scenario changes in the target beyond what it changes in the baseline."""

    value: float | None
    low: float | None = None
    high: float | None = None


class ScenarioResult(_Record):
    """One scenario, played in front of the target and the baseline."""

    name: str
    title: str
    description: str
    visits: int = Field(description="Visits planned, attackers' among them.")
    days: int
    retrained: int = Field(0, description="How often the target learned anew while it was played.")
    measures: list[MeasureRow]
    thresholds: list[ThresholdResult] = Field(default_factory=list)
    own_loss: dict[str, OwnLoss] = Field(
        default_factory=dict, description="By measure; empty for the steady traffic itself."
    )
    exposures: list[Exposure] = Field(
        default_factory=list, description="The sellers shown most, and all price bands."
    )
    drift: list[MeasureRow] = Field(
        default_factory=list,
        description="Last third of the days, retrained against the same target left as it was.",
    )
    courses: list[Course] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list, description="In plain words.")
    notes: list[str] = Field(
        default_factory=list, description="What the scenario asks for and the shop cannot show."
    )
    problems: list[str] = Field(default_factory=list, description="What the target did wrong.")
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no threshold is broken."""
        return all(each.outcome != "fail" for each in self.thresholds)

    def measure(self, name: str) -> MeasureRow:
        """The row of one measure; ``KeyError`` where there is none."""
        for row in self.measures:
            if row.measure == name:
                return row
        raise KeyError(name)


class StressResult(_Record):
    """A whole stress test."""

    target: str
    baseline: str
    crowd: str = Field(description="What the shoppers' preferences come from, in words.")
    sessions: int
    days: int
    shoppers: int
    items: int
    until: datetime | None = None
    seed: int = 0
    scenarios: list[ScenarioResult]
    cautions: list[str] = Field(default_factory=list)
    facts: dict[str, str] = Field(default_factory=dict)
    command: str = ""

    @property
    def passed(self) -> bool:
        """Whether no threshold of any scenario is broken."""
        return all(scenario.passed for scenario in self.scenarios)

    @property
    def verdict(self) -> str:
        """What broke, in a sentence or two."""
        broken = [scenario for scenario in self.scenarios if not scenario.passed]
        if not any(scenario.thresholds for scenario in self.scenarios):
            return (
                f"{self.target} was measured in {len(self.scenarios)} scenarios; none has a limit."
            )
        if not broken:
            return f"{self.target} kept every threshold of {len(self.scenarios)} scenarios."
        told = []
        for scenario in broken:
            words = [each.words for each in scenario.thresholds if each.outcome == "fail"]
            told.append(f"{scenario.title} ({'; '.join(words)})")
        return (
            f"{self.target} breaks in {len(broken)} of {len(self.scenarios)} scenarios: "
            f"{', '.join(told)}."
        )

    def scenario(self, name: str) -> ScenarioResult:
        """The result of one scenario; ``KeyError`` where it was not played."""
        for each in self.scenarios:
            if each.name == name:
                return each
        raise KeyError(name)


def read_result(path: str | Path) -> StressResult:
    """Read ``stress.json``, or that of a folder that ``footfall stress`` wrote.

    Raises
    ------
    DataError
        If there is no such file or it is no result of a stress test.
    """
    path = Path(path)
    file = path / "stress.json" if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"{file}: there is no such file.", hint="`footfall stress TARGET LOG` makes one."
        )
    try:
        return StressResult.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{file}, {field}: {first['msg']}.", hint="Run `footfall stress` anew."
        ) from error
