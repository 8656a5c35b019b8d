"""Trains a network with the transformers Trainer.

Imports torch and transformers; load it only where a model is trained.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from torch.utils.data import Sampler
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from footfall.errors import SettingError, TrainingError
from footfall.finetune.adaptive_ranks import RankSharing
from footfall.finetune.batches import RowNumbers
from footfall.finetune.checkpoints import mark_complete, newest_checkpoint, step_of
from footfall.finetune.processes import (
    is_main_process,
    of_main_process,
    one_device,
    process_count,
    wait_for_all,
)
from footfall.finetune.tracking import tracked
from footfall.finetune.training_settings import TrainingSettings
from footfall.progress import ProgressTask, track

__all__ = ["NetworkTrainer", "TrainingFigures", "TrainingTask", "train_network"]


class Trainable(Protocol):
    """What a network needs beside being a module."""

    def head_parameters(self) -> list[nn.Parameter]:
        """Everything that is not the encoder."""

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What is trained of the encoder."""


@dataclass(frozen=True)
class TrainingTask:
    """What is learnt.

    Parameters
    ----------
    rows:
        Number of training rows.
    collate:
        Row numbers to the keyword arguments of the network, which gives a loss.
    sampler:
        A fresh sampler of row numbers, the same in every process.
    start:
        Puts the network where training starts.
    validation:
        Metrics on validation rows: ``loss``, a mean in nats, which decides what is kept, and others
        that are reported beside it; none without such rows.
    """

    rows: int
    collate: Callable[[Sequence[int]], dict[str, Any]]
    sampler: Callable[[], Sampler]
    start: Callable[[], None]
    validation: Callable[[], Mapping[str, float]] | None


@dataclass(frozen=True)
class TrainingFigures:
    """What a training run did.

    Log losses are weighted means in nats on the validation rows, null without them; ``metrics`` are
    what else these say of a classifier, by name (for clicks ``auc``, for queries ``accuracy``).
    ``seconds`` and ``pairs_per_second`` are of this run of the program only, evaluation included;
    pairs are those of all ``processes``. ``peak_gpu_memory`` is in GiB, null without a GPU.
    """

    steps: int
    planned_steps: int
    resumed_at_step: int
    processes: int
    seconds: float
    pairs_per_second: float
    peak_gpu_memory: float | None
    start_log_loss: float | None
    best_log_loss: float | None
    start_metrics: dict[str, float]
    best_metrics: dict[str, float]
    kept: str

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        return asdict(self)


class NetworkTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that takes rows as the task orders them; its head learns faster than the encoder.

    Parameters
    ----------
    network, arguments, settings, task, callbacks:
        What is trained, how, on what, watched by whom.
    """

    def __init__(
        self,
        network: nn.Module,
        arguments: TrainingArguments,
        *,
        settings: TrainingSettings,
        task: TrainingTask,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.optimizer: Any = None
        self.control: Any = None
        self._settings = settings
        self._task = task
        super().__init__(
            model=network,
            args=arguments,
            data_collator=task.collate,
            train_dataset=RowNumbers(task.rows),
            eval_dataset=None if task.validation is None else RowNumbers(1),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        del train_dataset
        return self._task.sampler()

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
        """Metrics on the validation rows."""
        del eval_dataset, ignore_keys
        assert self._task.validation is not None
        told = of_main_process(self._task.validation(), self._settings.device)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in told.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class _EarlyStopping(EarlyStoppingCallback):  # type: ignore[misc]
    """Ends a training that is resumed from a checkpoint at which it had stopped already."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, state
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            # A step is taken before anything can say stop; it counts for nothing.
            control.should_training_stop = True
            control.should_evaluate = control.should_save = False


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Moves the progress bar, and marks a checkpoint once all of it is written."""

    def __init__(self, bar: ProgressTask, fingerprint: str) -> None:
        self._bar = bar
        self._fingerprint = fingerprint

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, control
        self._bar.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, state, control
        self._bar.advance()

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any
    ) -> None:
        del args, state, control
        self._bar.describe(f"Training (validation log loss {metrics['eval_loss']:.4f})")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del control
        if state.is_world_process_zero:
            mark_complete(
                Path(args.output_dir) / f"checkpoint-{state.global_step}", self._fingerprint
            )


def train_network(
    network: nn.Module,
    settings: TrainingSettings,
    task: TrainingTask,
    *,
    folder: Path,
    fingerprint: str,
    resume: bool,
) -> TrainingFigures:
    """Train in place; the network ends with the weights that did best on validation.

    Without validation rows it ends with the last weights. If no evaluation during training was
    better than the start, the start is restored. Where several processes call this together, each
    takes its own batches, and all end with the same weights.

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
    checkpoint = _first_checkpoint(folder, fingerprint, resume, settings.device)
    task.start()
    start_metrics = None
    if task.validation is not None:
        start_metrics = of_main_process(task.validation(), settings.device)
    start_state = {name: value.clone() for name, value in network.state_dict().items()}
    planned = planned_steps(settings, task.rows)
    on_gpu = settings.device == "auto" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    with (
        track("Training", planned, shown=is_main_process(settings.device)) as bar,
        tracked(settings, folder),
    ):
        callbacks = [_Watch(bar, fingerprint)]
        if settings.tuning == "adalora":
            # Before the watch, so that a checkpoint marked as complete holds the ranks too.
            callbacks.insert(0, RankSharing(network.encoder, checkpoint))
        arguments = one_device(_arguments(settings, task, folder, planned, on_gpu))
        trainer = _trainer(network, arguments, settings, task, callbacks)
        _run(trainer, checkpoint)
        # Takes off what wraps the forward pass for mixed precision, which cannot be pickled.
        extract_model_from_parallel(network, keep_fp32_wrapper=False)
    seconds = time.perf_counter() - begun
    best_metrics, kept = _keep_best(network, trainer, start_metrics, start_state)
    _check_finite(network)
    done = step_of(checkpoint)
    processes = process_count(settings.device)
    rows = (trainer.state.global_step - done) * settings.batch_size * processes
    return TrainingFigures(
        steps=trainer.state.global_step,
        planned_steps=planned,
        resumed_at_step=done,
        processes=processes,
        seconds=round(seconds, 3),
        pairs_per_second=round(rows / seconds, 1) if seconds > 0 else 0.0,
        peak_gpu_memory=round(torch.cuda.max_memory_allocated() / 2**30, 3) if on_gpu else None,
        start_log_loss=None if start_metrics is None else start_metrics["loss"],
        best_log_loss=None if best_metrics is None else best_metrics["loss"],
        start_metrics=_beside_loss(start_metrics),
        best_metrics=_beside_loss(best_metrics),
        kept=kept,
    )


