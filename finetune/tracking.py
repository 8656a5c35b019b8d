"""Where the course of a training is recorded: TensorBoard or Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from footfall.errors import MissingPartError, SettingError
from footfall.finetune.training_settings import TrainingSettings

__all__ = ["check_tracker", "tracked"]

#: Packages of which one must be there.
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


def check_tracker(settings: TrainingSettings, folder: str | Path | None) -> None:
    """Find out that a tracker cannot record before anything is trained.

    Parameters
    ----------
    settings:
        Of the training.
    folder:
        The model's, beside which the records would lie.

    Raises
    ------
    MissingPartError
        If its package is not installed.
    SettingError
        If there is no folder: the records would be lost with the checkpoints.
    """
    packages = _PACKAGES.get(settings.report_to, ())
    if packages and folder is None:
        raise SettingError(
            f"report_to is {settings.report_to!r}, and no folder was named beside which the "
            "records could lie.",
            hint='Use report_to = "none", or train where a model is kept, with a folder.',
        )
    if packages and not any(find_spec(package) for package in packages):
        raise MissingPartError(
            f"The package {packages[0]} is not installed (report_to = {settings.report_to!r}).",
            hint="Install it with `pip install 'footfall[tracking]'`.",
        )


@contextmanager
def tracked(settings: TrainingSettings, checkpoints: Path) -> Iterator[None]:
    """Tell the tracker where to write, by the environment variables that it reads.

    The records lie in ``<model>.tracking``, beside the model's folder, and outlive its checkpoints.
    """
    if settings.report_to == "none":
        yield
        return
    folder = checkpoints.with_name(checkpoints.name.removesuffix(".checkpoints") + ".tracking")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "TENSORBOARD_LOGGING_DIR": str(folder),
        "WANDB_DIR": str(folder),
        "WANDB_MODE": settings.wandb_mode,
        "WANDB_SILENT": "true",
        "WANDB_PROJECT": os.environ.get("WANDB_PROJECT", "footfall"),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if settings.report_to == "wandb":
            _finish_wandb()


def _finish_wandb() -> None:
    import wandb

    if wandb.run is not None:
        wandb.finish()
