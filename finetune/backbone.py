"""Text models of transformers as backbones of the classifier: encoders and decoders.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from footfall.errors import EngineMissingError
from footfall.models import BUNDLED_LANGUAGE_MODEL, encoder_folder
from footfall.simulator.engines.bundled import prepare_model

if TYPE_CHECKING:
    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["Pooling", "load_backbone", "load_tokenizer", "pool", "pooling_of"]

Pooling = Literal["mean", "last", "first"]

#: Keys of the pooling file that sentence-transformers writes beside a model.
_POOLING_KEYS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_cls_token": "first",
}


def load_tokenizer(encoder: str) -> Any:
    """The tokeniser of a text model.

    Raises
    ------
    EngineMissingError
        If it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(_folder_of(encoder))
    except (OSError, ValueError) as error:
        raise _missing(encoder, error) from error


def load_backbone(settings: TrainingSettings, folder: str | Path | None = None) -> nn.Module:
    """The text model in float32, its own weights or, with ``folder``, those saved there.

    Raises
    ------
    EngineMissingError
        If it cannot be loaded.
    """
    from transformers import AutoConfig, AutoModel

    source = str(folder or _folder_of(settings.encoder))
    try:
        config = AutoConfig.from_pretrained(source)
        _set_dropout(config, settings.dropout if settings.tuning == "full" else 0.0)
        # Nothing is generated: a decoder's cache of keys and values would be work for nothing.
        config.use_cache = False
        with quietly():
            encoder = AutoModel.from_pretrained(source, config=config, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise _missing(settings.encoder, error) from error
    if getattr(encoder, "pooler", None) is not None:
        # Vectors are pooled here, so the model's own pooling layer would get no gradients.
        encoder.pooler.requires_grad_(False)
    return encoder


def _folder_of(encoder: str) -> str:
    """Folder of a bundled text encoder or language model, or the name as it is."""
    if encoder.lower() == BUNDLED_LANGUAGE_MODEL:
        return prepare_model(encoder)
    return encoder_folder(encoder)


def _missing(encoder: str, error: Exception) -> EngineMissingError:
    return EngineMissingError(
        f"The text encoder {encoder!r} cannot be loaded: {error}",
        hint="Give the name of the bundled encoder or a folder with a model.",
    )


def _set_dropout(config: Any, rate: float) -> None:
    """Set the dropout of hidden states, under whichever name an architecture has for it.

    Dropout of attention would forbid the fast kernels, so it is off; adapters have their own.
    """
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0 if "att" in name else rate)


def pooling_of(settings: TrainingSettings) -> Pooling:
    """How a text's hidden states become one vector.

    ``auto`` is what sentence-transformers wrote beside the model, else the mean.
    """
    if settings.pooling != "auto":
        return settings.pooling
    file = Path(_folder_of(settings.encoder)) / "1_Pooling" / "config.json"
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        for key, pooling in _POOLING_KEYS.items():
            if found.get(key):
                return pooling
    return "mean"


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector a text, shape (texts, width), from states of shape (texts, tokens, width).

    Texts are padded on the right: ``first`` is place 0, ``last`` the last that the mask keeps.
    """
    if pooling == "first":
        return states[:, 0]
    if pooling == "last":
        places = (mask.sum(1) - 1).clamp(min=0)
        return states[torch.arange(len(states), device=states.device), places]
    shares = mask.unsqueeze(-1).to(states.dtype)
    return (states * shares).sum(1) / shares.sum(1).clamp(min=1.0)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the loading bars of transformers, which would cut through ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
