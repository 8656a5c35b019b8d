"""Training into a folder: checkpoints beside it, the model written whole and once at the end.

Imports accelerate; load it only where a model is trained.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from footfall.errors import TrainingError
from footfall.finetune.model_files import check_replaceable
from footfall.finetune.processes import is_main_process, process_count, wait_for_all

__all__ = ["train_into"]


def train_into(
    folder: Path | None,
    device: str,
    train: Callable[[Path], None],
    save: Callable[[Path], object],
) -> None:
    """Call ``train`` with a folder for checkpoints, then ``save`` with the model's folder.

    Checkpoints lie in ``<folder>.checkpoints`` until the model is saved. Without a folder nothing
    is kept on disk. Of several processes all train, and one saves.

    Raises
    ------
    TrainingError
        If several processes train without a folder, or the folder holds something else.
    """
    if folder is None:
        if process_count(device) > 1:
            raise TrainingError(
                "Several processes train, and no folder was named.",
                hint="Name one that all of them reach.",
            )
        with tempfile.TemporaryDirectory(prefix="footfall-") as scratch:
            train(Path(scratch) / "checkpoints")
        return
    check_replaceable(folder)
    checkpoints = folder.with_name(folder.name + ".checkpoints")
    train(checkpoints)
    if is_main_process(device):
        save(folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all(device)
