"""What a scenario showed, in plain words: only what its interval bears out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from footfall.eval.results import format_interval, format_number
from footfall.eval.stress.results import OwnLoss
from footfall.eval.stress.rows import MeasureRow

__all__ = ["findings_of"]

#: Sentences of a kind: the clearest ones.
_MOST: Final = 4


def findings_of(
    rows: Sequence[MeasureRow],
    drift: Sequence[MeasureRow],
    own: Mapping[str, OwnLoss],
    target: str,
    baseline: str,
) -> list[str]:
    """Sentences about the clearest differences, the clearest first.

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
        f"{name}: under this scenario {target} loses {format_number(abs(loss.value), digits=3)} "
        f"({format_interval(loss.low, loss.high, signed=True)}) more than {baseline} does."
        for name, loss in own.items()
        if loss.value is not None and _is_loss(loss, directions.get(name, "neither"))
    ]
    changed = [
        f"{row.measure}: what it caused changes it when it learns from it, "
        f"{_figures(row, 'left as it was')}."
        for row in _clearest(drift, judged_only=False)
    ]
    return [*told, *lost[:_MOST], *changed]


def _clearest(rows: Sequence[MeasureRow], *, judged_only: bool = True) -> list[MeasureRow]:
    clear = [row for row in rows if (row.judged if judged_only else _certain(row))]
    return sorted(clear, key=_clearness, reverse=True)[:_MOST]


def _certain(row: MeasureRow) -> bool:
    low, high = row.difference_low, row.difference_high
    return low is not None and high is not None and (low > 0.0 or high < 0.0)


def _clearness(row: MeasureRow) -> float:
    """The difference in widths of its interval."""
    low, high = row.difference_low, row.difference_high
    if row.difference is None or low is None or high is None:
        return 0.0
    return abs(row.difference) / max(high - low, 1e-12)


def _figures(row: MeasureRow, other: str = "") -> str:
    beside = f"{other}: " if other else ""
    return (
        f"{format_number(row.value, digits=3)} against {beside}"
        f"{format_number(row.baseline, digits=3)} (difference "
        f"{format_number(row.difference, signed=True, digits=3)}, "
        f"{format_interval(row.difference_low, row.difference_high, signed=True)})"
    )


def _is_loss(loss: OwnLoss, direction: str) -> bool:
    if loss.low is None or loss.high is None:
        return False
    return loss.high < 0.0 if direction == "higher" else direction == "lower" and loss.low > 0.0
