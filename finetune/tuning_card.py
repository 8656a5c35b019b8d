"""The card that is saved beside a tuned model: what it was made from, and how well it did."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from footfall.finetune.tuning_settings import TuningSettings

__all__ = ["ServingSpeeds", "TaskLosses", "TuningCard"]


class TaskLosses(BaseModel):
    """Mean losses on validation examples, in nats; null where a task has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: float | None = Field(None, description="A token of a real query, its end included.")
    choice: float | None = Field(None, description="A real choice among the options shown.")

    @property
    def total(self) -> float:
        """The sum of both, by which weights are compared."""
        return sum(value for value in (self.query, self.choice) if value is not None)


class ServingSpeeds(BaseModel):
    """Slate prompts answered a second in vLLM; null where a way was not measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    merged: float | None = Field(None, description="Adapter merged into the weights.")
    adapter: float | None = Field(None, description="Adapter beside the base model's weights.")
    note: str = Field("", description="Why a way was not measured.")


class TuningCard(BaseModel):
    """What a tuned model's folder says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model: str = Field(description="Name or folder of the model tuned.")
    base_hash: str = Field(description="SHA-256 of its weights.")
    until: str | None = Field(description="End of the training part (ISO 8601, UTC); null is all.")
    part: str | None = Field(
        None, description="Digest of the training part that the log was; null where it was none."
    )
    tasks: tuple[Literal["query", "choice"], ...] = Field(description="What was learned.")
    response: str = Field(description="Response that the choice task learned.")
    candidates: str = Field(
        description="How the shown items were known: logged, sampled, or reconstructed, which no "
        "shopper is known to have seen."
    )
    examples: dict[str, int] = Field(description="Numbers of examples by part and task.")
    unseen_people: tuple[str, ...] = Field(
        (),
        description="Hashes of people with validation examples and no training example.",
    )
    steps: int = Field(description="Training steps taken.")
    planned_steps: int = Field(description="Training steps planned.")
    tokens: int = Field(description="Tokens trained on.")
    seconds: float = Field(description="Training time in seconds, validation included.")
    kept: str = Field(description="The step whose weights were kept: best on validation.")
    before: TaskLosses = Field(description="Validation losses before.")
    after: TaskLosses = Field(description="Validation losses of the weights kept.")
    rank: int = Field(description="Rank of the adapter.")
    serving: Literal["merged", "adapter"] = Field(description="How engines serve it.")
    speeds: ServingSpeeds = Field(description="What that was decided by.")
    settings: TuningSettings = Field(description="All settings.")
    versions: dict[str, str] = Field(description="Versions of what decides the numbers.")
    fingerprint: str = Field(description="Hash of settings, examples and base model.")
