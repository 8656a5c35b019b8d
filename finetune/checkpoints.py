"""Checkpoints of a training: which are complete, and whose they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from footfall.errors import TrainingError

__all__ = ["mark_complete", "newest_checkpoint", "step_of"]

_COMPLETE = "complete.json"


def mark_complete(checkpoint: Path, fingerprint: str) -> None:
    """Say that all of a checkpoint is written, and to which settings and data it belongs."""
    content = json.dumps({"fingerprint": fingerprint})
    (checkpoint / _COMPLETE).write_text(content, encoding="utf-8")


def newest_checkpoint(folder: Path, fingerprint: str) -> Path | None:
    """The newest complete checkpoint; half-written ones are deleted.

    Raises
    ------
    TrainingError
        If it belongs to other data or settings.
    """
    found = sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)
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


def step_of(path: Path | None) -> int:
    """Training steps before a checkpoint; 0 without one."""
    return 0 if path is None else int(path.name.rpartition("-")[2])
