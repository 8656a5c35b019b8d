"""What to simulate: the settings of a run, and what a run hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from footfall.simulator.behaviour import Behaviour
from footfall.simulator.catalog import utc_moment

__all__ = ["SimulationSettings", "SimulationSummary"]

#: Settings that change how a run is done but not what comes out of it.
_NOT_PART_OF_THE_RUN = {"concurrency", "sessions_per_commit"}


class SimulationSettings(BaseModel):
    """What to simulate. The same settings, personas and model are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sessions: int = Field(200, ge=1, description="Sessions to simulate.")
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
    most_pages: int = Field(
        12, ge=1, description="A session ends after this many pages, whatever the fitted rates say."
    )
    browsing_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of sessions that begin without a query; left open, the log's own.",
    )
    search: str = Field("bm25", description="Search engine: bm25, dense, hybrid or a plug-in.")
    recommender: str = Field("popularity", description="What is shown to those who browse.")
    concurrency: int = Field(48, ge=1, description="Shoppers in the shop at the same time.")
    scoring: Literal["auto", "item", "slate", "query"] = Field(
        "auto",
        description="How the model weighs a page: `item` asks about every item, `slate` about all "
        "in one pass, `query` how likely the query is typed for each item; `auto` takes the one "
        "that tells real responses best, and of equal ones the slate.",
    )
    query_examples: int | None = Field(
        None,
        ge=0,
        description="Queries of the log shown to the model as patterns; left open, four, and none "
        "for a model tuned on the log.",
    )
    scored_slates: int = Field(
        40, ge=0, description="Real slates that the engine scores to fit the click curve."
    )
    pilot_sessions: int = Field(
        24,
        ge=0,
        description="Sessions tried out beforehand, to meet the log's responses a session and to "
        "say what the run will cost; none of them enters the log.",
    )
    behaviour: Literal["fit", "prior"] = Field(
        "fit", description="Fit the rates on the real log, or use the documented priors."
    )
    largest_unusable_share: float = Field(
        0.5, gt=0, le=1, description="Stop when more of the engine's answers are unusable."
    )
    sessions_per_commit: int = Field(
        128, ge=1, description="Sessions written in one transaction at most."
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @field_validator("until")
    @classmethod
    def _as_the_log(cls, until: datetime | None) -> datetime | None:
        return utc_moment(until)

    def identity(self) -> str:
        """JSON of everything that decides what comes out of a run."""
        return self.model_dump_json(exclude=_NOT_PART_OF_THE_RUN)


@dataclass(slots=True)
class SimulationSummary:
    """What a run did. Token counts are of this call only, not of resumed parts."""

    run_id: str
    state: str
    sessions: int
    already_done: int
    searches: int = 0
    impressions: int = 0
    clicks: int = 0
    purchases: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    answers: int = 0
    unusable_answers: int = 0
    shared_answers: int = 0
    vanished_items: int = 0
    seconds: float = 0.0
    behaviour: Behaviour = field(default_factory=Behaviour)
