"""Settings of the fusion of real and synthetic examples."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from footfall.finetune.confidence import ConfidenceBasis
from footfall.finetune.discriminator import DensityInputs
from footfall.finetune.negatives import Beside

__all__ = ["FusionSettings", "Strategy"]

Strategy = Literal["by_time", "by_feature", "by_behaviour", "by_diversity", "all", "none"]


class FusionSettings(BaseModel):
    """How synthetic examples are chosen and weighed beside real ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Strategy = Field(
        "all",
        description="Rule that chooses or weighs synthetic rows; all applies the four, none none.",
    )
    alpha: float = Field(
        0.5,
        ge=0.0,
        le=10.0,
        description="Weight of a synthetic row beside a real row of weight 1; 0 drops them all.",
    )
    max_share: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Largest share of synthetic rows among all rows; 1 sets no limit.",
    )
    beside: Beside = Field(
        "page",
        description="What stands beside a simulated response: what the simulated page showed, or "
        "other items drawn by popularity, by likeness to the query, mixed, at random, or balanced: "
        "as often as the simulated responses take them.",
    )
    drop_duplicates: bool = Field(
        True, description="Whether near-duplicate synthetic rows are merged or dropped."
    )
    duplicate_similarity: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Two rows about an item ask the same where this share of their character pairs "
        "is equal (Jaccard); 1 merges equal normal forms only.",
    )
    half_life_days: float = Field(
        90.0, gt=0.0, description="Age in days at which a real row weighs half (by_time)."
    )
    max_feature_weight: float = Field(
        5.0, ge=1.0, description="Largest density ratio; its inverse is the smallest (by_feature)."
    )
    density: DensityInputs = Field(
        "numbers",
        description="What tells real from synthetic rows (by_feature): the numeric features, the "
        "words of query and item given the item (texts), or all.",
    )
    confidence: ConfidenceBasis | None = Field(
        None,
        description="Weigh synthetic rows by how sure their labels are: by agreement with a model "
        "of the real rows, by the simulator's score, or both; none by default.",
    )
    max_confidence_weight: float = Field(
        3.0,
        ge=1.0,
        description="Largest confidence weight before scaling; its inverse is the smallest.",
    )
    encoder: str | None = Field(
        None,
        description="Text encoder for density and confidence (all-minilm-l6-v2 or a folder); "
        "without one, hashed n-grams of characters.",
    )
    behaviour_low: float = Field(
        0.01, ge=0.0, lt=0.5, description="Lower quantile of real sessions kept (by_behaviour)."
    )
    behaviour_high: float = Field(
        0.99, gt=0.5, le=1.0, description="Upper quantile of real sessions kept (by_behaviour)."
    )
    keep_share: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="Share of synthetic slates kept, newest words first (by_diversity).",
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @model_validator(mode="after")
    def _check_range(self) -> FusionSettings:
        if self.behaviour_low >= self.behaviour_high:
            raise ValueError("behaviour_low must be below behaviour_high")
        return self

    def uses(self, strategy: Strategy) -> bool:
        """Whether a strategy is part of this fusion."""
        return self.strategy in {strategy, "all"}
