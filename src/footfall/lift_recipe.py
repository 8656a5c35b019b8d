"""A recipe of a proof: which log, which parts, which arms, how often."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from footfall.finetune import ClickSettings, FusionSettings, TuningSettings
from footfall.finetune.arms import ALL_CONTROLS, CONTROLS
from footfall.finetune.augmentation_settings import AUGMENTATIONS, AugmentationSettings
from footfall.finetune.negatives import Beside
from footfall.finetune.part_settings import PartSettings
from footfall.recipe import Population, Source, TrainingSeeds, refuse_unheard
from footfall.simulator import EngineSettings
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.generators import generator_names

__all__ = ["CEILING", "FUSED", "LLM_ARMS", "GeneratorArms", "LiftRecipe", "Proof"]

#: Arms with rows of the language model.
LLM_ARMS: Final = ("llm-untuned", "llm-tuned")
#: Such an arm's rows as ``[fusion]`` merges and weighs them: ``fused:llm-tuned``.
FUSED: Final = "fused:"
#: The held-out items' own real responses: what nobody could have had.
CEILING: Final = "ceiling"


_FUSION: Final = {"strategy": "by_feature", "density": "texts"}


class Proof(BaseModel):
    """The arms, and how they are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arms: tuple[str, ...] = Field(
        (*CONTROLS, *LLM_ARMS),
        min_length=1,
        description="Beside the real arm: oversampled, random-pairs, popularity, title, "
        "neighbours, pseudo-labels (by the log's own response model), llm-untuned, llm-tuned, "
        "fused:llm-tuned (its rows merged and weighed by [fusion]), generator:NAME (markov, vae, "
        "gan or a plug-in), augment:KIND (crop, mask, reorder, rotate, paraphrase, "
        "back-translation), ceiling (the held-out items' own real responses, as a measure of what "
        "is possible).",
    )
    seeds: TrainingSeeds = Field(
        (0, 1, 2, 3, 4), description="Training seeds; every arm is trained with each."
    )
    added_share: float = Field(
        1.0, gt=0, description="Rows that an arm adds, as a share of the real training rows."
    )
    beside: Beside = Field(
        "balanced",
        description="What stands beside a made response: balanced (what made responses take, as "
        "often as they do), popularity, similar (to the query), mixed, random, or the visit's "
        "page. Where the log says what was shown, popularity means similar, and balanced takes "
        "answers to the query first.",
    )
    alphas: tuple[float, ...] = Field(
        (0.05, 0.25, 1.0),
        description="Weights of added rows that each arm tries on real validation data beside 0.",
    )
    alpha_seeds: TrainingSeeds = Field(
        (100, 101), description="Training seeds of the choice of the weight."
    )
    alpha_budgets: tuple[float, ...] = Field(
        (0.5, 1.0), min_length=1, description="Shares of the training steps, one a rung."
    )
    margin: float = Field(
        1.0,
        ge=0,
        description="Standard errors by which the weight of an arm that the verdict is about has "
        "to beat 0 on validation; a control takes its best weight however little it gains.",
    )
    harm_margin: float = Field(
        1.0,
        ge=0,
        description="Standard errors by which the harm of such an arm to warm rows has to lie "
        "below what is allowed on validation (with two seeds and one standard error, both seeds' "
        "does); of a control the mean counts alone.",
    )
    choose_by: Literal["all", "cold"] = Field(
        "cold",
        description="Validation log loss that a weight is chosen by: of all rows, or of the rows "
        "of cold items where warm ones lose no more than 0.002 of log loss and AUC, a mean over "
        "the seeds.",
    )
    aim: Literal["cold", "all"] = Field(
        "cold",
        description="What made rows aim at: items shown later that have no response in the "
        "training part, or all items shown later, where labels are few.",
    )
    specific_queries: bool = Field(
        True,
        description="Whether of the visits of a run those come first whose query was typed for "
        "the fewest items: what is typed for everything tells nothing.",
    )
    most_items: int | None = Field(
        None, ge=1, description="Most items aimed at; those shown most often come first."
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of users.")

    @model_validator(mode="after")
    def _check(self) -> Proof:
        for arm in self.arms:
            if not _is_arm(arm):
                raise ValueError(f"there is no arm {arm!r}")
        for arm in self.arms:
            if arm.startswith(FUSED) and arm.removeprefix(FUSED) not in self.arms:
                raise ValueError(f"{arm!r} needs the arm {arm.removeprefix(FUSED)!r}")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm is named twice")
        return self


def _is_arm(arm: str) -> bool:
    kind, _, name = arm.partition(":")
    if kind == "augment":
        return name in AUGMENTATIONS
    if kind == "generator":
        # A plug-in of another package is found when it is opened.
        return ":" in name or name in generator_names()
    if arm.startswith(FUSED):
        return name in LLM_ARMS
    return arm in {*ALL_CONTROLS, *LLM_ARMS, CEILING}


class GeneratorArms(BaseModel):
    """The arms generator:NAME."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cold_items: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Chance that a shown item is replaced by one of its category without history.",
    )
    weeks: float = Field(8.0, gt=0, description="Sessions happen in these weeks.")
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Each generator's own settings, by its name."
    )


class LiftRecipe(BaseModel):
    """One proof, from the source files to the verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="Headline of the report.")
    folder: Path = Field(description="Where all results go.")
    source: Source
    parts: PartSettings
    personas: Population = Population()
    tuning: TuningSettings = Field(
        TuningSettings(), description="Of the language model, for the arm llm-tuned."
    )
    engine: EngineSettings = EngineSettings()
    aim: AimedSettings = Field(
        AimedSettings(),
        description="The language model's visits; `until` and `label` are the parts'.",
    )
    generators: GeneratorArms = GeneratorArms()
    fusion: FusionSettings = Field(
        FusionSettings.model_validate(_FUSION),
        description="Of the arms fused:NAME, by default by_feature and texts; alpha, the largest "
        "share and what stands beside a response are the proof's.",
    )
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(), description="Of the arms augment:KIND."
    )
    training: ClickSettings = ClickSettings()
    proof: Proof = Proof()

    @field_validator("fusion", mode="before")
    @classmethod
    def _as_an_arm(cls, given: Any) -> Any:
        """What a table leaves open is what suits an arm, not what suits ``footfall fuse``."""
        return _FUSION | given if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _check(self) -> LiftRecipe:
        named = {arm.removeprefix("generator:") for arm in self.proof.arms}
        unused = sorted(set(self.generators.options) - named)
        if unused:
            raise ValueError(f"generators.options: there is no arm 'generator:{unused[0]}'")
        refuse_unheard("aim", self.aim, {"until": "parts.train_until", "label": "parts.label"})
        if self.training.report_to != "none":
            raise ValueError(
                "training.report_to: a proof keeps no model, so there is nothing to track: use "
                '"none"'
            )
        joined = {"alpha": "alphas", "max_share": "added_share", "beside": "beside"}
        joined = {name: f"proof.{place}" for name, place in joined.items()}
        refuse_unheard("fusion", self.fusion, joined)
        if self.fusion.uses("by_time") or self.fusion.uses("by_behaviour"):
            raise ValueError(
                "fusion: an arm has the real rows as they are, and its visits have one page: use "
                "strategy by_feature or by_diversity"
            )
        return self

    def with_data(self, folder: Path) -> LiftRecipe:
        """The same proof on files that lie in another folder."""
        source = self.source.model_copy(update={"folder": folder})
        return self.model_copy(update={"source": source})

    @property
    def until(self) -> datetime | None:
        """End of the training part, where it is parted by time."""
        return self.parts.train_until
