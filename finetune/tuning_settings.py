"""Settings of tuning the simulator's language model on a real log."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from footfall.models import BUNDLED_LANGUAGE_MODEL

__all__ = ["TuningSettings"]


class TuningSettings(BaseModel):
    """Everything that decides what a tuning gives, apart from the log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        BUNDLED_LANGUAGE_MODEL,
        min_length=1,
        description="Language model to tune: the bundled one's name, a folder, or a hub name.",
    )
    response: Literal["auto", "clicked", "purchased"] = Field(
        "auto",
        description="Response that the choice task learns; `auto` is clicks where the log has any.",
    )
    queries: int = Field(
        4000, ge=0, description="Most examples of writing a query; 0 leaves the task out."
    )
    choices: int = Field(
        1500, ge=0, description="Most examples of choosing among items; 0 leaves the task out."
    )
    without_need: float = Field(
        0.25,
        ge=0.0,
        le=1.0,
        description="Share of the query examples that do not say what is looked for, so that "
        "queries are also learned from shopper and history alone.",
    )
    page_size: int = Field(
        10, ge=2, le=20, description="Items of a slate whose candidates are reconstructed."
    )
    none_share: float = Field(
        0.15,
        ge=0.0,
        lt=1.0,
        description="Share of reconstructed slates that lack the item responded to.",
    )
    largest_none_share: float = Field(
        0.5,
        ge=0.0,
        lt=1.0,
        description="Most slates without a response among the choices, where the log knows such.",
    )
    max_tokens: int = Field(
        320, ge=64, le=8192, description="Longest prompt in tokens; item texts are cut first."
    )
    validation_share: float = Field(
        0.1,
        gt=0.0,
        le=0.5,
        description="Share of the training part, its end, that losses are watched on; of the "
        "users where the log has no times.",
    )
    validation_examples: int = Field(
        200, ge=1, description="Most validation examples of each task."
    )
    rank: int = Field(16, ge=1, le=512, description="Rank of the low-rank adapter.")
    alpha: float = Field(32.0, gt=0.0, description="The adapter's output is scaled by alpha/rank.")
    dropout: float = Field(0.05, ge=0.0, lt=1.0, description="Dropout before the adapter.")
    target: str = Field(
        "all-linear",
        min_length=1,
        description="Adapted layers: all-linear, or a regular expression over the layers' names.",
    )
    learning_rate: float = Field(1e-3, gt=0.0, description="Peak learning rate of AdamW.")
    warmup_share: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of the steps in which the rate rises from zero."
    )
    weight_decay: float = Field(0.0, ge=0.0, description="Weight decay of the adapter.")
    epochs: float = Field(1.0, gt=0.0, description="Passes over the examples.")
    batch_tokens: int = Field(
        1024, ge=64, description="Tokens of a training step; examples of like length go together."
    )
    evaluations: int = Field(
        4, ge=1, description="How often the validation losses are taken and a checkpoint written."
    )
    max_minutes: float | None = Field(
        None,
        gt=0.0,
        description="Longest training in minutes: as many steps are planned as fit, and what is "
        "learned by then is kept. How many fit depends on the machine.",
    )
    serving: Literal["auto", "merged", "adapter"] = Field(
        "auto",
        description="How vLLM serves the result: with the adapter merged into the weights or "
        "beside them; `auto` measures both and takes the faster one.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of training; `auto` is the one that this machine computes "
        "fastest.",
    )
    seed: int = Field(0, ge=0, description="Seed of examples, adapter, dropout and order.")
