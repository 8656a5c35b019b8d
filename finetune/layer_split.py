"""The part of a text encoder that stands still, apart from the part that is trained.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from footfall.errors import SettingError

if TYPE_CHECKING:
    from footfall.finetune.backbone import Pooling
    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["LayerSplit", "Split", "StandingEncoder", "split_of"]

Array = np.ndarray[Any, Any]
Chunk = tuple[torch.Tensor, torch.Tensor]

#: Where text models keep their layers, by the model type of transformers. The first kind reads a
#: text in both directions and has no norm after the last layer; the second reads it from its
#: beginning, turns places into rotations and ends in a norm.
_BERT_LIKE = {
    "bert": "encoder.layer",
    "camembert": "encoder.layer",
    "distilbert": "transformer.layer",
    "electra": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
}
_LLAMA_LIKE = {"llama": "layers", "mistral": "layers", "qwen2": "layers", "qwen3": "layers"}
_LAYERS = _BERT_LIKE | _LLAMA_LIKE


class Split(Protocol):
    """Where an encoder is cut; what leaves the lower part can be kept, text by text."""

    @property
    def name(self) -> str:
        """Tells this cut from others of the same encoder."""

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    def rows(self, lengths: Array) -> Array:
        """Hidden states kept of texts of so many tokens."""

    def lower(self, ids: torch.Tensor, mask: torch.Tensor) -> Chunk:
        """From token ids to the hidden states that are kept, and their mask."""

    def upper(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """From there to the encoder's last hidden states."""


class LayerSplit:
    """The lower layers of an encoder, which stand still, and the upper ones, which are trained.

    Running first the lower and then the upper part is the encoder's own forward pass: the same
    modules in the same order. The lower part's dropout is switched off, so that what leaves it
    depends on the text alone and can be kept.

    Parameters
    ----------
    encoder:
        A BERT-like encoder or Llama-like decoder of transformers, with or without adapters inside
        its upper layers.
    trained:
        How many of its last layers are trained.

    Raises
    ------
    SettingError
        If the architecture is not supported or has fewer layers.
    """

    def __init__(self, encoder: nn.Module, trained: int) -> None:
        kind = encoder.config.model_type
        unlike = kind in _BERT_LIKE and getattr(encoder.config, "is_decoder", False)
        if kind not in _LAYERS or unlike or _mixed_attention(encoder):
            raise SettingError(
                f"trained_layers: the layers of a {kind!r} model cannot be run apart.",
                hint=f"Use trained_layers = 0, or one of {', '.join(sorted(_LAYERS))}.",
            )
        layers = encoder.get_submodule(_LAYERS[kind])
        if not 0 < trained <= len(layers):
            raise SettingError(
                f"trained_layers is {trained}, and the encoder has {len(layers)} layers.",
                hint="Use 0 to train all of them.",
            )
        self._encoder = encoder
        self._layers = layers
        self._first = len(layers) - trained
        self._trained_names = tuple(
            f"{_LAYERS[kind]}.{n}." for n in range(self._first, len(layers))
        )
        self._rotates = kind in _LLAMA_LIKE
        self._embeddings = encoder.embed_tokens if self._rotates else encoder.embeddings
        for module in (self._embeddings, *layers[: self._first]):
            module.requires_grad_(False)
            for part in module.modules():
                if isinstance(part, nn.Dropout):
                    part.p = 0.0

    @property
    def name(self) -> str:
        """The first trained layer, counted from 0."""
        return f"layer {self._first}"

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self._encoder.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._encoder.parameters()).device

    def is_trained(self, name: str) -> bool:
        """Whether the module of that name lies in a trained layer."""
        return name.startswith(self._trained_names)

    def rows(self, lengths: Array) -> Array:
        """A state for every token."""
        return lengths

    def lower(self, ids: torch.Tensor, mask: torch.Tensor) -> Chunk:
        """Hidden states that enter the trained layers, shape (texts, tokens, width), and mask."""
        with torch.no_grad():
            states = self._embeddings(ids)
            if hasattr(self._encoder, "embeddings_project"):
                states = self._encoder.embeddings_project(states)
            return self._run(self._layers[: self._first], states, mask), mask

    def upper(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The encoder's last hidden states from what :meth:`lower` gave, of the same shape."""
        states = self._run(self._layers[self._first :], states, mask)
        return self._encoder.norm(states) if self._rotates else states

    def _run(self, layers: Any, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        from transformers.masking_utils import create_bidirectional_mask, create_causal_mask

        given = {
            "config": self._encoder.config,
            "inputs_embeds": states,
            "attention_mask": mask,
        }
        if not self._rotates:
            seen = create_bidirectional_mask(**given)
            for layer in layers:
                states = layer(states, seen)
            return states
        places = torch.arange(states.shape[1], device=states.device).unsqueeze(0)
        seen = create_causal_mask(**given, past_key_values=None, position_ids=places)
        rotations = self._encoder.rotary_emb(states, position_ids=places)
        for layer in layers:
            states = layer(
                states,
                attention_mask=seen,
                position_embeddings=rotations,
                position_ids=places,
                use_cache=False,
            )
        return states


def _mixed_attention(encoder: nn.Module) -> bool:
    """Whether some layers see only what is near: they would need a mask of their own."""
    kinds = set(getattr(encoder.config, "layer_types", None) or ())
    return bool(kinds - {"full_attention"}) or (
        getattr(encoder.config, "sliding_window", None) is not None
        and getattr(encoder.config, "use_sliding_window", True)
    )


class StandingEncoder:
    """An encoder of which nothing is trained: one vector of each text is kept.

    Parameters
    ----------
    encoder:
        Any text model of transformers.
    pooling:
        How its hidden states become one vector.
    """

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        self._encoder = encoder.requires_grad_(False)
        self._pooling = pooling

    @property
    def name(self) -> str:
        """The pooling."""
        return f"{self._pooling} vector"

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._encoder.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._encoder.parameters()).device

    def rows(self, lengths: Array) -> Array:
        """One vector a text."""
        return np.ones_like(lengths)

    def lower(self, ids: torch.Tensor, mask: torch.Tensor) -> Chunk:
        """Vectors, shape (texts, 1, width), and a mask of ones."""
        from footfall.finetune.backbone import pool

        with torch.no_grad():
            states = self._encoder(input_ids=ids, attention_mask=mask)[0]
            vectors = pool(states, mask, self._pooling).unsqueeze(1)
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.int64, device=ids.device)

    def upper(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The vectors as they are."""
        del mask
        return states


def split_of(encoder: nn.Module, settings: TrainingSettings, pooling: Pooling) -> Split | None:
    """Where the encoder is cut for these settings; none where all of it is trained."""
    if settings.trained_layers:
        return LayerSplit(encoder, settings.trained_layers)
    if settings.tuning == "none":
        return StandingEncoder(encoder, pooling)
    return None
