"""Settings of a stress test."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["StressSettings"]


class StressSettings(BaseModel):
    """How many come, for how long, and what they are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: datetime | None = Field(
        None, description="Nothing of the log after this time is known to anybody."
    )
    sessions: int = Field(
        2000, ge=1, description="Visits of shoppers in steady traffic; scenarios may add more."
    )
    days: int = Field(7, ge=1, le=3650, description="Simulated days that they are spread over.")
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")
    page_size: int = Field(10, ge=1, le=200, description="Items on a page.")
    retrain_every_days: int | None = Field(
        None,
        ge=1,
        description="Target and baseline learn anew after so many days on what they caused, in "
        "every scenario; else as the scenario says.",
    )
    browsing_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of visits that look around without a query; left open, the log's own. "
        "Set it to 1 for a recommender that is never asked with one.",
    )
    crowd: Literal["fast", "llm"] = Field(
        "fast", description="Preferences from the log's own embeddings, or from a language model."
    )
    concurrency: int = Field(48, ge=1, description="Shoppers at the same time (crowd llm).")
    resamples: int = Field(500, ge=20, description="Bootstrap resamples of shoppers.")
