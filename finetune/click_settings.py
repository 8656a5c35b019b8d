"""Settings of the click-through classifier."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from footfall.finetune.categories import CategoryName
from footfall.finetune.example_table import FEATURE_NAMES
from footfall.finetune.training_settings import TrainingSettings

__all__ = ["ClickSettings"]


class ClickSettings(TrainingSettings):
    """Everything that decides what a training run gives, apart from the data."""

    architecture: Literal["two_towers", "cross_encoder"] = Field(
        "two_towers",
        description="two_towers: shopper and query beside the item, each text read once; "
        "cross_encoder: all three in one sequence, read for every row.",
    )
    features: tuple[str, ...] = Field(
        FEATURE_NAMES, description="Numeric columns of the examples that the head reads."
    )
    categories: tuple[CategoryName, ...] = Field(
        ("habit", "query_parts"),
        description="Categorical features: the item's top category, its whole category path, its "
        "brand; each field of the shopper's demographics; habit, the value of the one field that "
        "is named like the item's category; query_parts, the parts of a query of several between "
        "commas.",
    )
    smallest_category: int = Field(
        10,
        ge=1,
        description="Training rows (of a query's parts, slates) that a value of a categorical "
        "feature needs; rarer ones count as unknown.",
    )
    head_hidden: int = Field(
        0, ge=0, le=1024, description="Width of a hidden layer over the numbers; 0 is linear."
    )
    warm_start_rows: int = Field(
        2000,
        ge=0,
        description="Training rows on which scale, bias, numbers and categories are fitted before "
        "training; "
        "0 starts at the zero-shot ranking.",
    )
    loss: Literal["cross_entropy", "mse"] = Field(
        "cross_entropy",
        description="Cross-entropy, or the squared error of the probability (Brier score).",
    )
    length_grouped: bool = Field(
        False, description="Slates of like length share a training step, so that less is padded."
    )
    calibration: Literal["none", "platt", "isotonic"] = Field(
        "none",
        description="Map of the log-odds fitted on the validation rows after training; needs them.",
    )

    @field_validator("features", "categories")
    @classmethod
    def _known_once(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names a column twice")
        unknown = set(names) - set(FEATURE_NAMES) if info.field_name == "features" else set()
        if unknown:
            raise ValueError(
                f"no numeric column {', '.join(sorted(unknown))}; there are "
                f"{', '.join(FEATURE_NAMES)}"
            )
        return names
