"""Trains the language model's adapter with the transformers Trainer.

Imports torch and transformers; load it only where a model is tuned.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from footfall.errors import TrainingError
from footfall.finetune.processes import one_device
from footfall.finetune.tuning_card import TaskLosses
from footfall.finetune.tuning_network import answer_log_probabilities, answer_logits
from footfall.finetune.tuning_progress import TuningWatch, newest_checkpoint, step_of
from footfall.finetune.tuning_settings import TuningSettings
from footfall.finetune.tuning_tokens import IGNORED, TokenizedExample, collate, make_batches
from footfall.progress import console, track

__all__ = ["TunedFigures", "task_losses", "train_adapter"]

#: Forward passes without gradients take about this share of a training step's time.
_FORWARD_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class TunedFigures:
    """What a tuning did.

    ``seconds`` count earlier, interrupted runs too, and validation. With a time limit fewer steps
    than planned may be taken.
    """

    steps: int
    planned_steps: int
    resumed_at_step: int
    seconds: float
    tokens: int
    before: TaskLosses
    after: TaskLosses
    kept: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """Batches of one pass, and steps of all passes."""

    batches: list[list[int]]
    steps: int


def task_losses(
    model: Any, rows: Sequence[TokenizedExample], pad: int, *, batch_tokens: int = 4096
) -> TaskLosses:
    """Mean losses of both tasks: nats a query token, nats a choice, and the share chosen right."""
    found = answer_log_probabilities(model, rows, pad, batch_tokens=batch_tokens)
    queries = [values for values, row in zip(found, rows, strict=True) if not row.is_choice]
    choices = [values for values, row in zip(found, rows, strict=True) if row.is_choice]
    return TaskLosses(
        query=float(-np.concatenate(queries).mean()) if queries else None,
        choice=float(-np.concatenate(choices).mean()) if choices else None,
    )


class _Batches(torch.utils.data.Dataset[int]):  # type: ignore[misc]
    """Numbers of batches: the Trainer draws their order, and skips those done when it resumes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


