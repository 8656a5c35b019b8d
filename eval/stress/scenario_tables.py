"""The tables of a scenario's file: one for each kind of change, and what has to hold."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from footfall.eval.stress.measure_list import MEASURES

__all__ = [
    "AttackChange",
    "CatalogueChange",
    "DemandChange",
    "FeedbackLoop",
    "PeopleChange",
    "PriceChange",
    "QueryChange",
    "StockChange",
    "TextChange",
    "Threshold",
    "TrafficChange",
]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Choice = Literal["any", "popular", "unpopular"]
_CHOICE = (
    "any: all items alike. popular, unpopular: drawn from twice as many of the most, or least, "
    "popular ones."
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrafficChange(_Strict):
    """One day with more visits than the others."""

    factor: float = Field(10.0, ge=1.0, le=1000.0, description="Visits of that day, times this.")
    at: Share = Field(0.5, description="Which day, as a share of the run; 0.5 is the middle.")


class PriceChange(_Strict):
    """Other prices for some items, from the first day to the last, for shoppers and target."""

    share: Share = Field(0.2, description="Share of the items with another price.")
    factor: float = Field(0.7, gt=0.0, description="Their price, times this.")
    items: Choice = Field("any", description=_CHOICE)


class CatalogueChange(_Strict):
    """Items that the target knows nothing about but what they are called and cost."""

    new_share: Share = Field(
        1 / 3,
        description="Share of the items without history: nothing that happened to them is in what "
        "the target learns from, nor in what shoppers took before.",
    )


class DemandChange(_Strict):
    """What shoppers come for, by top-level category."""

    kind: Literal["shift", "flood", "season"] = Field(
        description="shift: some categories are needed more from a day on. flood: they take most "
        "of what is needed. season: every category rises and falls smoothly."
    )
    categories: tuple[str, ...] = Field(
        (), description="The categories of a shift or flood; drawn where empty."
    )
    count: int = Field(1, ge=1, description="How many are drawn, from those with 1 % of demand.")
    at: Share = Field(0.0, description="From which day on, as a share of the run.")
    factor: float = Field(3.0, gt=0.0, description="shift: how much more often they are needed.")
    share: float = Field(0.8, gt=0.0, lt=1.0, description="flood: their share of all needs.")
    months: float = Field(12.0, gt=0.0, description="season: months that pass during the run.")
    swing: float = Field(
        0.7,
        ge=0.0,
        le=3.0,
        description="season, where the log shows none: largest change of the logarithm of demand.",
    )


class PeopleChange(_Strict):
    """Other habits for a share of the shoppers."""

    share: Share = Field(1.0, description="Share of the shoppers who change.")
    price_sensitivity: Share | None = Field(
        None, description="What theirs becomes; those who are more so already stay."
    )
    patience_factor: float = Field(1.0, gt=0.0, description="Their patience, times this.")
    locale: str | None = Field(
        None,
        pattern=r"^[a-z]{2,3}_[A-Z]{2}$",
        description="Their locale. It is told to the target, and a language model writes their "
        "queries in its language; the crowd without one does not.",
    )


class QueryChange(_Strict):
    """Queries typed otherwise than they were meant. Browsing is left as it is."""

    slips: Share = Field(0.0, description="Share of the queries with a slip of typing.")
    share: Share = Field(0.0, description="Share of the queries written in another way.")
    written: tuple[
        Literal["no accents", "full width", "other letters", "foreign words", "word list"], ...
    ] = Field(
        (),
        description="The ways, drawn alike of those that change the query. no accents: é is e. "
        "full width: forms of East Asian keyboards. other letters: Latin in Cyrillic letters, and "
        "the other way round. foreign words: a word becomes one that the catalogue has in another "
        "script. word list: words become those of `words`.",
    )
    words: dict[str, str] = Field(
        default_factory=dict, description="A word of queries, and what is typed instead."
    )
    instead: tuple[str, ...] = Field(
        (), description="Whole queries that are typed instead; of share `share`, like a way."
    )

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if "word list" in self.written and not self.words:
            raise ValueError("the way 'word list' needs `words`")
        if self.share and not self.written and not self.instead:
            raise ValueError("`share` needs `written` or `instead`")
        return self


class StockChange(_Strict):
    """Items that cannot be bought."""

    share: Share = Field(0.1, description="Share of the items that are out of stock.")
    items: Choice = Field("popular", description=_CHOICE)
    told: bool = Field(True, description="Whether the target is told which.")


class AttackChange(_Strict):
    """Visits that push chosen items; measures do not count them, only what they lead to."""

    kind: Literal["click fraud", "shilling"] = Field(
        description="click fraud: looks for the items and clicks them. shilling: buys them, too."
    )
    items: int = Field(20, ge=1, description="How many items are pushed.")
    choose: Choice = Field("unpopular", description=_CHOICE)
    visits: float = Field(
        0.05, ge=0.0, le=10.0, description="Attacking visits for each visit of a shopper."
    )
    before: Share = Field(
        0.0,
        description="Share of attackers' events in what the target first learns from; each goes "
        "to one of the items.",
    )


class TextChange(_Strict):
    """Items whose texts are written for machines."""

    items: int = Field(20, ge=1, description="How many items have such a text.")
    choose: Choice = Field("unpopular", description=_CHOICE)
    orders: bool = Field(
        True, description="Whether orders to a language model are added, in several languages."
    )
    phrases: tuple[str, ...] = Field((), description="Orders in place of the packaged ones.")
    words: int = Field(
        0, ge=0, le=200, description="How many of the catalogue's most frequent words are added."
    )


class FeedbackLoop(_Strict):
    """Whether the target learns from what it caused."""

    retrain_every_days: int | None = Field(
        None, ge=1, description="It learns anew after so many simulated days; never where left out."
    )


class Threshold(_Strict):
    """What has to hold, for the command to succeed."""

    measure: str = Field(description="Name of a measure.")
    compared_with: Literal["value", "baseline", "steady"] = Field(
        "value",
        description="value: the measure itself. baseline: beside the baseline in the same run. "
        "steady: beside the same target under steady traffic.",
    )
    by: Literal["difference", "ratio"] = Field(
        "ratio", description="How it is compared with the baseline, or with steady traffic."
    )
    at_least: float | None = Field(
        None, allow_inf_nan=False, description="Lowest value that passes."
    )
    at_most: float | None = Field(
        None, allow_inf_nan=False, description="Highest value that passes."
    )
    certain: bool = Field(
        False,
        description="Whether the whole 95 % interval has to be on one side: else it cannot be "
        "told. Without, the measured value alone decides.",
    )
    reason: str = Field(min_length=1, description="Why this much, for whoever sees it fail.")

    @field_validator("measure")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in MEASURES:
            raise ValueError(f"there is no measure {name!r}; there are {', '.join(MEASURES)}")
        return name

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if (
            self.compared_with != "value"
            and self.by == "ratio"
            and MEASURES[self.measure].bounds[0] < 0
        ):
            raise ValueError(f"{self.measure!r} may be below 0 and has no ratio: by = 'difference'")
        if self.at_least is None and self.at_most is None:
            raise ValueError("a threshold needs at_least or at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is above at_most: nothing can pass")
        return self
