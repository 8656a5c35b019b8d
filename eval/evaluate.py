"""Metrics by slice with intervals, and paired comparisons of two models.

Slices: all rows, then warm and cold items, warm and cold users. A slice without positives or
negatives stays in the table as "not measurable". Several training seeds are given as one score
table per seed; values are then means over seeds and the interval draws users and seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import DataError
from footfall.eval.intervals import (
    DEFAULT_RESAMPLES,
    UserResamples,
    mean_over_seeds,
    percentiles,
)
from footfall.eval.metrics import METRICS, Predictions, base_rate_threshold
from footfall.eval.results import (
    Comparison,
    DifferenceRow,
    Evaluation,
    EvaluationRow,
    SliceVerdict,
    format_interval,
    format_number,
)
from footfall.eval.scores import SLICES, Scores, all_users, as_tables, check_same_rows
from footfall.eval.weighted import WeightedMetrics

__all__ = [
    "ScoredModel",
    "compare",
    "compare_models",
    "evaluate",
    "score_model",
    "summarise_model",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Tables: TypeAlias = "pa.Table | Sequence[pa.Table]"

#: Slices with fewer positives than this carry a caution.
FEW_POSITIVES: Final = 30


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """All metrics of one model, by slice, over seeds and resamples.

    ``values[slice, metric]`` has the shape ``(seeds,)``, ``draws[slice, metric]`` the shape
    ``(seeds, resamples)``; ``counts[slice]`` is rows, positives and users of the first seed.
    ``lacking[slice]`` says why a slice is not measurable, or is empty.
    """

    values: dict[tuple[str, str], Floats]
    draws: dict[tuple[str, str], Floats]
    counts: dict[str, tuple[int, int, int]]
    lacking: dict[str, str]
    reasons: dict[tuple[str, str], str]
    seeds: int


def score_model(
    tables: Sequence[pa.Table],
    users: pa.Array,
    resamples: UserResamples,
    *,
    threshold: float | None = None,
    name: str = "scores",
) -> ScoredModel:
    """Compute all metrics of one model under all resamples of the users.

    Parameters
    ----------
    tables:
        Score tables, one per training seed.
    users:
        All users of everything that is compared (:func:`footfall.eval.scores.all_users`).
    resamples:
        The drawn users.
    threshold:
        Probability from which precision and recall call a row positive; else that of the base
        rate over all rows of each table.
    name:
        What error messages call the model.
    """
    checked = [Scores.from_table(table, users, name=name) for table in tables]
    model = ScoredModel({}, {}, {}, {}, {}, len(checked))
    thresholds = [_threshold(scores, threshold) for scores in checked]
    for slice_name, keep in SLICES.items():
        masks = [keep(scores) for scores in checked]
        parts = [s.predictions(m, t) for s, m, t in zip(checked, masks, thresholds, strict=True)]
        in_users = [scores.users[mask] for scores, mask in zip(checked, masks, strict=True)]
        first = parts[0]
        model.counts[slice_name] = (
            len(first.labels),
            int(first.labels.sum()),
            len(np.unique(in_users[0])),
        )
        model.lacking[slice_name] = next((p.lacking for p in parts if p.lacking), "")
        if not model.lacking[slice_name]:
            _score_slice(model, slice_name, parts, in_users, resamples)
    return model


def _threshold(scores: Scores, threshold: float | None) -> float:
    if threshold is not None:
        return threshold
    everything = np.ones(len(scores.labels), dtype=np.bool_)
    return base_rate_threshold(scores.predictions(everything, None))


def _score_slice(
    model: ScoredModel,
    slice_name: str,
    parts: list[Predictions],
    users: list[npt.NDArray[np.int64]],
    resamples: UserResamples,
) -> None:
    for metric in METRICS.values():
        measured = [metric.measure(part) for part in parts]
        found = [np.nan if m.value is None else m.value for m in measured]
        model.values[slice_name, metric.name] = np.array(found)
        reason = next((m.reason for m in measured if m.reason), "")
        model.reasons[slice_name, metric.name] = reason
        model.draws[slice_name, metric.name] = np.full((len(parts), resamples.resamples), np.nan)
    weighted = [
        WeightedMetrics(part, index, resamples.user_count)
        for part, index in zip(parts, users, strict=True)
    ]
    for columns, weights in resamples.batches():
        for seed, under_weights in enumerate(weighted):
            for metric_name, values in under_weights(weights).items():
                model.draws[slice_name, metric_name][seed, columns] = values


def _note(model: ScoredModel, slice_name: str, metric: str) -> str:
    if model.lacking[slice_name]:
        return f"not measurable: {model.lacking[slice_name]}"
    if reason := model.reasons[slice_name, metric]:
        return f"not measurable: {reason}"
    positives = model.counts[slice_name][1]
    return f"only {positives} positives" if positives < FEW_POSITIVES else ""


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def summarise_model(model: ScoredModel, resamples: UserResamples, seed: int) -> Evaluation:
    """Turn a scored model into rows with intervals."""
    seeds = resamples.seed_counts(model.seeds)
    rows = []
    for slice_name in SLICES:
        count, positives, users = model.counts[slice_name]
        for metric in METRICS:
            value, low, high = None, None, None
            if (slice_name, metric) in model.values:
                value = _number(model.values[slice_name, metric].mean())
            if value is not None:
                interval = percentiles(mean_over_seeds(model.draws[slice_name, metric], seeds))
                low, high = interval.low, interval.high
            rows.append(
                EvaluationRow(
                    slice=slice_name,
                    metric=metric,
                    value=value,
                    low=low,
                    high=high,
                    rows=count,
                    positives=positives,
                    users=users,
                    note=_note(model, slice_name, metric),
                )
            )
    return Evaluation(rows=rows, seeds=model.seeds, resamples=resamples.resamples, seed=seed)


def evaluate(
    score_table: Tables,
    *,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    threshold: float | None = None,
) -> Evaluation:
    """Metrics by slice with 95 % intervals that resample users.

    Parameters
    ----------
    score_table:
        One score table, or one per training seed. Columns: label (bool), probability (0..1),
        group (search or session), user_id, weight (1 over the sampling rate), item_cold,
        user_cold (bool).
    resamples:
        Bootstrap resamples.
    seed:
        Seed of the bootstrap.
    threshold:
        For precision and recall; else as many rows are called positive as there are positives,
        over all rows of the table.

    Raises
    ------
    DataError
        If a column is missing, has nulls, or a value is out of range.
    """
    tables = as_tables(score_table)
    users = all_users(tables)
    drawn = UserResamples(len(users), resamples=resamples, seed=seed)
    return summarise_model(score_model(tables, users, drawn, threshold=threshold), drawn, seed)


def compare(
    before: Tables,
    after: Tables,
    *,
    names: tuple[str, str] = ("before", "after"),
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    threshold: float | None = None,
) -> Comparison:
    """Paired differences (after minus before) with 95 % intervals and a verdict per slice.

    The rule of the verdict, per slice:

    ``helped``
        the AUC difference's interval lies above 0, and that of the log loss does not (log loss is
        not reliably worse);
    ``hurt``
        the AUC interval lies below 0; or it covers 0 and log loss is reliably worse;
    ``no evidence``
        anything else, among it a better AUC with a reliably worse log loss.

    Parameters
    ----------
    before, after:
        Score tables of the same rows in the same order; lists of equal length pair the tables of
        each training seed.
    names:
        What to call the two models.
    resamples, seed, threshold:
        As for :func:`evaluate`.

    Raises
    ------
    DataError
        If the two were not scored on the same rows, or a table is malformed.
    """
    first, second = as_tables(before), as_tables(after)
    if len(first) != len(second):
        raise DataError(
            f"{names[0]} has {len(first)} seeds and {names[1]} has {len(second)}.",
            hint="Train both with the same seeds.",
        )
    users = all_users([*first, *second])
    drawn = UserResamples(len(users), resamples=resamples, seed=seed)
    models = []
    for name, tables in zip(names, (first, second), strict=True):
        models.append(score_model(tables, users, drawn, threshold=threshold, name=name))
    for one, other in zip(first, second, strict=True):
        check_same_rows(one, other, names)
    return compare_models(models[0], models[1], names, drawn, seed)


def compare_models(
    before: ScoredModel,
    after: ScoredModel,
    names: tuple[str, str],
    resamples: UserResamples,
    seed: int,
) -> Comparison:
    """Compare two models scored under the same resamples; see :func:`compare`."""
    seeds = resamples.seed_counts(before.seeds)
    rows = [
        _difference(before, after, slice_name, metric, seeds)
        for slice_name in SLICES
        for metric in METRICS
    ]
    by_key = {(row.slice, row.metric): row for row in rows}
    verdicts = [
        _verdict(slice_name, by_key[slice_name, "auc"], by_key[slice_name, "log_loss"])
        for slice_name in SLICES
    ]
    return Comparison(
        before=names[0],
        after=names[1],
        rows=rows,
        verdicts=verdicts,
        seeds=before.seeds,
        resamples=resamples.resamples,
        seed=seed,
    )


def _difference(
    before: ScoredModel, after: ScoredModel, slice_name: str, metric: str, seeds: Floats
) -> DifferenceRow:
    count, positives, _ = before.counts[slice_name]
    key = (slice_name, metric)
    note = _note(before, slice_name, metric) or _note(after, slice_name, metric)
    row = DifferenceRow(
        slice=slice_name,
        metric=metric,
        before=None,
        after=None,
        difference=None,
        rows=count,
        positives=positives,
        note=note,
    )
    if key not in before.values or key not in after.values:
        return row
    first, second = _number(before.values[key].mean()), _number(after.values[key].mean())
    difference = None if first is None or second is None else second - first
    interval = percentiles(mean_over_seeds(after.draws[key] - before.draws[key], seeds))
    return row.model_copy(
        update={
            "before": first,
            "after": second,
            "difference": difference,
            "low": None if difference is None else interval.low,
            "high": None if difference is None else interval.high,
        }
    )


def _verdict(slice_name: str, auc: DifferenceRow, log_loss: DifferenceRow) -> SliceVerdict:
    if auc.low is None or auc.high is None:
        reason = auc.note or "too few users to draw an interval"
        return SliceVerdict(slice=slice_name, verdict="no evidence", reason=f"{reason}.")
    found = (
        f"AUC {format_number(auc.difference, signed=True)} "
        f"({format_interval(auc.low, auc.high, signed=True)})"
    )
    loss = (
        f"log loss {format_number(log_loss.difference, signed=True)} "
        f"({format_interval(log_loss.low, log_loss.high, signed=True)})"
    )
    worse = log_loss.low is not None and log_loss.low > 0
    if auc.high < 0:
        return SliceVerdict(slice=slice_name, verdict="hurt", reason=f"{found} lies below zero.")
    if auc.low > 0 and not worse:
        reason = f"{found} lies above zero, and {loss} is not reliably worse."
        return SliceVerdict(slice=slice_name, verdict="helped", reason=reason)
    if auc.low > 0:
        reason = f"{found} lies above zero, but {loss} is reliably worse."
        return SliceVerdict(slice=slice_name, verdict="no evidence", reason=reason)
    if worse:
        reason = f"{found} covers zero, and {loss} is reliably worse."
        return SliceVerdict(slice=slice_name, verdict="hurt", reason=reason)
    return SliceVerdict(slice=slice_name, verdict="no evidence", reason=f"{found} covers zero.")
