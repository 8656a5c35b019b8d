"""Settings of the query classifier."""

from __future__ import annotations

from pydantic import Field

from footfall.finetune.training_settings import TrainingSettings

__all__ = ["QuerySettings"]


class QuerySettings(TrainingSettings):
    """Everything that decides what a training of the query classifier gives, apart from data."""

    depth: int = Field(
        1, ge=1, le=20, description="Steps of the category path that are told; 1 is the top level."
    )
    smallest_class: int = Field(
        10,
        ge=1,
        description="Responses that a category needs; a rarer one counts as its parent, and is "
        "left out where the parent is too rare as well.",
    )
    epochs: float = Field(3.0, gt=0.0, description="Passes over the distinct (query, category).")
    max_tokens: int = Field(
        32, ge=8, le=512, description="Longest query in tokens; longer ones are cut."
    )
    validation_share: float = Field(
        0.2,
        gt=0.0,
        lt=1.0,
        description="Share of the responses, the latest, that stops the training and judges the "
        "classifier.",
    )
