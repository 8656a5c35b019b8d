"""Folders of models tuned on a log: what an engine has to know of their card.

A tuned model's folder holds the merged weights, ``adapter/`` with the low-rank adapter alone, and
the card ``footfall-tuning.json``, whose other fields concern people, not engines.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footfall.errors import EngineMissingError
from footfall.simulator.engines.bundled import model_hash, prepare_model

__all__ = [
    "ADAPTER_FOLDER",
    "TUNING_CARD",
    "ServedFolder",
    "TunedModel",
    "person_hash",
    "served_folder",
]

TUNING_CARD = "footfall-tuning.json"
ADAPTER_FOLDER = "adapter"


class TunedModel(BaseModel):
    """The part of a tuning's card that says how the model is served."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    base_model: str = Field(min_length=1, description="Name or folder of the model tuned.")
    base_hash: str = Field(description="SHA-256 of its weights.")
    rank: int = Field(ge=1, description="Rank of the adapter.")
    serving: Literal["merged", "adapter"] = Field(description="The faster way to serve it.")
    unseen_people: tuple[str, ...] = Field(
        (), description="Hashes of people whose rows only validated."
    )
    until: str | None = Field(None, description="End of what it was tuned on; null is all.")
    part: str | None = Field(None, description="Digest of the training part it was tuned on.")


class ServedFolder(BaseModel):
    """What to load: a folder of weights and, beside it, perhaps an adapter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str = Field(description="Folder of the weights.")
    model_hash: str = Field(description="SHA-256 of all that decides an answer.")
    tuned: bool = Field(False, description="Whether the folder has a tuning's card.")
    adapter: str | None = Field(None, description="Folder of the adapter, if served beside.")
    rank: int = Field(0, ge=0, description="Rank of that adapter.")
    unseen_people: tuple[str, ...] = Field(
        (), description="Hashes of people of the log whose rows it was not tuned on."
    )
    until: str | None = Field(None, description="End of what it was tuned on; null is all.")
    part: str | None = Field(None, description="Digest of the training part it was tuned on.")


def person_hash(user_id: str) -> str:
    """What a card calls a person by: 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:16]


def served_folder(folder: str, tuning: Literal["card", "merged", "adapter"]) -> ServedFolder:
    """Resolve a model's folder: as it is, merged, or as base and adapter.

    Raises
    ------
    EngineMissingError
        If the card is damaged, an adapter is asked for and there is none, or the base model is
        not the one that was tuned.
    """
    card = _read_card(Path(folder))
    if tuning == "adapter" and card is None:
        raise EngineMissingError(
            f"The folder {folder} holds no tuned model: {TUNING_CARD} is missing.",
            hint="Make one with `footfall tune`, or leave `tuning` out.",
        )
    if card is None or (card.serving if tuning == "card" else tuning) == "merged":
        return ServedFolder(
            weights=folder,
            model_hash=model_hash(folder),
            tuned=card is not None,
            **_knowledge(card),
        )
    adapter = Path(folder) / ADAPTER_FOLDER
    if not (adapter / "adapter_config.json").is_file():
        raise EngineMissingError(
            f"The folder {adapter} holds no adapter: adapter_config.json is missing.",
            hint='Set `tuning = "merged"` for the engine, or tune again.',
        )
    base = prepare_model(card.base_model)
    base_hash = model_hash(base)
    if base_hash != card.base_hash:
        raise EngineMissingError(
            f"The model {card.base_model} is not the one that {folder} was tuned from: its "
            "weights have changed.",
            hint='Set `tuning = "merged"` for the engine, or tune again.',
        )
    both = hashlib.sha256(f"{base_hash} {model_hash(adapter)}".encode()).hexdigest()
    return ServedFolder(
        weights=base,
        model_hash=both,
        tuned=True,
        adapter=str(adapter),
        rank=card.rank,
        **_knowledge(card),
    )


def _knowledge(card: TunedModel | None) -> dict[str, Any]:
    return card.model_dump(include={"unseen_people", "until", "part"}) if card else {}


def _read_card(folder: Path) -> TunedModel | None:
    path = folder / TUNING_CARD
    if not path.is_file():
        return None
    try:
        return TunedModel.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise EngineMissingError(
            f"{path} is no card of a tuned model: {str(error).splitlines()[0]}",
            hint="Tune again, or delete the file to serve the folder's weights as they are.",
        ) from error
