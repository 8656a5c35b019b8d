"""The report of a stress test, and of several side by side: HTML files that need nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from footfall.errors import DataError
from footfall.eval.pages import render_page
from footfall.eval.plots import course_plot
from footfall.eval.stress.results import ScenarioResult, StressResult
from footfall.eval.stress.rows import MeasureRow
from footfall.files import whole_file

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.table import Table

__all__ = [
    "render_comparison",
    "render_stress",
    "stress_table",
    "write_comparison",
    "write_stress",
]

_OUTCOMES: Final = ("pass", "fail", "cannot be told")


def render_stress(found: StressResult) -> str:
    """The test as HTML text."""
    counted = Counter(each.outcome for one in found.scenarios for each in one.thresholds)
    return render_page(
        "stress.html.j2",
        found=found,
        title=f"Stress test of {found.target}",
        counts={outcome: counted[outcome] for outcome in _OUTCOMES},
        matrix=_matrix(found),
        judged=lambda row: row.judged,
        courses={scenario.name: _courses(scenario) for scenario in found.scenarios},
    )


def write_stress(path: str | Path, found: StressResult) -> Path:
    """Write the report, replacing the file in one step.

    Raises
    ------
    DataError
        If the folder does not exist or the file cannot be written.
    """
    return _write(path, render_stress(found))


def _write(path: str | Path, page: str) -> Path:
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return Path(path)


def _matrix(found: StressResult) -> list[tuple[str, list[MeasureRow | None]]]:
    """Measures that any scenario compared, and each scenario's row of them."""
    names = dict.fromkeys(
        row.measure
        for scenario in found.scenarios
        for row in scenario.measures
        if row.difference is not None
    )
    by_scenario = [{row.measure: row for row in one.measures} for one in found.scenarios]
    return [(name, [rows.get(name) for rows in by_scenario]) for name in names]


def _courses(scenario: ScenarioResult) -> list[tuple[str, Markup]]:
    from markupsafe import Markup

    drawn = []
    for measure in dict.fromkeys(course.measure for course in scenario.courses):
        lines = [
            (course.played, course.days, course.values)
            for course in scenario.courses
            if course.measure == measure
        ]
        # The figures are made here and escape every text they show.
        svg = Markup(course_plot(f"{scenario.name}-{measure}", measure, lines))  # noqa: S704
        drawn.append((measure, svg))
    return drawn


def stress_table(found: StressResult, scenario: ScenarioResult) -> Table:
    """One scenario as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from footfall.eval.results import format_figure, format_figures

    table = Table(show_header=True, header_style="bold", title=scenario.title)
    table.add_column("measure", overflow="fold")
    for name in (found.target, found.baseline, "difference", "95 % interval"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    styles = {"better": "green", "worse": "red"}
    for row in scenario.measures:
        if row.value is None and row.baseline is None:
            continue
        table.add_row(
            Text(row.measure),
            format_figure(row.value),
            format_figure(row.baseline),
            format_figure(row.difference, signed=True),
            format_figures(row.difference_low, row.difference_high, signed=True),
            Text(row.judged, style=styles.get(row.judged, "")),
        )
    return table


class _ComparedRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str
    cells: list[MeasureRow | None]
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    words: str = ""


def _compared(rows: Sequence[MeasureRow | None], name: str) -> _ComparedRow:
    first, last = rows[0], rows[-1]
    if first is None or last is None or first.value is None or last.value is None:
        return _ComparedRow(measure=name, cells=list(rows))
    difference = last.value - first.value
    bounds = (first.low, first.high, last.low, last.high)
    if None in bounds:
        return _ComparedRow(measure=name, cells=list(rows), difference=difference)
    # Two tests are two crowds: their intervals add up in squares.
    half = (((first.high - first.low) / 2) ** 2 + ((last.high - last.low) / 2) ** 2) ** 0.5  # type: ignore[operator]
    judged = MeasureRow(
        measure=name,
        value=last.value,
        difference=difference,
        difference_low=difference - half,
        difference_high=difference + half,
        direction=last.direction,
    )
    return _ComparedRow(
        measure=name,
        cells=list(rows),
        difference=difference,
        low=difference - half,
        high=difference + half,
        words=judged.judged,
    )


def render_comparison(found: Sequence[StressResult], names: Sequence[str]) -> str:
    """Several tests side by side as HTML text, in the order given.

    Raises
    ------
    DataError
        If there are fewer than two, or no scenario is in all of them.
    """
    if len(found) < 2:
        raise DataError(
            "A comparison needs two stress tests or more.",
            hint="Name the folders of several tests.",
        )
    shared = [
        scenario.name
        for scenario in found[0].scenarios
        if all(any(each.name == scenario.name for each in one.scenarios) for one in found[1:])
    ]
    if not shared:
        raise DataError(
            "The stress tests have no scenario in common.",
            hint="Run them with the same --scenario.",
        )
    scenarios: list[dict[str, Any]] = []
    for name in shared:
        ones = [one.scenario(name) for one in found]
        measures = dict.fromkeys(row.measure for one in ones for row in one.measures)
        by_test = [{row.measure: row for row in one.measures} for one in ones]
        rows = [_compared([rows.get(each) for rows in by_test], each) for each in measures]
        kept = [row for row in rows if any(cell and cell.value is not None for cell in row.cells)]
        scenarios.append({"name": name, "title": ones[0].title, "rows": kept})
    worse = [(s["title"], r.measure) for s in scenarios for r in s["rows"] if r.words == "worse"]
    better = sum(row.words == "better" for one in scenarios for row in one["rows"])
    return render_page(
        "stress_comparison.html.j2",
        title="Stress tests side by side",
        names=list(names),
        scenarios=scenarios,
        state="hurt" if worse else "helped" if better else "no-evidence",
        verdict=_comparison_verdict(names, worse, better),
        cautions=_comparison_cautions(found),
    )


def _comparison_verdict(names: Sequence[str], worse: Sequence[tuple[str, str]], better: int) -> str:
    start = f"From {names[0]} to {names[-1]}"
    if not worse:
        return f"{start}, {better} measures became better and none became worse."
    told = "; ".join(f"{measure} ({title})" for title, measure in worse[:5])
    more = f" and {len(worse) - 5} more" if len(worse) > 5 else ""
    return f"{start}, {len(worse)} measures became worse: {told}{more}; {better} became better."


def _comparison_cautions(found: Sequence[StressResult]) -> list[str]:
    cautions = ["Intervals are of separate crowds and not adjusted for the number of measures."]
    for name in ("sessions", "days", "shoppers", "items", "until", "crowd", "seed"):
        values = {str(getattr(one, name)) for one in found}
        if len(values) > 1:
            cautions.append(f"The tests differ in {name}: {', '.join(sorted(values))}.")
    return cautions


def write_comparison(path: str | Path, found: Sequence[StressResult], names: Sequence[str]) -> Path:
    """Write the comparison, replacing the file in one step; errors of both parts."""
    return _write(path, render_comparison(found, names))
