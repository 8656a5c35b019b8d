"""Options of the generators that are neural networks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["GANSettings", "NetworkSettings", "VAESettings"]


class NetworkSettings(BaseModel):
    """What both kinds of networks share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(2000, ge=1, description="Training steps of each of the two networks.")
    batch_size: int = Field(500, ge=2, description="Rows of a step.")
    width: int = Field(128, ge=1, description="Units of a hidden layer.")
    latent: int = Field(16, ge=1, description="Random numbers that a row is made of.")
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam.")
    fewest_rows: int = Field(
        50, ge=1, description="A category is one of its own if the log shows so many rows of it."
    )
    most_categories: int = Field(64, ge=1, description="Those with the most rows are kept.")
    nearest: int = Field(8, ge=1, description="One of so many nearest real items or queries.")
    most_pages: int = Field(50, ge=1, description="A session ends after so many pages.")
    most_sessions: int = Field(
        20_000, ge=1, description="Real sessions to learn from, chosen by a hash of their id."
    )


class VAESettings(NetworkSettings):
    """Options of the variational autoencoder."""


class GANSettings(NetworkSettings):
    """Options of the generative adversarial network."""

    latent: int = Field(32, ge=1, description="Random numbers that a row is made of.")
    critic_steps: int = Field(2, ge=1, description="Steps of the critic for one of the generator.")
    penalty: float = Field(10.0, gt=0, description="Weight of the gradient penalty.")
    temperature: float = Field(0.5, gt=0, description="Of the Gumbel softmax in training.")
    averaging: float = Field(
        0.99, ge=0, lt=1, description="What the averaged generator keeps of itself in a step."
    )
