"""What aimed visits are to be: settings of a run and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from footfall.simulator.catalog import utc_moment

__all__ = ["AimedSettings", "AimedSummary"]


class AimedSettings(BaseModel):
    """Visits in which a shopper meets an item, one of both being named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aim: Literal["items", "people"] = Field(
        "items",
        description="`items`: every item is met by those who would come for it. `people`: every "
        "shopper comes for items that people like them want, and is remembered by demographics "
        "alone.",
    )
    visits_per_item: int = Field(8, ge=1, description="Visits aimed at each item.")
    visits_per_person: int = Field(
        8, ge=1, description="With `aim = people`: visits of each shopper."
    )
    until: datetime | None = Field(
        None, description="Nothing in the log from this time on is used. UTC without a zone."
    )
    queries: Literal["auto", "typed", "logged", "none"] = Field(
        "auto",
        description="`typed`: the model types what leads to the item. `logged`: a real query is "
        "taken over, for logs whose query is the situation of an offer. `none`: the shopper "
        "browses. `auto`: typed where the log has queries, else none.",
    )
    shoppers: Literal["interest", "model"] = Field(
        "interest",
        description="Who meets the item (with `aim = people`: which item is met): drawn by "
        "interest and activity, or of some such the one that the model finds the shopper most "
        "drawn to.",
    )
    shoppers_asked: int = Field(
        4,
        ge=2,
        description="With `shoppers = model`: people, or items, asked about for each visit.",
    )
    response: Literal["need", "model", "appeal"] = Field(
        "need",
        description="`need`: the shopper came for the item and takes it. `model`: the item stands "
        "alone and is taken with the chance that the model's preference for it is worth on real "
        "rows of the log. `appeal`: likewise, by the log's own response model with the preference "
        "beside it, each for what it is worth on people left out.",
    )
    label: Literal["purchased", "clicked"] = Field(
        "purchased", description="The response that is recorded."
    )
    scored_rows: int = Field(
        160, ge=20, description="Unless `response = need`: real rows that weigh the preference."
    )
    page_size: int = Field(10, ge=1, le=100, description="Items on the page, the aimed one among.")
    search: str = Field("bm25", description="Search engine that fills the rest of the page.")
    recommender: str = Field("popularity", description="What fills the page of those who browse.")
    query_examples: int | None = Field(
        None, ge=0, description="As in [simulation]: queries of the log shown as patterns."
    )
    temperature: float = Field(0.8, gt=0, le=2, description="Of the typed queries.")
    visits_per_commit: int = Field(256, ge=1, description="Visits written in one transaction.")
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @field_validator("until")
    @classmethod
    def _as_the_log(cls, until: datetime | None) -> datetime | None:
        return utc_moment(until)


@dataclass(frozen=True, slots=True)
class AimedSummary:
    """What a run of aimed visits did; tokens and seconds are of this call only.

    Tokens are those of all answers: queries, preferences, and what weighs these on real rows.

    ``without_query`` counts visits for which the model found no usable words: they are left out.
    ``weight`` is what a standard deviation of the model's preference is worth in log-odds on real
    rows, and ``appeal_weight`` what the log-odds of the log's own response model are, where the
    responses were drawn by them.
    """

    run_id: str
    state: str
    visits: int
    already_done: int
    without_query: int
    responses: int
    prompt_tokens: int
    output_tokens: int
    seconds: float
    weight: float | None = None
    appeal_weight: float | None = None
