"""Settings that every training of a text model here has."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from footfall.models import MINILM

__all__ = ["TrainingSettings"]


class TrainingSettings(BaseModel):
    """The text model, what of it is trained, and how; apart from task and data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        MINILM,
        min_length=1,
        description="Text model: all-minilm-l6-v2 (English) or smollm2-135m-instruct (any script, "
        "slower), which are bundled, or a folder.",
    )
    pooling: Literal["auto", "mean", "last", "first"] = Field(
        "auto",
        description="How a text's hidden states become one vector; auto is what the encoder's "
        "folder says, else the mean.",
    )
    tuning: Literal["lora", "adalora", "ia3", "prefix", "full", "none"] = Field(
        "lora",
        description="What of the encoder is trained: adapters of a kind, every weight, or nothing.",
    )
    prefix_tokens: int = Field(
        8, ge=1, le=256, description="Keys and values that prefix tuning puts before every text."
    )
    lora_rank: int = Field(
        8, ge=1, le=256, description="Rank of the low-rank adapters; AdaLoRA's average."
    )
    lora_alpha: float = Field(16.0, gt=0.0, description="Adapter output is scaled by alpha / rank.")
    lora_targets: Literal["attention", "all"] = Field(
        "attention", description="Adapted layers: query and value, or all linear layers."
    )
    trained_layers: int = Field(
        0,
        ge=0,
        description="Only so many of the text model's last layers are trained, and what enters "
        "them is computed once for every text: faster, less room to learn. 0 trains all layers.",
    )
    state_memory: float = Field(
        4.0,
        ge=0.0,
        description="Most GiB of hidden states kept in memory for trained_layers, shared by the "
        "models of a process; the rest is computed when needed.",
    )
    dropout: float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        description="Dropout before the adapters of lora and adalora, and of hidden states with "
        "full; ia3, prefix and none have none.",
    )
    max_tokens: int = Field(
        64,
        ge=8,
        le=512,
        description="Longest text (of a cross_encoder: longest sequence) in tokens; longer ones "
        "are cut.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Numbers of a training step's layers; bfloat16 is up to twice as fast where "
        "the processor or GPU has it. Weights, validation and scores are float32.",
    )
    batch_size: int = Field(64, ge=1, description="Rows in a training step.")
    epochs: float = Field(1.0, gt=0.0, description="Passes over the training rows.")
    max_steps: int = Field(0, ge=0, description="Most training steps; 0 leaves it to epochs.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimiser.")
    learning_rate: float = Field(5e-4, gt=0.0, description="Peak learning rate of the encoder.")
    head_learning_rate: float = Field(
        1e-2, gt=0.0, description="Peak learning rate of scale, bias and numbers."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Course of the learning rates after the warm-up."
    )
    warmup_share: float = Field(
        0.1, ge=0.0, lt=1.0, description="Share of the steps in which the rates rise from zero."
    )
    weight_decay: float = Field(0.01, ge=0.0, description="Weight decay of the encoder's weights.")
    evaluations: int = Field(
        5, ge=1, description="How often validation log loss is taken and a checkpoint written."
    )
    patience: int = Field(
        2, ge=1, description="Evaluations without improvement after which training stops."
    )
    device: Literal["auto", "cpu"] = Field(
        "auto", description="auto uses a GPU where there is one."
    )
    report_to: Literal["none", "tensorboard", "wandb"] = Field(
        "none", description="Where the course of the training is recorded."
    )
    wandb_mode: Literal["offline", "online"] = Field(
        "offline",
        description="W&B keeps its files beside the model (offline), or sends them (online).",
    )
    seed: int = Field(0, ge=0, description="Seed of adapters, dropout and the order of slates.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.trained_layers and self.tuning in {"prefix", "none"}:
            raise ValueError(
                f"trained_layers does not go with tuning = {self.tuning!r}: "
                + ("a prefix reaches all layers" if self.tuning == "prefix" else "none is trained")
            )
        return self
