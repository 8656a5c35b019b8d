"""How a real log is parted into training, validation and test."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from footfall.finetune.examples import Label
from footfall.simulator.catalog import utc_moment

__all__ = ["PartSettings"]


class PartSettings(BaseModel):
    """Which rows of the real log are learned from, chosen with, and tested on.

    Held-out items and users have no row in the training part at all, neither as a response nor as
    something shown in vain; in the test part they appear as both. Times without zone are UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["time", "person"] = Field(
        "time", description="Part by time, or by person where the log has no times."
    )
    train_from: datetime | None = Field(
        None, description="By time: earlier searches only make histories."
    )
    train_until: datetime | None = Field(None, description="By time: end of the training part.")
    validation_until: datetime | None = Field(
        None, description="By time: end of the validation part."
    )
    test_until: datetime | None = Field(None, description="By time: end of the test part.")
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="By person: share of the people in the validation part."
    )
    test_share: float = Field(
        0.2, gt=0, lt=1, description="By person: share of the people in the test part."
    )
    label: Label = Field("purchased", description="Response to learn: purchased or clicked.")
    cold_items: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the items with a response that are held out of training and "
        "validation, drawn by seed: the test part's cold items.",
    )
    cold_validation_items: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Further share held out of training and test, so that validation has cold "
        "items of its own.",
    )
    cold_categories: tuple[str, ...] = Field(
        (), description="Category paths whose items are held out of training and validation."
    )
    cold_validation_categories: tuple[str, ...] = Field(
        (), description="Category paths whose items are held out of training and test."
    )
    cold_are: Literal["unanswered", "new"] = Field(
        "unanswered",
        description="Items that count as cold in validation and test: all without a response in "
        "the training part, or of these the ones that came into the shop (`first_seen`) after it.",
    )
    cold_users: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the people with a response in the test part whose history is held "
        "out of training and validation.",
    )
    cold_validation_users: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Further share, of the people with a response in the validation part, held out "
        "of training and test, so that validation has strangers of its own.",
    )
    labelled: int | None = Field(
        None, ge=2, description="At most so many training impressions are kept, in whole slates."
    )
    train_slates: int | None = Field(None, ge=1, description="Most searches trained on.")
    validation_slates: int | None = Field(None, ge=1, description="Most searches for validation.")
    test_slates: int | None = Field(None, ge=1, description="Most searches tested on.")
    seed: int = Field(0, ge=0, description="Seed of what is held out and of what is read.")

    @field_validator("train_from", "train_until", "validation_until", "test_until")
    @classmethod
    def _as_the_log(cls, moment: datetime | None) -> datetime | None:
        return utc_moment(moment)

    @model_validator(mode="after")
    def _check(self) -> PartSettings:
        moments = [self.train_from, self.train_until, self.validation_until, self.test_until]
        known = [moment for moment in moments if moment is not None]
        if self.by == "time":
            if self.train_until is None or self.validation_until is None:
                raise ValueError("parting by time needs train_until and validation_until")
            if known != sorted(known) or len(set(known)) != len(known):
                raise ValueError(
                    "train_from, train_until, validation_until and test_until must be in time order"
                )
        elif known:
            raise ValueError("parting by person takes no times")
        elif self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nobody to learn from")
        if self.cold_items + self.cold_validation_items >= 1:
            raise ValueError("cold_items and cold_validation_items leave nothing to learn from")
        if self.cold_users + self.cold_validation_users >= 1:
            raise ValueError("cold_users and cold_validation_users leave nobody to learn from")
        if set(self.cold_categories) & set(self.cold_validation_categories):
            raise ValueError("a category is cold in the test part or in validation, not in both")
        return self

    @model_validator(mode="after")
    def _check_new(self) -> PartSettings:
        held = (
            self.cold_items,
            self.cold_validation_items,
            self.cold_categories,
            self.cold_validation_categories,
        )
        if self.cold_are == "new" and self.by == "person":
            raise ValueError("cold_are = 'new' needs times: part by time")
        if self.cold_are == "new" and any(held):
            raise ValueError("cold_are = 'new' cannot be joined with items that are held out")
        return self
