"""What to simulate without a language model: the settings of a run, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator

from footfall.simulator.catalog import utc_moment
from footfall.simulator.fast.vectors import EncoderName

__all__ = ["FastSettings", "FastSummary"]


class FastSettings(BaseModel):
    """What to simulate. The same settings and personas are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sessions: int = Field(1000, ge=1, description="Sessions to simulate.")
    until: datetime | None = Field(
        None,
        description="Nothing in the log after this time is used: the end of the training part. "
        "UTC where it names no zone.",
    )
    weeks: float = Field(
        8.0,
        gt=0,
        description="Sessions happen, and rates are fitted, in these weeks before `until`.",
    )
    page_size: int = Field(10, ge=1, le=100, description="Items on a page of results.")
    most_pages: int = Field(12, ge=1, description="A session ends after this many pages.")
    browsing_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of sessions that begin without a query; left open, the log's own.",
    )
    search: str = Field("bm25", description="Search engine: bm25, dense, hybrid or a plug-in.")
    recommender: str = Field("popularity", description="What is shown to those who browse.")
    encoder: EncoderName = Field(
        "words", description="Item vectors: words (no torch needed) or minilm."
    )
    pilot_sessions: int = Field(
        800,
        ge=0,
        description="Sessions tried out beforehand, to meet the log's responses a session.",
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @field_validator("until")
    @classmethod
    def _as_the_log(cls, until: datetime | None) -> datetime | None:
        return utc_moment(until)


@dataclass(frozen=True, slots=True)
class FastSummary:
    """A run as the log holds it.

    Attributes
    ----------
    state
        ``finished``; a run is written whole or not at all.
    seconds
        Of this call; near 0 where the run was in the log already.
    sessions_per_second
        Of the crowd alone, the search engine included and the fitting left out; 0 where the run
        was in the log already.
    """

    run_id: str
    state: str
    sessions: int
    searches: int
    impressions: int
    clicks: int
    purchases: int
    seconds: float
    sessions_per_second: float
