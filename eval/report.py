"""The report: one HTML file that needs nothing else, says the verdict first and hides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from footfall.eval.likeness import Likeness
from footfall.eval.likeness_results import WITHIN
from footfall.eval.metrics import METRICS
from footfall.eval.pages import format_duration, render_page
from footfall.eval.plots import (
    arms_plot,
    categories_plot,
    curves_plot,
    likeness_plot,
    positions_plot,
)
from footfall.eval.results import (
    ArmComparison,
    Comparison,
    DifferenceRow,
    Evaluation,
    format_interval,
    format_number,
)
from footfall.eval.scores import SLICES
from footfall.eval.sessions import SessionStory
from footfall.files import whole_file

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "BehaviourFact",
    "CostLine",
    "Highlight",
    "RejectCount",
    "Repeat",
    "ReportContent",
    "TrainingCurve",
    "collect_rejects",
    "render_report",
    "verdict_sentence",
    "write_report",
]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Highlight(_Record):
    """One number of the summary strip."""

    label: str
    value: str
    note: str = ""


class BehaviourFact(_Record):
    """One fitted (or default) number of the shoppers' behaviour."""

    name: str
    value: float | str
    low: float | None = None
    high: float | None = None
    source: str = Field("", description="fitted or default, and on what.")
    note: str = ""


class RejectCount(_Record):
    """Malformed rows of one source that were left out, for one reason."""

    source: str
    reason: str
    count: int


class CostLine(_Record):
    """What one stage took; nulls where it does not apply."""

    stage: str
    seconds: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    note: str = ""


class Repeat(_Record):
    """What is needed to run everything again."""

    commands: list[str] = Field(default_factory=list)
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    model: str = ""
    model_hash: str = ""
    notes: list[str] = Field(default_factory=list)


class TrainingCurve(_Record):
    """One line of the training figure: ``values`` at ``steps``."""

    name: str
    steps: list[float]
    values: list[float]


class ReportContent(_Record):
    """Everything a report shows; every part may be missing and is then left out."""

    title: str = "Footfall report"
    verdict: str = Field("", description="One sentence; made from arms or comparisons if empty.")
    created_at: datetime | None = Field(None, description="Null keeps the file the same each time.")
    highlights: list[Highlight] = Field(
        default_factory=list, description="Added to the numbers that the report finds itself."
    )
    facts: dict[str, str] = Field(default_factory=dict, description="About the run and the data.")
    currency: str = Field("", description="Put before prices, such as $ or ¥.")
    sessions: list[SessionStory] = Field(default_factory=list, description="Sessions to read.")
    likeness: Likeness | None = None
    arms: ArmComparison | None = Field(None, description="Arms of equal volume.")
    comparisons: list[Comparison] = Field(
        default_factory=list, description="Further comparisons; those of the arms are shown anyway."
    )
    evaluations: dict[str, Evaluation] = Field(
        default_factory=dict, description="Model name to metrics; those of the arms are added."
    )
    behaviour: list[BehaviourFact] = Field(default_factory=list)
    rejects: list[RejectCount] = Field(default_factory=list)
    cost: list[CostLine] = Field(default_factory=list)
    training: list[TrainingCurve] = Field(default_factory=list)
    training_measure: str = "training loss"
    cautions: list[str] = Field(
        default_factory=list, description="What a reader must know before believing the numbers."
    )
    repeat: Repeat = Field(default_factory=Repeat)


def verdict_sentence(content: ReportContent) -> str:
    """The verdict in one sentence: the given one, else from the arms, else from a comparison."""
    if content.verdict:
        return content.verdict
    if content.arms is not None:
        return _arms_sentence(content.arms)
    if content.comparisons:
        return _comparison_sentence(content.comparisons[0])
    if content.likeness is not None:
        close, measured = _closeness(content.likeness)
        return (
            f"No training was compared; on {close} of {measured} measures the synthetic sessions "
            "are as close to the real ones as a real part of their size."
        )
    return "No training was compared and no likeness was measured."


def _arms_sentence(arms: ArmComparison) -> str:
    found = arms.overall(arms.synthetic[-1])
    versus_real = next(c for c in arms.comparisons if c.after == found.arm)
    row = versus_real.row("auc")
    words = f"{_auc_words(row)} compared with {arms.reference}"
    if found.verdict == "helped":
        control = f" and beats the best control of equal volume, {found.best_control}"
        control = control if found.best_control else ", without a control to compare with"
        return f"The synthetic sessions helped: {found.arm} changes {words}{control}."
    if found.verdict == "hurt":
        return f"The synthetic sessions hurt: {found.arm} changes {words}."
    extra = ""
    if found.best_control and versus_real.verdict == "helped":
        extra = f", but does not beat {found.best_control}, a control of equal volume"
    return f"No evidence that the synthetic sessions helped: {found.arm} changes {words}{extra}."