class _Collator:
    """Turns one batch's number into its tensors."""

    def __init__(
        self, rows: Sequence[TokenizedExample], batches: list[list[int]], pad: int
    ) -> None:
        self._rows, self._batches, self._pad = rows, batches, pad

    def __call__(self, numbers: list[int]) -> dict[str, Any]:
        (number,) = numbers
        return collate([self._rows[row] for row in self._batches[number]], self._pad)


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose loss is taken on answers only, each batch made beforehand."""

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        *,
        batches: int,
        collator: _Collator,
        validation: Sequence[TokenizedExample],
        pad: int,
        watch: TuningWatch,
    ) -> None:
        self.control: Any = None
        self.lr_scheduler: Any = None
        self._watch = watch
        self._validation = validation
        self._pad = pad
        super().__init__(
            model=model,
            args=arguments,
            data_collator=collator,
            train_dataset=_Batches(batches),
            eval_dataset=_Batches(1),
            callbacks=[watch],
        )
        self.remove_callback(PrinterCallback)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A linear rise, then a linear fall that ends with the steps or the time, if sooner."""
        del num_training_steps
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, self._watch.rate
            )
        return self.lr_scheduler

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Mean loss in nats of the batch's answer tokens."""
        del return_outputs, num_items_in_batch
        return answer_loss(model, inputs)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """The sum of both tasks' validation losses, by which the best weights are kept."""
        del eval_dataset, ignore_keys
        losses = task_losses(self.model, self._validation, self._pad)
        metrics = {f"{metric_key_prefix}_loss": losses.total}
        metrics |= {
            f"{metric_key_prefix}_{name}_loss": value
            for name, value in losses.model_dump().items()
            if value is not None
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def answer_loss(model: Any, batch: dict[str, Any]) -> Any:
    """Mean cross-entropy of the answer tokens, in nats."""
    logits = answer_logits(model, batch)
    used = batch["targets"] != IGNORED
    return torch.nn.functional.cross_entropy(logits[used].float(), batch["targets"][used])


def train_adapter(
    model: Any,
    settings: TuningSettings,
    train: Sequence[TokenizedExample],
    validation: Sequence[TokenizedExample],
    *,
    pad: int,
    folder: Path,
    fingerprint: str,
    resume: bool,
) -> TunedFigures:
    """Train in place; the model ends with the adapter that did best on validation.

    Where no evaluation was better than the start, the adapter changes nothing.

    Parameters
    ----------
    folder:
        Where checkpoints are written.
    fingerprint:
        Of settings, examples and base model: checkpoints of another one are not resumed.
    resume:
        Go on from the newest complete checkpoint; otherwise old ones are deleted.

    Raises
    ------
    TrainingError
        If checkpoints are of other data or settings, memory or disk run out, or a loss is not
        finite.
    """
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    checkpoint, mark = newest_checkpoint(folder, fingerprint) if resume else (None, {})
    start_state = {
        name: value.detach().clone()
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    before = (
        TaskLosses.model_validate(mark["before"])
        if mark
        else task_losses(model, validation, pad, batch_tokens=settings.batch_tokens)
    )
    plan = _plan(model, settings, train, validation, pad)
    mark = {
        "fingerprint": fingerprint,
        "before": before.model_dump(),
        "seconds": mark.get("seconds", 0.0),
    }
    set_seed(settings.seed)
    with track("Tuning", plan.steps) as task:
        watch = TuningWatch(task, settings, planned=plan.steps, mark=mark)
        trainer = AnswerTrainer(
            model,
            one_device(_arguments(settings, plan, folder, keeps_best=bool(validation))),
            batches=len(plan.batches),
            collator=_Collator(train, plan.batches, pad),
            validation=validation,
            pad=pad,
            watch=watch,
        )
        _run(trainer, checkpoint)
    after, kept = _keep_best(model, trainer, before, start_state, validation, pad)
    steps = trainer.state.global_step
    return TunedFigures(
        steps=steps,
        planned_steps=plan.steps,
        resumed_at_step=0 if checkpoint is None else step_of(checkpoint),
        seconds=round(watch.seconds, 1),
        tokens=round(_tokens(train) * steps / len(plan.batches)),
        before=before,
        after=after,
        kept=kept,
    )


def _tokens(rows: Sequence[TokenizedExample]) -> int:
    return sum(len(row.ids) for row in rows)


def _plan(
    model: Any,
    settings: TuningSettings,
    train: Sequence[TokenizedExample],
    validation: Sequence[TokenizedExample],
    pad: int,
) -> _Plan:
    """Batches and steps; a step is timed, and what is to come is said before it begins."""
    batches = make_batches(
        [len(row.ids) for row in train],
        batch_tokens=settings.batch_tokens,
        rng=np.random.default_rng([settings.seed, 2]),
    )
    steps = max(1, math.ceil(len(batches) * settings.epochs))
    timed = [train[row] for row in batches[len(batches) // 2]]
    speed = _tokens(timed) / _time_step(model, timed, pad)
    tokens = round(_tokens(train) * steps / len(batches))
    checking = _FORWARD_SHARE * _tokens(validation) * settings.evaluations
    minutes = (tokens + checking) / speed / 60
    limit = settings.max_minutes
    console.print(
        f"Tuning on {len(train):,} examples, {tokens:,} tokens in {steps:,} steps: about "
        f"{minutes:,.1f} min at {speed:,.0f} tokens/s"
        + (f"; ends after {limit:g} min" if limit is not None and limit < minutes else "")
    )
    return _Plan(batches, steps)


def _time_step(model: Any, rows: Sequence[TokenizedExample], pad: int) -> float:
    """Seconds of a step's two passes, the second time round; the model stays as it was."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).train()
    seconds = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        batch = {name: value.to(device) for name, value in collate(rows, pad).items()}
        try:
            answer_loss(model, batch).backward()
        except torch.OutOfMemoryError as error:
            raise _out_of_memory() from error
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    model.zero_grad(set_to_none=True)
    return seconds


def _arguments(
    settings: TuningSettings, plan: _Plan, folder: Path, *, keeps_best: bool
) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        max_steps=plan.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        eval_strategy="steps" if keeps_best else "no",
        # When to do either is said by `TuningWatch`.
        eval_steps=plan.steps,
        save_strategy="steps",
        save_steps=plan.steps,
        save_total_limit=2,
        load_best_model_at_end=keeps_best,
        metric_for_best_model="eval_loss" if keeps_best else None,
        greater_is_better=False if keeps_best else None,
        logging_steps=plan.steps,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        seed=settings.seed,
    )


def _run(trainer: AnswerTrainer, checkpoint: Path | None) -> None:
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except torch.OutOfMemoryError as error:
        raise _out_of_memory() from error
    except OSError as error:
        raise TrainingError(
            f"A checkpoint cannot be written or read: {error}",
            hint="Free disk space and tune again with resume.",
        ) from error


def _out_of_memory() -> TrainingError:
    return TrainingError(
        "The GPU's memory is exhausted.", hint="Lower `batch_tokens` or `max_tokens`."
    )


def _keep_best(
    model: Any,
    trainer: AnswerTrainer,
    before: TaskLosses,
    start_state: dict[str, Any],
    validation: Sequence[TokenizedExample],
    pad: int,
) -> tuple[TaskLosses, str]:
    best = trainer.state.best_metric
    if not validation or best is None:
        return before, "last"
    if not math.isfinite(best):
        raise TrainingError("The validation loss is not finite.", hint="Lower `learning_rate`.")
    if best < before.total:
        return task_losses(model, validation, pad), f"step {trainer.state.best_global_step}"
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in start_state:
                value.copy_(start_state[name])
    return before, "start"
