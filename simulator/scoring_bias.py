"""How much of the engine's scores is owed to the asking, not to the items.

Measured on real slates whose order is drawn anew: over many of them every label meets items alike,
so what the scores at one label differ from the slate's mean is the label's doing. Asking again in
another order, and in other words, tells how much of the preferences within a slate stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.simulator.behaviour import Floats, Rate, centred
from footfall.simulator.scoring import ScoringKind

__all__ = ["Bias", "LabelBias", "agreement", "label_bias", "label_effects", "shift"]


class LabelBias(BaseModel):
    """What the labels (or places) within a slate do to the log-odds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by_label: tuple[float, ...] = Field(description="Mean deviation of each label, in log-odds.")
    standard_errors: tuple[float, ...] = Field(description="Of each label's mean deviation.")
    largest: float = Field(description="Largest of the deviations without sign.")
    root_mean_square: float = Field(description="Of the deviations over labels.")
    by_chance: float = Field(description="Root mean square of an unbiased model, by chance.")
    spread: float = Field(description="Standard deviation of the log-odds within a slate.")


class Bias(BaseModel):
    """Bias of the way of asking, before and after the correction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScoringKind = Field(description="How it was asked.")
    slates: int = Field(description="Real slates asked about.")
    before: LabelBias | None = Field(None, description="By label; items alone have no label.")
    content_free: LabelBias | None = Field(
        None, description="By label, after the content-free correction alone."
    )
    after: LabelBias | None = Field(None, description="By label, after the whole correction.")
    order: Rate | None = Field(None, description="Correlation with another order, within slates.")
    wording: Rate | None = Field(None, description="Correlation with other words, within slates.")
    wording_shift_before: Rate | None = Field(
        None, description="Mean log-odds in other words less those in the first words."
    )
    wording_shift_after: Rate | None = Field(None, description="The same after the correction.")

    def lines(self) -> list[str]:
        """The figures in words, one line each."""
        found = []
        for name, labels in (
            ("uncorrected", self.before),
            ("content-free correction", self.content_free),
            ("corrected", self.after),
        ):
            if labels is not None:
                found.append(
                    f"bias by place in the slate, {name}: largest {labels.largest:.2f}, root mean "
                    f"square {labels.root_mean_square:.2f} (by chance {labels.by_chance:.2f}; "
                    f"items of a slate differ by {labels.spread:.2f})"
                )
        for name, rate in (
            ("agreement of two orders", self.order),
            ("agreement of two wordings", self.wording),
            ("shift by other words before the correction", self.wording_shift_before),
            ("shift by other words after the correction", self.wording_shift_after),
        ):
            if rate is not None:
                error = "" if rate.standard_error is None else f" ± {rate.standard_error:.2f}"
                found.append(f"{name}: {rate.value:.2f}{error}")
        return found


def label_effects(slates: Sequence[Floats]) -> tuple[Floats, Floats, float]:
    """Effect of each label on the log-odds beside the slates' own levels, by least squares.

    Parameters
    ----------
    slates:
        Log-odds of each slate in the order shown, each of shape (slate,); not a number where
        unusable. Slates of fewer than two usable items tell nothing.

    Returns
    -------
    effects, errors
        Of each label that at least two slates have, mean 0, and standard errors; shape (labels,).
        Empty where fewer than two slates tell something.
    spread
        Standard deviation of the log-odds within a slate.
    """
    longest = max((len(values) for values in slates), default=0)
    table = np.full((len(slates), longest), np.nan)
    for row, values in zip(table, slates, strict=True):
        if np.isfinite(values).sum() >= 2:
            row[: len(values)] = values
    # Labels beyond the first gap are too rare to be told.
    counts = np.isfinite(table).sum(axis=0)
    known = int(np.argmin(np.append(counts >= 2, False)))
    table = table[np.isfinite(table[:, :known]).sum(axis=1) >= 2, :known]
    if known < 2 or not len(table):
        return np.zeros(0), np.zeros(0), 0.0
    seen = np.isfinite(table)
    deviation = np.where(seen, table - np.nanmean(table, axis=1, keepdims=True), 0.0)
    # Normal equations with the slates' levels swept out (Frisch, Waugh and Lovell).
    share = seen / seen.sum(axis=1, keepdims=True)
    normal = np.diag(seen.sum(axis=0)) - seen.T @ share
    inverse = np.linalg.pinv(normal, rcond=1e-9, hermitian=True)
    effects = inverse @ deviation.sum(axis=0)
    effects -= effects.mean()
    fitted = seen * (effects - (share @ effects)[:, None])
    freedom = max(1, int(seen.sum()) - len(table) - known + 1)
    variance = ((deviation - fitted) ** 2).sum() / freedom
    errors = np.sqrt(np.maximum(variance * np.diag(inverse), 0.0))
    return effects, errors, float(np.sqrt((deviation**2).sum() / seen.sum()))


def label_bias(slates: Sequence[Floats]) -> LabelBias | None:
    """Figures of :func:`label_effects`; ``None`` where the slates tell nothing."""
    effects, errors, spread = label_effects(slates)
    if not effects.size:
        return None
    return LabelBias(
        by_label=tuple(float(value) for value in effects),
        standard_errors=tuple(float(value) for value in errors),
        largest=float(np.abs(effects).max()),
        root_mean_square=float(np.sqrt((effects**2).mean())),
        by_chance=float(np.sqrt((errors**2).mean())),
        spread=spread,
    )


def agreement(first: Sequence[Floats], second: Sequence[Floats]) -> Rate | None:
    """Correlation within slates of two askings, items in one order; ``None`` with too few.

    The standard error is ``(1 - r²) / sqrt(items)``.
    """
    pairs = [
        (centred(one[both]), centred(other[both]))
        for one, other in zip(first, second, strict=True)
        if (both := np.isfinite(one) & np.isfinite(other)).sum() >= 2
    ]
    if not pairs:
        return None
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    if len(one) < 4 or scale == 0:
        return None
    value = float((one * other).sum() / scale)
    return Rate(
        value=value,
        standard_error=float((1 - value**2) / np.sqrt(len(one))),
        source="fitted",
        note=f"{len(one):,} items of {len(pairs):,} slates",
    )


def shift(first: Sequence[Floats], second: Sequence[Floats]) -> Rate | None:
    """Mean log-odds of the second asking less those of the first; the error is between slates."""
    means = np.asarray(
        [
            float(np.mean(other[both] - one[both]))
            for one, other in zip(first, second, strict=True)
            if (both := np.isfinite(one) & np.isfinite(other)).any()
        ]
    )
    if len(means) < 2:
        return None
    return Rate(
        value=float(means.mean()),
        standard_error=float(means.std(ddof=1) / np.sqrt(len(means))),
        source="fitted",
        note=f"{len(means):,} slates",
    )
