"""How far a tuning is: its learning rate, when to evaluate and stop, and its checkpoints.

Imports transformers; load it only where a model is tuned.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from transformers.trainer_callback import TrainerCallback

from footfall.errors import TrainingError
from footfall.finetune.tuning_settings import TuningSettings
from footfall.progress import ProgressTask

__all__ = ["TuningWatch", "newest_checkpoint", "step_of"]

_COMPLETE = "complete.json"


class TuningWatch(TrainerCallback):  # type: ignore[misc]
    """Moves the bar, watches the time, and says when to evaluate, save and stop.

    Progress is the share of the planned steps or of the time limit, whichever is further on: on a
    slow or busy machine the learning rate still falls to zero by the end.
    """

    def __init__(
        self,
        task: ProgressTask,
        settings: TuningSettings,
        *,
        planned: int,
        mark: dict[str, Any],
    ) -> None:
        self._task, self._settings, self._mark = task, settings, mark
        self._planned = planned
        self._begun = time.perf_counter() - float(mark["seconds"])
        self._evaluated = 0

    @property
    def seconds(self) -> float:
        """Time spent, that of interrupted runs included."""
        return float(time.perf_counter() - self._begun)

    def progress(self, step: int) -> float:
        """How much of the tuning is done after ``step`` steps, from 0 to 1."""
        share = step / self._planned
        if self._settings.max_minutes is not None:
            share = max(share, self.seconds / (60 * self._settings.max_minutes))
        return min(share, 1.0)

    def rate(self, step: int) -> float:
        """The learning rate as a share of its peak."""
        progress, warm = self.progress(step), self._settings.warmup_share
        rise: float = (progress + 1 / self._planned) / warm if warm > 0 else 1.0
        fall: float = (1.0 - progress) / (1.0 - warm)
        return min(rise, fall)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the steps of interrupted runs as done."""
        del args, control
        self._task.advance(state.global_step)
        self._evaluated = int(self.progress(state.global_step) * self._settings.evaluations)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate and save whenever another part is done, and stop at the end."""
        del args
        self._task.advance()
        progress = self.progress(state.global_step)
        due = int(progress * self._settings.evaluations)
        control.should_evaluate = control.should_save = due > self._evaluated or progress >= 1.0
        self._evaluated = due
        if progress >= 1.0:
            control.should_training_stop = True

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any
    ) -> None:
        """Show the losses."""
        del args, state, control
        parts = [
            f"{name} {metrics[f'eval_{name}_loss']:.3f}"
            for name in ("query", "choice")
            if f"eval_{name}_loss" in metrics
        ]
        self._task.describe(f"Tuning (validation loss: {', '.join(parts)})")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint as whole."""
        del control
        marker = Path(args.output_dir) / f"checkpoint-{state.global_step}" / _COMPLETE
        content = {**self._mark, "seconds": self.seconds}
        marker.write_text(json.dumps(content), encoding="utf-8")


def newest_checkpoint(folder: Path, fingerprint: str) -> tuple[Path | None, dict[str, Any]]:
    """The newest complete checkpoint and its mark; half-written ones are deleted."""
    for path in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        marker = path / _COMPLETE
        if not marker.is_file():
            shutil.rmtree(path, ignore_errors=True)
            continue
        mark = json.loads(marker.read_text(encoding="utf-8"))
        if mark["fingerprint"] != fingerprint:
            raise TrainingError(
                f"{path}: the checkpoint belongs to other settings, examples or another model.",
                hint="Tune without resume, or choose another folder.",
            )
        return path, mark
    return None, {}


def step_of(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.rpartition("-")[2])
