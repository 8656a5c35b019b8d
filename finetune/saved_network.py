"""The network of a classifier in its folder: as it was trained, or as an export for serving.

Imports torch and transformers; load it only where a model is saved or loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from footfall.finetune.backbone import load_tokenizer, pooling_of
from footfall.finetune.model_files import save_encoder, save_head, saved_settings, write_json
from footfall.finetune.serving import load_for_serving, save_for_serving

if TYPE_CHECKING:
    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["TRAINED", "form_of", "load_parts", "save_network"]

#: The form of a network that is no export; the others are ``merged`` and ``int8``.
TRAINED = "trained"


def form_of(card: dict[str, Any]) -> str:
    """In which form the model of a card lies in its folder."""
    return str((card.get("export") or {}).get("kind", TRAINED))


def save_network(
    network: Any, tokenizer: Any, settings: TrainingSettings, folder: Path, form: str
) -> None:
    """Write encoder (or adapter), head and settings.

    An export needs nothing of the encoder that it was made from: its words and the way of pooling
    are written, too.
    """
    if form == TRAINED:
        save_encoder(network, folder)
    else:
        save_for_serving(network.encoder, folder, form)
        tokenizer.save_pretrained(str(folder / "encoder"))
        settings = settings.model_copy(update={"pooling": pooling_of(settings)})
    save_head(network, folder)
    write_json(folder / "settings.json", saved_settings(settings))


def load_parts(settings: TrainingSettings, folder: Path, form: str) -> tuple[Any, Any]:
    """The tokenizer, and of an export the encoder; None where adapters are to be read.

    Raises
    ------
    InputError
        If weights of an export are missing or damaged.
    """
    own = folder / "encoder"
    own_words = form != TRAINED and (own / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(own) if own_words else settings.encoder)
    return tokenizer, None if form == TRAINED else load_for_serving(settings, folder, form)
