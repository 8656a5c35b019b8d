"""Settings of ``footfall coldstart``."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from footfall.finetune import ClickSettings, FusionSettings, TuningSettings
from footfall.finetune.examples import Label
from footfall.finetune.negatives import Beside
from footfall.finetune.part_settings import PartSettings
from footfall.recipe import Population, TrainingSeeds, refuse_unheard
from footfall.simulator import EngineSettings
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.catalog import utc_moment

__all__ = ["ColdStart", "ColdStartSettings"]


class ColdStart(BaseModel):
    """What is to be filled, and how much is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: datetime | None = Field(
        None, description="End of the training part; the real rows after it are the validation."
    )
    validation_until: datetime | None = Field(
        None, description="End of the validation part; the log's end when left open."
    )
    label: Label = Field("purchased", description="Response to learn: purchased or clicked.")
    of: Literal["items", "users"] = Field(
        "items", description="What has no history: items, or people."
    )
    items: tuple[str, ...] = Field(
        (), description="Items to aim at; when left open, those with few responses."
    )
    users: tuple[str, ...] = Field(
        (), description="People to aim at; when left open, those with few responses."
    )
    most_responses: int = Field(
        0, ge=0, description="Who or what has at most so many responses before `until` has few."
    )
    most_aimed: int = Field(
        200,
        ge=1,
        description="Most items or people aimed at; of those with few responses, those that the "
        "validation part shows or meets most.",
    )
    amounts: tuple[int, ...] = Field(
        (2, 4, 8, 16),
        min_length=1,
        description="Visits an item or a person that are tried in the rehearsal.",
    )
    most_rehearsed: int = Field(
        100,
        ge=1,
        description="Most held-out items or people that the rehearsal aims at; those that the "
        "validation part shows or meets most come first.",
    )
    rehearsed: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share of the items with a response, or of the people with a later one, that "
        "are held out of training to rehearse on: their later responses say how many visits are "
        "enough.",
    )
    margin: float = Field(
        1.0,
        ge=0,
        description="Standard errors by which more visits have to be better, and their harm to the "
        "other rows has to lie below what is allowed.",
    )
    alpha: float = Field(1.0, gt=0, description="Weight of a simulated row beside a real one.")
    beside: Beside = Field(
        "balanced", description="What stands beside a simulated response, as in `[proof]`."
    )
    seeds: TrainingSeeds = Field((0, 1), description="Training seeds.")
    train_slates: int | None = Field(None, ge=1, description="Most real searches trained on.")
    validation_slates: int | None = Field(None, ge=1, description="Most searches validated on.")
    seed: int = Field(0, ge=0, description="Seed of what is held out and drawn.")

    @field_validator("until", "validation_until")
    @classmethod
    def _as_the_log(cls, moment: datetime | None) -> datetime | None:
        return utc_moment(moment)

    @model_validator(mode="after")
    def _one_kind(self) -> ColdStart:
        other = "users" if self.of == "items" else "items"
        if getattr(self, other):
            raise ValueError(f'{other} are named, and of = "{self.of}"')
        return self

    @field_validator("amounts")
    @classmethod
    def _rising(cls, amounts: tuple[int, ...]) -> tuple[int, ...]:
        if amounts[0] < 1 or list(amounts) != sorted(set(amounts)):
            raise ValueError("amounts rise from 1 or more")
        return amounts


class ColdStartSettings(BaseModel):
    """Everything that decides what ``footfall coldstart`` makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coldstart: ColdStart = ColdStart()
    personas: Population = Population()
    tuning: TuningSettings | None = Field(
        None,
        description="Tune the language model first, on a training part without what the rehearsal "
        "holds out.",
    )
    engine: EngineSettings = EngineSettings()
    aim: AimedSettings = Field(
        AimedSettings(),
        description="How visits are made; whom or what they are aimed at, until when and how many "
        "[coldstart] and the rehearsal say.",
    )
    fusion: FusionSettings = Field(
        FusionSettings(strategy="none", drop_duplicates=False, max_share=1.0),
        description="How simulated rows join the real ones, in the rehearsal as in the result; by "
        "default all of them do.",
    )
    training: ClickSettings = ClickSettings()

    @model_validator(mode="after")
    def _check(self) -> ColdStartSettings:
        if self.coldstart.until is None:
            raise ValueError("coldstart.until is needed: the end of the training part")
        told = {name: f"coldstart.{name}" for name in ("until", "label", "seed")}
        told |= {"aim": "coldstart.of"}
        told |= dict.fromkeys(("visits_per_item", "visits_per_person"), "coldstart.amounts")
        refuse_unheard("aim", self.aim, told)
        joined = {name: f"coldstart.{name}" for name in ("alpha", "beside", "seed")}
        refuse_unheard("fusion", self.fusion, joined)
        return self

    def parts(self, *, rehearsal: bool) -> PartSettings:
        """How the log is parted, with items held out for the rehearsal, or with everything."""
        told = self.coldstart
        share = told.rehearsed if rehearsal else 0.0
        return PartSettings(
            train_until=told.until,
            validation_until=told.validation_until or datetime.max,
            label=told.label,
            cold_validation_items=share if told.of == "items" else 0.0,
            cold_validation_users=share if told.of == "users" else 0.0,
            train_slates=told.train_slates,
            validation_slates=told.validation_slates,
            seed=told.seed,
        )