def _first_checkpoint(folder: Path, fingerprint: str, resume: bool, device: str) -> Path | None:
    if is_main_process(device):
        if resume:
            newest_checkpoint(folder, fingerprint)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    wait_for_all(device)
    return newest_checkpoint(folder, fingerprint) if resume else None


def planned_steps(settings: TrainingSettings, rows: int) -> int:
    """Training steps over all epochs; a step takes a batch of every process."""
    batch = settings.batch_size * process_count(settings.device)
    steps = max(1, math.ceil(math.ceil(rows / batch) * settings.epochs))
    return min(steps, settings.max_steps) if settings.max_steps else steps


def _arguments(
    settings: TrainingSettings, task: TrainingTask, folder: Path, planned: int, on_gpu: bool
) -> TrainingArguments:
    interval = max(1, planned // settings.evaluations)
    schedule = {"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule)
    validated = task.validation is not None
    mixed = settings.precision == "bfloat16"
    if mixed and on_gpu and not torch.cuda.is_bf16_supported():
        raise SettingError(
            "precision: this GPU has no bfloat16.", hint='Use precision = "float32".'
        )
    return TrainingArguments(
        bf16=mixed,
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        max_steps=planned,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=math.ceil(settings.warmup_share * planned),
        eval_strategy="steps" if validated else "no",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=validated,
        metric_for_best_model="eval_loss" if validated else None,
        greater_is_better=False if validated else None,
        restore_callback_states_from_checkpoint=validated,
        logging_steps=interval,
        logging_nan_inf_filter=False,
        report_to=settings.report_to,
        run_name=folder.name.removesuffix(".checkpoints"),
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        seed=settings.seed,
    )


def _trainer(
    network: nn.Module,
    arguments: TrainingArguments,
    settings: TrainingSettings,
    task: TrainingTask,
    callbacks: list[TrainerCallback],
) -> NetworkTrainer:
    if task.validation is not None:
        callbacks = [*callbacks, _EarlyStopping(settings.patience)]
    return NetworkTrainer(network, arguments, settings=settings, task=task, callbacks=callbacks)


def _run(trainer: NetworkTrainer, checkpoint: Path | None) -> None:
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
    network: nn.Module,
    trainer: NetworkTrainer,
    start: Mapping[str, float] | None,
    start_state: dict[str, torch.Tensor],
) -> tuple[Mapping[str, float] | None, str]:
    best = trainer.state.best_metric
    if start is None or best is None:
        return None, "last"
    if not np.isfinite(best):
        raise TrainingError("The validation log loss is not finite.", hint="Lower learning_rate.")
    if best < start["loss"]:
        step = trainer.state.best_global_step
        return _metrics_at(trainer.state.log_history, step) | {"loss": float(best)}, f"step {step}"
    network.load_state_dict(start_state)
    return start, "start"


def _metrics_at(history: Sequence[Mapping[str, float]], step: int | None) -> dict[str, float]:
    """What an evaluation said; a resumed training has its earlier ones in the checkpoint."""
    told = [entry for entry in history if "eval_loss" in entry and entry.get("step") == step]
    return {
        name.removeprefix("eval_"): float(value)
        for entry in told
        for name, value in entry.items()
        if name.startswith("eval_")
    }


def _beside_loss(metrics: Mapping[str, float] | None) -> dict[str, float]:
    return {name: round(value, 6) for name, value in (metrics or {}).items() if name != "loss"}


def _check_finite(network: nn.Module) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise TrainingError("Training made weights infinite.", hint="Lower learning_rate.")
