"""Trains the classifier's network with the transformers Trainer.

Imports torch and transformers; load it only where a model is trained.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from footfall.errors import TrainingError
from footfall.finetune.batches import PairTable, RowNumbers, SlateSampler, collate
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.network import ClickNetwork
from footfall.finetune.prediction import predict_log_odds, weighted_log_loss
from footfall.finetune.start import warm_start
from footfall.progress import ProgressTask, track

__all__ = ["ClickTrainer", "TrainingFigures", "newest_checkpoint", "train_network"]

_COMPLETE = "complete.json"


@dataclass(frozen=True)
class TrainingFigures:
    """What a training run did.

    Log losses are weighted means in nats on the validation rows, null without them.
    ``seconds`` and ``pairs_per_second`` are of this process only, evaluation included.
    """

    steps: int
    planned_steps: int
    resumed_at_step: int
    seconds: float
    pairs_per_second: float
    start_log_loss: float | None
    best_log_loss: float | None
    kept: str

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        return asdict(self)


class ClickTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose slates stay together and whose head learns faster than the encoder."""

    def __init__(
        self,
        network: ClickNetwork,
        arguments: TrainingArguments,
        *,
        settings: ClickSettings,
        pairs: PairTable,
        validation: PairTable | None,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.optimizer: Any = None
        self.control: Any = None
        self._settings = settings
        self._pairs = pairs
        self._validation = validation
        super().__init__(
            model=network,
            args=arguments,
            data_collator=partial(collate, pairs),
            train_dataset=RowNumbers(len(pairs)),
            eval_dataset=None if validation is None else RowNumbers(len(validation)),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> SlateSampler:
        del train_dataset
        return SlateSampler(self._pairs.slate, self._settings.seed)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW or SGD with one learning rate for the encoder and one for the head."""
        del model
        if self.optimizer is None:
            settings = self._settings
            groups = [
                {
                    "params": self.model.encoder_parameters(),
                    "lr": settings.learning_rate,
                    "weight_decay": settings.weight_decay,
                },
                {
                    "params": self.model.head_parameters(),
                    "lr": settings.head_learning_rate,
                    "weight_decay": 0.0,
                },
            ]
            if settings.optimizer == "sgd":
                self.optimizer = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
            else:
                self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        return self.optimizer

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Log loss on the validation rows, each distinct text encoded once."""
        del eval_dataset, ignore_keys
        assert self._validation is not None
        loss = validation_loss(self.model, self._validation)
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Moves the progress bar, and marks a checkpoint once all of it is written."""

    def __init__(self, task: ProgressTask, fingerprint: str) -> None:
        self._task = task
        self._fingerprint = fingerprint

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, control
        self._task.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, state, control
        self._task.advance()

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any
    ) -> None:
        del args, state, control
        self._task.describe(f"Training (validation log loss {metrics['eval_loss']:.4f})")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del control
        marker = Path(args.output_dir) / f"checkpoint-{state.global_step}" / _COMPLETE
        marker.write_text(json.dumps({"fingerprint": self._fingerprint}), encoding="utf-8")


def train_network(
    network: ClickNetwork,
    settings: ClickSettings,
    pairs: PairTable,
    validation: PairTable | None,
    *,
    folder: Path,
    fingerprint: str,
    resume: bool,
) -> TrainingFigures:
    """Train in place; the network ends with the weights that did best on validation.

    Without validation rows it ends with the last weights. If no evaluation during training was
    better than the start, the start is restored.

    Parameters
    ----------
    folder:
        Where checkpoints are written.
    fingerprint:
        Identifies settings and data; checkpoints of another fingerprint are not resumed.
    resume:
        Go on from the newest complete checkpoint; otherwise old checkpoints are deleted.

    Raises
    ------
    TrainingError
        If the checkpoints are of other data or settings, memory or disk run out, or the weights
        become infinite.
    """
    checkpoint = newest_checkpoint(folder, fingerprint) if resume else None
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    # Validation first: where memory does not hold all, it keeps what comes last.
    for part in (validation, pairs):
        if part is not None and part.states is not None:
            part.states.prepare(part.used_texts())
    warm_start(network, pairs, settings)
    start_loss = None if validation is None else validation_loss(network, validation)
    start_state = {name: value.clone() for name, value in network.state_dict().items()}
    planned = _planned_steps(settings, len(pairs))
    begun = time.perf_counter()
    with track("Training", planned) as task:
        trainer = _trainer(
            network,
            settings,
            pairs,
            validation,
            folder=folder,
            planned=planned,
            watch=_Watch(task, fingerprint),
        )
        _run(trainer, checkpoint)
    seconds = time.perf_counter() - begun
    best, kept = _keep_best(network, trainer, start_loss, start_state)
    _check_finite(network)
    done = _step_of(checkpoint)
    rows = (trainer.state.global_step - done) * settings.batch_size
    return TrainingFigures(
        steps=trainer.state.global_step,
        planned_steps=planned,
        resumed_at_step=done,
        seconds=round(seconds, 3),
        pairs_per_second=round(rows / seconds, 1) if seconds > 0 else 0.0,
        start_log_loss=start_loss,
        best_log_loss=best,
        kept=kept,
    )


def validation_loss(network: ClickNetwork, validation: PairTable) -> float:
    """Weighted log loss in nats."""
    return weighted_log_loss(
        predict_log_odds(network, validation), validation.targets, validation.weights
    )


def newest_checkpoint(folder: Path, fingerprint: str) -> Path | None:
    """The newest complete checkpoint; half-written ones are deleted.

    Raises
    ------
    TrainingError
        If it belongs to other data or settings.
    """
    found = sorted(folder.glob("checkpoint-*"), key=_step_of, reverse=True)
    newest = None
    for path in found:
        marker = path / _COMPLETE
        if not marker.is_file():
            shutil.rmtree(path, ignore_errors=True)
            continue
        newest = newest or path
    if newest is None:
        return None
    if json.loads((newest / _COMPLETE).read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
        raise TrainingError(
            f"{newest}: the checkpoint belongs to other settings or data.",
            hint="Train without resume, or choose another folder.",
        )
    return newest


def _step_of(path: Path | None) -> int:
    return 0 if path is None else int(path.name.rpartition("-")[2])


def _planned_steps(settings: ClickSettings, rows: int) -> int:
    steps = max(1, math.ceil(math.ceil(rows / settings.batch_size) * settings.epochs))
    return min(steps, settings.max_steps) if settings.max_steps else steps


def _trainer(
    network: ClickNetwork,
    settings: ClickSettings,
    pairs: PairTable,
    validation: PairTable | None,
    *,
    folder: Path,
    planned: int,
    watch: TrainerCallback,
) -> ClickTrainer:
    interval = max(1, planned // settings.evaluations)
    on_gpu = settings.device == "auto" and torch.cuda.is_available()
    schedule = {"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule)
    callbacks: list[TrainerCallback] = [watch]
    if validation is not None:
        callbacks.append(EarlyStoppingCallback(settings.patience))
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        max_steps=planned,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=math.ceil(settings.warmup_share * planned),
        eval_strategy="no" if validation is None else "steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=validation is not None,
        metric_for_best_model=None if validation is None else "eval_loss",
        greater_is_better=None if validation is None else False,
        restore_callback_states_from_checkpoint=validation is not None,
        logging_steps=interval,
        logging_nan_inf_filter=False,
        report_to=settings.report_to,
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        seed=settings.seed,
    )
    return ClickTrainer(
        network,
        arguments,
        settings=settings,
        pairs=pairs,
        validation=validation,
        callbacks=callbacks,
    )


def _run(trainer: ClickTrainer, checkpoint: Path | None) -> None:
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "The GPU's memory is exhausted.", hint="Lower batch_size or max_tokens."
        ) from error
    except OSError as error:
        raise TrainingError(
            f"A checkpoint cannot be written or read: {error}",
            hint="Free disk space and train again with resume.",
        ) from error


def _keep_best(
    network: ClickNetwork,
    trainer: ClickTrainer,
    start_loss: float | None,
    start_state: dict[str, torch.Tensor],
) -> tuple[float | None, str]:
    best = trainer.state.best_metric
    if start_loss is None or best is None:
        return None, "last"
    if not np.isfinite(best):
        raise TrainingError("The validation log loss is not finite.", hint="Lower learning_rate.")
    if best < start_loss:
        return float(best), f"step {trainer.state.best_global_step}"
    network.load_state_dict(start_state)
    return float(start_loss), "start"


def _check_finite(network: ClickNetwork) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise TrainingError("Training made weights infinite.", hint="Lower learning_rate.")
