"""Learning to tell responses: what the Trainer is given.

Imports torch; load it only where a model is trained.
"""

from __future__ import annotations

from functools import partial

from footfall.finetune.batches import PairTable, SlateSampler, collate
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.network import ClickNetwork
from footfall.finetune.prediction import predict_log_odds, weighted_log_loss
from footfall.finetune.start import warm_start
from footfall.finetune.training import TrainingTask

__all__ = ["click_task", "validation_loss"]


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
        validation_loss=(
            None if validation is None else partial(validation_loss, network, validation)
        ),
    )


def validation_loss(network: ClickNetwork, validation: PairTable) -> float:
    """Weighted log loss in nats."""
    return weighted_log_loss(
        predict_log_odds(network, validation), validation.targets, validation.weights
    )
