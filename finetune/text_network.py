"""What every network here has: a text encoder, adapted or not, and a head that is trained.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from footfall.errors import InputError
from footfall.finetune.adapters import adapt
from footfall.finetune.backbone import Pooling, load_backbone, pool, pooling_of
from footfall.finetune.layer_split import Split, split_of

if TYPE_CHECKING:
    from pathlib import Path

    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["Reader", "TextNetwork", "build_reader"]


@dataclass(frozen=True)
class Reader:
    """A text encoder and how it is used.

    Parameters
    ----------
    encoder:
        A text model of transformers, with adapters where it has some.
    pooling:
        How its hidden states become one vector.
    split:
        Where it is cut into a part that stands still and one that is trained.
    """

    encoder: nn.Module
    pooling: Pooling = "mean"
    split: Split | None = None


def build_reader(
    settings: TrainingSettings,
    *,
    steps: int = 1,
    trained: Path | None = None,
    serving: nn.Module | None = None,
) -> Reader:
    """The encoder that the settings name, ready to be trained or as it was saved.

    Parameters
    ----------
    settings:
        Encoder, pooling and tuning.
    steps:
        Planned training steps; AdaLoRA shares its ranks out over them.
    trained:
        Folder of a saved model, which holds the encoder or its adapter.
    serving:
        An encoder made for serving, which is taken as it is.

    Raises
    ------
    EngineMissingError
        If the encoder cannot be loaded.
    SettingError
        If the encoder's architecture does not take the settings.
    """
    pooling = pooling_of(settings)
    if serving is not None:
        return Reader(serving, pooling)
    whole = trained is not None and settings.tuning == "full"
    encoder = load_backbone(settings, trained / "encoder" if whole and trained else None)
    split = split_of(encoder, settings, pooling)
    encoder = adapt(encoder, settings, split=split, steps=steps, trained=trained)
    return Reader(encoder, pooling, split)


class TextNetwork(nn.Module):  # type: ignore[misc]
    """A text encoder with something above it, which is called the head here.

    Parameters
    ----------
    reader:
        The encoder.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.encoder = reader.encoder
        self.split = reader.split
        self._pooling = reader.pooling

    def encode(self, chunks: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Vectors of length one of all texts of the chunks, in order, shape (texts, width).

        Each chunk is token ids, int64, shape (texts, tokens), or the hidden states that enter the
        trained layers, float, shape (texts, tokens, width); and the attention mask.
        """
        vectors = []
        for chunk in chunks:
            states, mask = self._last_states(*chunk)
            pooled = pool(states, mask, self._pooling)
            vectors.append(nn.functional.normalize(pooled.float(), dim=-1))
        return torch.cat(vectors)

    def _last_states(
        self, first: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.split is None:
            return self.encoder(input_ids=first, attention_mask=mask)[0], mask
        if not first.is_floating_point():
            first, mask = self.split.lower(first, mask)
        return self.split.upper(first, mask), mask

    def head_parameters(self) -> list[nn.Parameter]:
        """Everything that is not the encoder."""
        return [p for n, p in self.named_parameters() if not n.startswith("encoder.")]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What is trained of the encoder."""
        return [p for p in self.encoder.parameters() if p.requires_grad]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Only what is trained, so that a checkpoint does not repeat the encoder."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        state = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if name in trained}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load what is trained; the rest of the encoder stays as it is."""
        del strict
        keys = super().load_state_dict(state_dict, strict=False, assign=assign)
        trained = set(self.state_dict())
        # Trainer warns about missing keys; only those of trained weights are missing in truth.
        keys.missing_keys[:] = [name for name in keys.missing_keys if name in trained]
        return keys

    def load_head(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load everything that is not the encoder.

        Raises
        ------
        InputError
            If some of it is missing.
        RuntimeError
            If a shape is wrong.
        """
        encoder = self.encoder
        # Layers of 8 bits take all of their weights or none: the encoder is not asked.
        self.encoder = nn.Identity()
        try:
            missing = self.load_state_dict(tensors).missing_keys
        finally:
            self.encoder = encoder
        if missing:
            raise InputError(f"The weights of the head lack {', '.join(missing)}.")
