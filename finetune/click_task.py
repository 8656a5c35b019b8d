"""Learning to tell responses: what the Trainer is given.

Imports torch; load it only where a model is trained.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.metrics import roc_auc_score

from footfall.finetune.batches import PairTable, SlateSampler, collate
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.network import ClickNetwork
from footfall.finetune.prediction import predict_log_odds, weighted_log_loss
from footfall.finetune.start import warm_start
from footfall.finetune.training import TrainingTask

__all__ = ["click_task", "validation_metrics"]


def click_task(
    network: ClickNetwork, settings: ClickSettings, pairs: PairTable, validation: PairTable | None
) -> TrainingTask:
    """Slates in shuffled order, stopped early by log loss on the validation rows."""

    def start() -> None:
        # Validation first: where memory does not hold all, it keeps what comes last.
        for part in (validation, pairs):
            if part is not None and part.states is not None:
                part.states.prepare(part.used_texts())
        warm_start(network, pairs, settings)

    return TrainingTask(
        rows=len(pairs),
        collate=partial(collate, pairs),
        sampler=lambda: SlateSampler(
            pairs.slate,
            settings.seed,
            lengths=pairs.row_lengths() if settings.length_grouped else None,
            batch=settings.batch_size,
        ),
        start=start,
        validation=(
            None if validation is None else partial(validation_metrics, network, validation)
        ),
    )


def validation_metrics(network: ClickNetwork, validation: PairTable) -> dict[str, float]:
    """Weighted log loss in nats, and weighted AUC where there are rows of either label."""
    targets, weights = validation.targets, validation.weights
    log_odds = predict_log_odds(network, validation)
    metrics = {"loss": weighted_log_loss(log_odds, targets, weights)}
    if np.isfinite(log_odds).all() and len(np.unique(targets)) == 2:
        metrics["auc"] = float(roc_auc_score(targets > 0, log_odds, sample_weight=weights))
    return metrics
