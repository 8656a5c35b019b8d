"""Settings of augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["AUGMENTATIONS", "HISTORY_KINDS", "QUERY_KINDS", "AugmentationSettings"]

#: Kinds that change the shopper's history.
HISTORY_KINDS: Final = ("crop", "mask", "reorder", "rotate")
#: Kinds that write the query in other words.
QUERY_KINDS: Final = ("paraphrase", "back-translation")
AUGMENTATIONS: Final = (*HISTORY_KINDS, *QUERY_KINDS)


class AugmentationSettings(BaseModel):
    """How far an augmented row may be from its original."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_share: float = Field(
        0.6, gt=0.0, lt=1.0, description="Share of the history that is left, in one piece (crop)."
    )
    mask_share: float = Field(
        0.3, gt=0.0, lt=1.0, description="Chance that a text of the history is left out (mask)."
    )
    reorder_share: float = Field(
        0.6, gt=0.0, le=1.0, description="Share of the history, in one piece, that is shuffled."
    )
    least_history: int = Field(
        2, ge=2, description="Shoppers with a shorter history are not augmented."
    )
    language: str | None = Field(
        None,
        pattern="^[a-z]{2,3}$",
        description="Language of the queries, such as en or zh; by their script where left open.",
    )
    pivot: str | None = Field(
        None,
        pattern="^[a-z]{2,3}$",
        description="Language that back-translation goes through; zh for English, else en.",
    )
    variants: int = Field(
        3, ge=1, le=20, description="Most rewritings of one query that are asked for."
    )
    tries: int = Field(2, ge=1, le=10, description="How often a refused rewriting is asked for.")
    temperature: float = Field(
        0.8, ge=0.0, description="Of the engine's words; higher ones are more varied and wilder."
    )
    max_tokens: int = Field(24, ge=1, description="Longest rewriting, in the model's tokens.")
    forth_model: Path | None = Field(
        None,
        description="Folder of a translation model from the log's language to the pivot; with "
        "back_model it takes the engine's place in back-translation.",
    )
    back_model: Path | None = Field(
        None, description="Folder of a translation model from the pivot to the log's language."
    )

    @model_validator(mode="after")
    def _both_models(self) -> AugmentationSettings:
        if (self.forth_model is None) != (self.back_model is None):
            raise ValueError("forth_model and back_model belong together")
        if self.pivot is not None and self.pivot == self.language:
            raise ValueError("pivot and language must differ")
        return self
