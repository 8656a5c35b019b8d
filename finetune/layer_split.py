"""A text encoder cut in two: layers that stand still, and the last ones, which are trained.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from footfall.errors import SettingError

__all__ = ["LayerSplit", "layer_list"]

#: Where encoders without a last norm keep their layers, by the model type of transformers.
_LAYERS = {
    "bert": "encoder.layer",
    "camembert": "encoder.layer",
    "distilbert": "transformer.layer",
    "electra": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
}


def layer_list(encoder: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and layers of a BERT-like encoder.

    Raises
    ------
    SettingError
        If the architecture is not one whose layers can be run one by one.
    """
    kind = encoder.config.model_type
    if kind not in _LAYERS or getattr(encoder.config, "is_decoder", False):
        raise SettingError(
            f"trained_layers: the layers of a {kind!r} model cannot be run apart.",
            hint=f"Use trained_layers = 0, or one of {', '.join(sorted(_LAYERS))}.",
        )
    path = _LAYERS[kind]
    return path, encoder.get_submodule(path)


class LayerSplit:
    """The lower layers of an encoder, which stand still, and the upper ones, which are trained.

    Running first the lower and then the upper part is the encoder's own forward pass: the same
    modules in the same order. The lower part's dropout is switched off, so that what leaves it
    depends on the text alone and can be kept.

    Parameters
    ----------
    encoder:
        A BERT-like encoder of transformers, with or without adapters inside its upper layers.
    trained:
        How many of its last layers are trained.

    Raises
    ------
    SettingError
        If the architecture is not supported or has fewer layers.
    """

    def __init__(self, encoder: nn.Module, trained: int) -> None:
        _, layers = layer_list(encoder)
        if not 0 < trained <= len(layers):
            raise SettingError(
                f"trained_layers is {trained}, and the encoder has {len(layers)} layers.",
                hint="Use 0 to train all of them.",
            )
        self._encoder = encoder
        self._layers = layers
        self.first_trained = len(layers) - trained
        for module in (encoder.embeddings, *layers[: self.first_trained]):
            module.requires_grad_(False)
            for part in module.modules():
                if isinstance(part, nn.Dropout):
                    part.p = 0.0

    @property
    def trained_numbers(self) -> list[int]:
        """Places of the trained layers, counted from 0."""
        return list(range(self.first_trained, len(self._layers)))

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self._encoder.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._encoder.parameters()).device

    def lower(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states that enter the trained layers, shape (texts, tokens, width)."""
        with torch.no_grad():
            states = self._encoder.embeddings(input_ids=ids)
            if hasattr(self._encoder, "embeddings_project"):
                states = self._encoder.embeddings_project(states)
            return self._run(self._layers[: self.first_trained], states, mask)

    def upper(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The encoder's last hidden states from what :meth:`lower` gave, of the same shape."""
        return self._run(self._layers[self.first_trained :], states, mask)

    def _run(self, layers: Any, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        from transformers.masking_utils import create_bidirectional_mask

        seen = create_bidirectional_mask(
            config=self._encoder.config, inputs_embeds=states, attention_mask=mask
        )
        for layer in layers:
            states = layer(states, seen)
        return states
