"""What a scenario showed, in plain words: only what its interval bears out.

Waiting times are left to the tables: between a target of this process and one behind an address
they always differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from footfall.eval.results import format_figure, format_figures
from footfall.eval.stress.results import OwnLoss
from footfall.eval.stress.rows import MeasureRow
from footfall.eval.stress.waiting import WAITING_MEASURES

__all__ = ["findings_of"]

#: Sentences of a kind.
_MOST: Final = 4
_WAITING: Final = frozenset(
    measure.name
    for measure in WAITING_MEASURES
    if measure.name == "throughput" or measure.name.startswith("latency")
)


def findings_of(
    rows: Sequence[MeasureRow],
    drift: Sequence[MeasureRow],
    own: Mapping[str, OwnLoss],
    target: str,
    baseline: str,
) -> list[str]:
    """Sentences about differences, in the order of the list of measures.

    Parameters
    ----------
    rows:
        The target beside the baseline.
    drift:
        The retrained target beside the same one left as it was; empty where it was not retrained.
    own:
        What the scenario cost the target beyond what it cost the baseline, by measure.
    target, baseline:
        Their names.
    """
    told = [
        f"{row.measure}: {target} is {row.judged} than {baseline}, {_figures(row)}."
        for row in _clearest(rows)
    ]
    directions = {row.measure: row.direction for row in rows}
    lost = [
        f"{name}: under this scenario {target} loses {format_figure(abs(loss.value))} "
        f"({format_figures(loss.low, loss.high, signed=True)}) more than {baseline} does."
        for name, loss in own.items()
        if loss.value is not None
        and name not in _WAITING
        and _is_loss(loss, directions.get(name, "neither"))
    ]
    changed = [
        f"{row.measure}: what it caused changes it when it learns from it, "
        f"{_figures(row, 'left as it was')}."
        for row in _clearest(drift, judged_only=False)
    ]
    return [*told, *lost[:_MOST], *changed]


def _clearest(rows: Sequence[MeasureRow], *, judged_only: bool = True) -> list[MeasureRow]:
    clear = [row for row in rows if (row.judged if judged_only else _certain(row))]
    return [row for row in clear if row.measure not in _WAITING][:_MOST]


def _certain(row: MeasureRow) -> bool:
    low, high = row.difference_low, row.difference_high
    return low is not None and high is not None and (low > 0.0 or high < 0.0)


def _figures(row: MeasureRow, other: str = "") -> str:
    beside = f"{other}: " if other else ""
    return (
        f"{format_figure(row.value)} against {beside}"
        f"{format_figure(row.baseline)} (difference "
        f"{format_figure(row.difference, signed=True)}, "
        f"{format_figures(row.difference_low, row.difference_high, signed=True)})"
    )


def _is_loss(loss: OwnLoss, direction: str) -> bool:
    if loss.low is None or loss.high is None:
        return False
    return loss.high < 0.0 if direction == "higher" else direction == "lower" and loss.low > 0.0
