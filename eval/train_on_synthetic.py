"""Train on synthetic, test on real (Esteban, Hyland and Rätsch 2017).

A light click model, a logistic regression on a handful of plain features, is trained on the run's
pages and judged on real pages after the training part. Beside it the same model trained on as many
real pages, and on those of the simple simulator: what it learns from the run should rank real
responses as well as what it learns from real pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.eval.click_rows import ClickRows, Label, read_click_rows
from footfall.eval.intervals import UserResamples
from footfall.eval.metrics import Predictions
from footfall.eval.real_parts import real_parts
from footfall.eval.weighted import RankedRows

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["TrainedOn", "train_on_synthetic"]

Floats: TypeAlias = npt.NDArray[np.float64]

#: Most slates of each part: a model of seven features needs no more.
LARGEST_SAMPLE: Final = 3000
_SMALLEST_SAMPLE: Final = 30


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """AUC on the same real test rows, by what the model was trained on.

    ``real`` holds one value per random real part, shape ``(splits,)``; ``made`` the values of the
    run and the simple simulator, ``resampled`` those under resampled test users, of real (mean of
    the parts) and of each made side, shape ``(resamples,)``.
    """

    real: Floats
    made: dict[str, float]
    resampled: dict[str, Floats]
    slates: int
    test_slates: int
    features: tuple[str, ...]


def _usable(parts: dict[str, ClickRows]) -> npt.NDArray[np.bool_]:
    """Features that every part records and that vary in the real training part."""
    known = np.all([~np.isnan(part.values).any(axis=0) for part in parts.values()], axis=0)
    real = np.where(known, parts["real"].values, 0.0)
    return np.asarray(known & (np.ptp(real, axis=0) > 1e-12))


def _scores(train: ClickRows, test: ClickRows, columns: npt.NDArray[np.bool_]) -> Floats:
    """Log-odds of the test rows; all alike where the training rows hold one label only."""
    from sklearn.linear_model import LogisticRegression

    values = train.values[:, columns]
    if len(np.unique(train.label)) < 2:
        return np.full(len(test.label), 0.5)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    model = LogisticRegression(max_iter=500)
    model.fit((values - mean) / spread, train.label, sample_weight=train.weight)
    found: Any = model.predict_proba((test.values[:, columns] - mean) / spread)
    return np.asarray(found[:, 1], dtype=np.float64)


def _of_slates(rows: ClickRows, count: int, generator: np.random.Generator) -> ClickRows:
    """The rows of ``count`` slates at random."""
    slates = np.unique(rows.slate)
    return rows.take(np.isin(rows.slate, generator.permutation(slates)[:count]))


def _of_users(rows: ClickRows, count: int, generator: np.random.Generator) -> ClickRows:
    """The rows of users in random order until there are about ``count`` slates."""
    _, first = np.unique(rows.slate, return_index=True)
    sizes = np.bincount(rows.user[first], minlength=int(rows.user.max()) + 1)
    return rows.take(real_parts(sizes, count, 1, generator)[0][rows.user])


def train_on_synthetic(
    log: Log,
    run_id: str,
    simple: str,
    *,
    label: Label,
    until: datetime,
    end: datetime | None,
    splits: int,
    resamples: int,
    seed: int,
) -> TrainedOn | str:
    """Train on the run, on the simple simulator and on real parts of equal size; test on real rows.

    Parameters
    ----------
    log:
        A log that shows the rows of both origins.
    run_id, simple:
        The two synthetic origins.
    label:
        Response to predict: clicked or purchased.
    until:
        End of the training part; the test part begins there.
    end:
        End of the test part; all by default.
    splits:
        How many real parts are trained on.
    resamples:
        How many times the test users are drawn again.
    seed:
        Seed of every draw.

    Returns
    -------
    TrainedOn or str
        Or why it cannot be measured.
    """
    parts = read_click_rows(
        log,
        (run_id, simple),
        label=label,
        until=until,
        end=end,
        most=LARGEST_SAMPLE,
        seed=seed,
    )
    if "test" not in parts or len(np.unique(parts["test"].label)) < 2:
        return "the real log has no pages with and without a response after the training part"
    if "real" not in parts or run_id not in parts:
        missing = "run" if "real" in parts else "real log"
        return f"the {missing} has no pages to train on"
    real, test = parts["real"], parts["test"]
    columns = _usable(parts)
    count = min(real.slates // 2, parts[run_id].slates)
    if count < _SMALLEST_SAMPLE or not columns.any():
        return f"{count} pages are too few to train on"
    generator = np.random.default_rng((seed, 3))
    trained = {
        name: [_scores(_of_slates(parts[name], count, generator), test, columns)]
        for name in (run_id, simple)
        if name in parts
    }
    trained["real"] = [
        _scores(_of_users(real, count, generator), test, columns) for _ in range(splits)
    ]
    users = int(test.user.max()) + 1
    ranked = {
        name: [
            RankedRows(Predictions.of(test.label, s, test.weight), test.user, users) for s in each
        ]
        for name, each in trained.items()
    }
    once = np.ones((users, 1))
    aucs = {name: np.array([r(once)[0][0] for r in each]) for name, each in ranked.items()}
    drawn: dict[str, list[Floats]] = {name: [] for name in ranked}
    for _, weights in UserResamples(users, resamples=resamples, seed=seed).batches():
        for name, each in ranked.items():
            drawn[name].append(np.mean([r(weights)[0] for r in each], axis=0))
    return TrainedOn(
        aucs["real"],
        {name: float(aucs[name][0]) for name in aucs if name != "real"},
        {name: np.concatenate(found) for name, found in drawn.items()},
        count,
        test.slates,
        tuple(name for name, used in zip(real.names, columns, strict=True) if used),
    )
