"""Trained classifiers made ready for serving, with what that costs and gains.

Imports torch; load it only where a model is exported.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from footfall.errors import DataError, NoResponseError, SettingError
from footfall.finetune.click_model import ClickModel
from footfall.finetune.example_table import Examples
from footfall.finetune.model_files import check_replaceable
from footfall.finetune.query_card import figures_of
from footfall.finetune.query_classifier import QueryClassifier
from footfall.finetune.query_pairs import QueryPairs

__all__ = ["check_apart", "export_model", "export_query_classifier"]

Kind: TypeAlias = Literal["merged", "int8"]
Model = TypeVar("Model", ClickModel, QueryClassifier)

#: Timed passes, of which the median counts; one more goes before them.
_PASSES = 3
#: Most rows that a pass scores.
_TIMED_ROWS = 2000


def export_model(
    model: ClickModel | str | Path,
    folder: str | Path,
    *,
    kind: Kind,
    examples: Examples,
) -> dict[str, Any]:
    """Write a model for serving and say what its AUC lost and its speed gained.

    ``merged`` adds the adapters to the encoder's weights; ``int8`` also rounds the weights of its
    linear layers to 8 bits, for processors. The folder loads like any other, with
    ``ClickModel.load``.

    Parameters
    ----------
    model:
        A trained model or its folder.
    folder:
        Where the export is written.
    kind:
        ``merged`` or ``int8``.
    examples:
        Labelled rows that the model was not trained on, on which both are judged.

    Returns
    -------
    dict
        AUC, rows a second and megabytes of both, which the card has too.

    Raises
    ------
    SettingError
        If the model is an export already, cannot be exported so, or would be replaced by it.
    NoResponseError
        If the rows do not have both labels.
    TrainingError
        If the model has not been trained, or ``folder`` holds something else.
    InputError
        If the model's folder does not hold one.
    """
    _check_kind(kind)
    if len(set(examples.labels.tolist())) < 2:
        raise NoResponseError("The examples to judge the export on do not have both labels.")
    check_apart(model, folder)
    before = model if isinstance(model, ClickModel) else ClickModel.load(model)
    return _export(before, folder, kind, partial(_click_figures, examples=examples), len(examples))


def export_query_classifier(
    model: QueryClassifier | str | Path,
    folder: str | Path,
    *,
    kind: Kind,
    pairs: QueryPairs,
) -> dict[str, Any]:
    """The same for a query classifier, judged by accuracy and macro-F1, weighted by responses.

    Parameters
    ----------
    model:
        A trained query classifier or its folder.
    folder:
        Where the export is written; ``QueryClassifier.load`` reads it.
    kind:
        ``merged`` or ``int8``.
    pairs:
        Queries with categories that it was not trained on; those that are no class of the model's
        are left out.

    Returns
    -------
    dict
        Accuracy, macro-F1, queries a second (``rows_per_second``) and megabytes of both, which the
        card has too.

    Raises
    ------
    SettingError
        If the model is an export already, cannot be exported so, or would be replaced by it.
    DataError
        If no pair has a class of the model's.
    TrainingError
        If the model has not been trained, or ``folder`` holds something else.
    InputError
        If the model's folder does not hold one.
    """
    _check_kind(kind)
    check_apart(model, folder)
    before = model if isinstance(model, QueryClassifier) else QueryClassifier.load(model)
    if before._classes is None:
        before.save(folder)  # says that it has not been trained
    assert before._classes is not None
    targets = before._classes.apply(pairs.categories)
    kept = pairs.take(targets >= 0)
    if not len(kept):
        raise DataError(
            "No query to judge the export on has a category that is a class of the model.",
            hint="Take queries of the log that it was trained on.",
        )
    judged = partial(_query_figures, pairs=kept, targets=targets[targets >= 0])
    return _export(before, folder, kind, judged, len(kept))


def _check_kind(kind: str) -> None:
    if kind not in {"merged", "int8"}:
        raise SettingError(f"kind is {kind!r}.", hint="Use merged or int8.")


def check_apart(model: object, folder: str | Path) -> None:
    """Refuse the model's own folder: the export would be all that is left of it.

    Raises
    ------
    SettingError
        If ``model`` is a folder and ``folder`` is the same.
    """
    if isinstance(model, str | Path) and Path(model).resolve() == Path(folder).resolve():
        raise SettingError(
            f"{folder} is the model's own folder, and the export would replace it.",
            hint="Name another folder.",
        )


def _export(
    before: Model,
    folder: str | Path,
    kind: Kind,
    judged: Callable[[Model], dict[str, float]],
    rows: int,
) -> dict[str, Any]:
    from footfall.finetune.serving import eight_bit, merged

    if before._form != "trained":
        raise SettingError("The model is an export.", hint="Name the model that was trained.")
    if before._network is None:
        before.save(folder)  # says that it has not been trained
    check_replaceable(Path(folder))
    # Both are timed on one device: rounded weights serve processors only.
    device = "cpu" if kind == "int8" else next(before._network.parameters()).device
    before = _on(before, device)
    after = _on(before, "cpu")
    after._network.split = None
    after._network.encoder = merged(after._network.encoder)
    if kind == "int8":
        after._network.encoder = eight_bit(after._network.encoder)
    after._form = kind
    after._network.to(device).eval()
    figures: dict[str, Any] = {"kind": kind, "rows": rows}
    for name, one in (("before", before), ("after", after)):
        told = judged(one) | {"encoder_megabytes": round(_megabytes(one._network.encoder), 1)}
        figures |= {f"{key}_{name}": value for key, value in told.items()}
    after.card = before.card | {"export": figures}
    after.save(folder)
    return figures


def _on(model: Model, device: Any) -> Model:
    """A copy whose network lies on a device."""
    placed = copy.copy(model)
    placed._network = copy.deepcopy(model._network).to(device).eval()
    return placed


def _click_figures(model: ClickModel, *, examples: Examples) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    auc = roc_auc_score(
        examples.labels, model.predict_log_odds(examples), sample_weight=examples.weights
    )
    part = examples.take(np.arange(min(len(examples), _TIMED_ROWS)))
    speed = _rows_a_second(lambda: model.predict_log_odds(part), len(part))
    return {"auc": round(float(auc), 6), "rows_per_second": speed}


def _query_figures(
    model: QueryClassifier, *, pairs: QueryPairs, targets: np.ndarray[Any, Any]
) -> dict[str, float]:
    told = figures_of(model.predict_proba(pairs.queries).argmax(1), targets, pairs.weights)
    part = pairs.queries[:_TIMED_ROWS]
    return told | {"rows_per_second": _rows_a_second(lambda: model.predict_proba(part), len(part))}


def _rows_a_second(score: Callable[[], Any], rows: int) -> float:
    from footfall.finetune.hidden_states import STATES

    seconds = []
    for _ in range(_PASSES + 1):
        # Serving meets texts for the first time.
        STATES.clear()
        begun = time.perf_counter()
        score()
        seconds.append(time.perf_counter() - begun)
    return round(rows / median(seconds[1:]), 1)


def _megabytes(encoder: Any) -> float:
    from footfall.finetune.serving import weight_bytes

    return weight_bytes(encoder) / 2**20
