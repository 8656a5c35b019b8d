"""What to generate: the settings of a run, and what a run hands back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from footfall.simulator.catalog import utc_moment

__all__ = ["GenerationSettings", "GenerationSummary"]


class GenerationSettings(BaseModel):
    """What to generate. The same settings and personas are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: str = Field(
        "markov", min_length=1, description="markov, vae, gan, a plug-in or package.module:object."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="The generator's own settings, by name."
    )
    sessions: int = Field(200, ge=1, description="Sessions to generate.")
    until: datetime | None = Field(
        None,
        description="Nothing in the log after this time is used: the end of the training part. "
        "UTC where it names no zone.",
    )
    weeks: float = Field(8.0, gt=0, description="Sessions happen in these weeks before `until`.")
    shoppers: int = Field(
        200, ge=1, description="Personas fitted on the log where no persona file is given."
    )
    cold_items: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Chance that a shown item is replaced by one of its category that nobody "
        "responded to before `until`; the response is drawn for the category.",
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @field_validator("until")
    @classmethod
    def _as_the_log(cls, until: datetime | None) -> datetime | None:
        return utc_moment(until)


@dataclass(frozen=True, slots=True)
class GenerationSummary:
    """A run of a generator as the log holds it.

    Attributes
    ----------
    state:
        ``finished`` or ``interrupted``.
    seconds:
        Of this call; near 0 where the run was in the log already.
    """

    run_id: str
    state: str
    sessions: int
    searches: int
    impressions: int
    clicks: int
    purchases: int
    seconds: float
