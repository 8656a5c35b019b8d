"""Trained classifiers made ready for serving, with what that costs and gains.

Imports torch; load it only where a model is exported.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from footfall.errors import NoResponseError, SettingError
from footfall.finetune.click_model import ClickModel
from footfall.finetune.example_table import Examples

__all__ = ["export_model"]

#: Timed passes, of which the median counts; one more goes before them.
_PASSES = 3
#: Most rows that a pass scores.
_TIMED_ROWS = 2000


def export_model(
    model: ClickModel | str | Path,
    folder: str | Path,
    *,
    kind: Literal["merged", "int8"],
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
        If the model is an export already, or cannot be exported so.
    NoResponseError
        If the rows do not have both labels.
    """
    from footfall.finetune.serving import eight_bit, merged

    if kind not in {"merged", "int8"}:
        raise SettingError(f"kind is {kind!r}.", hint="Use merged or int8.")
    if len(set(examples.labels.tolist())) < 2:
        raise NoResponseError("The examples to judge the export on do not have both labels.")
    before = model if isinstance(model, ClickModel) else ClickModel.load(model)
    if before._form != "trained":
        raise SettingError("The model is an export.", hint="Name the model that was trained.")
    if before._network is None:
        before.save(folder)  # says that it has not been trained
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
    figures: dict[str, Any] = {"kind": kind, "rows": len(examples)}
    for name, one in (("before", before), ("after", after)):
        figures |= {f"{key}_{name}": value for key, value in _judged(one, examples).items()}
    after.card = before.card | {"export": figures}
    after.save(folder)
    return figures


def _on(model: ClickModel, device: Any) -> ClickModel:
    """A copy whose network lies on a device."""
    placed = copy.copy(model)
    placed._network = copy.deepcopy(model._network).to(device).eval()
    return placed


def _judged(model: ClickModel, examples: Examples) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    from footfall.finetune.hidden_states import STATES

    auc = roc_auc_score(
        examples.labels, model.predict_log_odds(examples), sample_weight=examples.weights
    )
    part = examples.take(np.arange(min(len(examples), _TIMED_ROWS)))
    seconds = []
    for _ in range(_PASSES + 1):
        # Serving meets texts for the first time.
        STATES.clear()
        begun = time.perf_counter()
        model.predict_log_odds(part)
        seconds.append(time.perf_counter() - begun)
    return {
        "auc": round(float(auc), 6),
        "rows_per_second": round(len(part) / median(seconds[1:]), 1),
        "encoder_megabytes": round(_megabytes(model._network.encoder), 1),
    }


def _megabytes(encoder: Any) -> float:
    from footfall.finetune.serving import weight_bytes

    return weight_bytes(encoder) / 2**20
