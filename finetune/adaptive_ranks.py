"""AdaLoRA's shares of the rank during a training, kept in its checkpoints.

Imports torch and transformers; load it only where a model is trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn
from transformers.trainer_callback import TrainerCallback

__all__ = ["RankSharing"]

_IMPORTANCE = "importance.safetensors"
_RANKS = "ranks.json"
_AVERAGES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class RankSharing(TrainerCallback):  # type: ignore[misc]
    """Moves rank to the matrices that need it, after every step of the optimiser.

    Parameters
    ----------
    encoder:
        A peft model with AdaLoRA adapters.
    checkpoint:
        Where a training goes on from: what was known of the ranks there is read back.
    """

    def __init__(self, encoder: nn.Module, checkpoint: Path | None = None) -> None:
        self._model = encoder.base_model
        self._config = encoder.peft_config["default"]
        if checkpoint is not None:
            self._read(checkpoint)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Weigh the matrices by their gradients, which are still there."""
        del args, control
        self._model.update_and_allocate(state.global_step + 1)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write what the ranks depend on beside the weights."""
        del control
        if not state.is_world_process_zero:
            return
        from safetensors.torch import save_file

        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        ranks = self._model.rankallocator
        averages = {
            f"{average}/{name}": value.contiguous()
            for average in _AVERAGES
            for name, value in getattr(ranks, average).items()
        }
        save_file(averages, str(folder / _IMPORTANCE))
        (folder / _RANKS).write_text(json.dumps(self._config.rank_pattern), encoding="utf-8")

    def _read(self, checkpoint: Path) -> None:
        from safetensors.torch import load_file

        ranks = self._model.rankallocator
        device = next(self._model.parameters()).device
        for key, value in load_file(str(checkpoint / _IMPORTANCE)).items():
            average, _, name = key.partition("/")
            getattr(ranks, average)[name] = value.to(device)
        self._config.rank_pattern = json.loads((checkpoint / _RANKS).read_text(encoding="utf-8"))