def _comparison_sentence(comparison: Comparison) -> str:
    words = _auc_words(comparison.row("auc"))
    start = {
        "helped": f"{comparison.after} helped",
        "hurt": f"{comparison.after} hurt",
        "no evidence": f"No evidence that {comparison.after} helped",
    }[comparison.verdict]
    return f"{start}: {words} compared with {comparison.before}."


def _auc_words(row: DifferenceRow) -> str:
    if row.difference is None:
        return f"the AUC, which is {row.note or 'not measurable'},"
    interval = format_interval(row.low, row.high, signed=True) or "no interval"
    return f"AUC by {format_number(row.difference, signed=True)} ({interval})"


def _closeness(found: Likeness) -> tuple[int, int]:
    measured = [row for row in found.rows if row.floor is not None]
    return sum(row.note.startswith(WITHIN) for row in measured), len(measured)


def _highlights(content: ReportContent) -> list[Highlight]:
    shown = []
    if content.arms is not None:
        arms = content.arms
        row = next(c for c in arms.comparisons if c.after == arms.synthetic[-1]).row("auc")
        interval = format_interval(row.low, row.high, signed=True)
        value = format_number(row.difference, signed=True)
        shown.append(Highlight(label="AUC against real rows", value=value, note=interval))
    if content.likeness is not None:
        close, measured = _closeness(content.likeness)
        note = "measures within real against real"
        shown.append(Highlight(label="Likeness", value=f"{close} of {measured}", note=note))
        count = content.likeness.synthetic_sessions
        note = f"beside {content.likeness.real_sessions:,} real ones"
        shown.append(Highlight(label="Synthetic sessions", value=f"{count:,}", note=note))
    seconds = sum(line.seconds or 0.0 for line in content.cost)
    tokens = sum((c.prompt_tokens or 0) + (c.output_tokens or 0) for c in content.cost)
    if seconds:
        note = f"{tokens:,} engine tokens" if tokens else ""
        shown.append(Highlight(label="Time", value=format_duration(seconds), note=note))
    return [*shown, *content.highlights]


def _plots(content: ReportContent) -> dict[str, Any]:
    from markupsafe import Markup

    drawn = {"arms": "", "cold": "", "likeness": "", "positions": "", "categories": ""}
    if content.arms is not None:
        drawn["arms"] = arms_plot(content.arms)
        drawn["cold"] = arms_plot(content.arms, "cold items")
    if content.likeness is not None:
        drawn["likeness"] = likeness_plot(content.likeness.rows)
        drawn["positions"] = positions_plot(content.likeness.positions)
        drawn["categories"] = categories_plot(content.likeness.categories)
    curves = [(curve.name, curve.steps, curve.values) for curve in content.training]
    drawn["training"] = curves_plot(curves, content.training_measure)
    # The figures are made here and escape every text they show.
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704


def _state(content: ReportContent) -> str:
    verdict = "described"
    if content.arms is not None:
        verdict = content.arms.verdict
    elif content.comparisons:
        verdict = content.comparisons[0].verdict
    return verdict.replace(" ", "-")


def _all_comparisons(content: ReportContent) -> list[Comparison]:
    if content.arms is None:
        return content.comparisons
    return [*content.arms.comparisons, *content.arms.against_control, *content.comparisons]


def render_report(content: ReportContent) -> str:
    """The report as HTML text."""
    evaluations = dict(content.evaluations)
    if content.arms is not None:
        evaluations = {**content.arms.evaluations, **evaluations}
    return render_page(
        "report.html.j2",
        content=content,
        verdict=verdict_sentence(content),
        state=_state(content),
        highlights=_highlights(content),
        plots=_plots(content),
        evaluations=evaluations,
        comparisons=_all_comparisons(content),
        metrics=METRICS,
        slices=list(SLICES),
    )


def write_report(path: str | Path, content: ReportContent) -> Path:
    """Write the report to one self-contained HTML file, replacing it in one step.

    The same content gives the same bytes.

    Raises
    ------
    DataError
        If the folder does not exist or the file cannot be written.
    """
    page = render_report(content)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return Path(path)


def collect_rejects(log: Log, run_ids: Sequence[str] = ()) -> list[RejectCount]:
    """Malformed rows by source and reason; of all runs by default."""
    rows = log.query(
        """
        SELECT source, reason, count(*) AS "count" FROM rejects
        WHERE len($runs::VARCHAR[]) = 0 OR list_contains($runs::VARCHAR[], run_id)
        GROUP BY source, reason ORDER BY "count" DESC, source, reason
        """,
        {"runs": list(run_ids)},
    )
    return [RejectCount(**row) for row in rows.to_pylist()]
