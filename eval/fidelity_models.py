"""The rows of a fidelity report for which models are trained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.click_rows import Label
from footfall.eval.counted_measures import LogMeasures
from footfall.eval.fidelity_results import FidelityColumn, FidelityRow
from footfall.eval.fidelity_rows import floor_column, make_row, number
from footfall.eval.intervals import Interval, percentiles
from footfall.eval.marginal_simulator import SIMPLE_ORIGIN
from footfall.eval.session_features import FEATURES, SessionFeatures
from footfall.eval.train_on_synthetic import TrainedOn, train_on_synthetic
from footfall.eval.two_sample import TwoSample, telling_feature, two_sample_test

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["TRAINED", "TWO_SAMPLE", "Trial", "trained_row", "two_sample_row"]

Floats: TypeAlias = npt.NDArray[np.float64]

TWO_SAMPLE: Final = "classifier two-sample test"
TRAINED: Final = "train on synthetic, test on real"


@dataclass(frozen=True, slots=True)
class Trial:
    """The run that is compared, and how often what is drawn."""

    run_id: str
    read: LogMeasures
    until: datetime | None
    splits: int
    model_splits: int
    resamples: int
    seed: int


def _above_chance(found: TwoSample | None) -> FidelityColumn:
    if found is None:
        return FidelityColumn()
    bounds = (found.interval.low, found.interval.high)
    low, high = (None if bound is None else max(0.0, bound - 0.5) for bound in bounds)
    return FidelityColumn(value=found.auc, distance=max(0.0, found.auc - 0.5), low=low, high=high)


def two_sample_row(
    run: SessionFeatures, simple: SessionFeatures, parts: npt.NDArray[np.bool_], trial: Trial
) -> FidelityRow:
    """Classifier two-sample test; real against real tells a part of the users from the rest."""
    real = run.side(synthetic=False)
    seeds = {"resamples": trial.resamples, "seed": trial.seed}
    found = two_sample_test(real, run.side(synthetic=True), **seeds)
    beside = two_sample_test(simple.side(synthetic=False), simple.side(synthetic=True), **seeds)
    aucs = []
    for turn, part in enumerate(parts[: trial.model_splits] if found else ()):
        inside = part[real[1]]
        first, second = ((real[0][side], real[1][side]) for side in (~inside, inside))
        one = two_sample_test(first, second, resamples=20, seed=trial.seed + turn)
        if one is not None:
            aucs.append(one.auc)
    note = ""
    if found is not None:
        telling = telling_feature(run.names, real[0], run.side(synthetic=True)[0])
        name, auc = telling or ("", 0.5)
        note = f"on {len(run.names)} features; most telling alone: {FEATURES[name]} (AUC "
        note += f"{max(auc, 1 - auc):.2f}, {'higher' if auc > 0.5 else 'lower'} in the run)"
    floors = np.maximum(np.array(aucs) - 0.5, 0.0)
    return make_row(
        TWO_SAMPLE,
        "models",
        real=None,
        synthetic=_above_chance(found),
        floor=floor_column(number(float(np.mean(aucs))) if aucs else None, floors),
        simple=_above_chance(beside),
        kind="AUC above chance",
        unit="AUC of telling the sides apart",
        note=note,
        lacking="" if found else "too few sessions or users to train a classifier",
    )


def _shortfall(found: TrainedOn, origin: str) -> FidelityColumn:
    if origin not in found.made:
        return FidelityColumn()
    value, real = found.made[origin], float(found.real.mean())
    missing = found.resampled["real"] - found.resampled[origin]
    interval = percentiles(missing) if len(missing) else Interval(None, None)
    low, high = (None if b is None else max(0.0, b) for b in (interval.low, interval.high))
    return FidelityColumn(value=value, distance=max(0.0, real - value), low=low, high=high)


def trained_row(log: Log, trial: Trial) -> FidelityRow:
    """Train on synthetic, test on real; the log must show the simple simulator's rows."""
    found: TrainedOn | str = (
        "no later real pages: the run or the log does not say when the training part ends"
    )
    if trial.until is not None:
        label = _label(log)
        found = (
            "the real log's pages record no response"
            if label is None
            else train_on_synthetic(
                log,
                trial.run_id,
                SIMPLE_ORIGIN,
                label=label,
                until=trial.until,
                end=None,
                splits=trial.model_splits,
                resamples=trial.resamples,
                seed=trial.seed,
            )
        )
    empty = FidelityColumn()
    words = {"kind": "AUC below real training", "unit": "AUC on real pages"}
    if isinstance(found, str):
        return make_row(
            TRAINED,
            "models",
            real=None,
            synthetic=empty,
            floor=empty,
            simple=empty,
            lacking=found,
            **words,
        )
    mean = float(found.real.mean())
    others = (found.real.sum() - found.real) / max(len(found.real) - 1, 1)
    note = f"trained on {found.slates:,} pages, tested on {found.test_slates:,}; features: "
    return make_row(
        TRAINED,
        "models",
        real=mean,
        synthetic=_shortfall(found, trial.run_id),
        floor=floor_column(mean, np.abs(found.real - others)),
        simple=_shortfall(found, SIMPLE_ORIGIN),
        note=note + ", ".join(found.features),
        **words,
    )


def _label(log: Log) -> Label | None:
    known = log.query(
        "SELECT count(clicked) AS clicked, count(purchased) AS purchased FROM impressions "
        "WHERE origin = 'real'"
    ).to_pylist()[0]
    if known["clicked"]:
        return "clicked"
    return "purchased" if known["purchased"] else None
