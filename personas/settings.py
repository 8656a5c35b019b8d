"""Settings of a population, as a recipe states them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.fit import JointDistribution
from footfall.personas.vectorize import Vectorizer

__all__ = ["PersonaSettings"]


class PersonaSettings(BaseModel):
    """How a population is fitted on a log, or invented."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segments: int = Field(12, ge=1, description="Segments of users asked for.")
    vectorizer: Vectorizer = Field(
        "tfidf", description="How histories become vectors: tfidf, bow or bert."
    )
    k_anonymity: int = Field(
        5, ge=1, description="Real users who must share whatever is published of one."
    )
    demographics: JointDistribution = Field(
        "tree",
        description="`tree`: people drawn whole, from counts of pairs of attributes. `shared`: "
        "only combinations of attributes that so many real users share.",
    )
    locale: str | None = Field(
        None,
        pattern=r"^[a-z]{2,3}_[A-Z]{2}$",
        description="Such as en_US or zh_CN; left open, that of the log's own texts, or en_US.",
    )
    seed: int = Field(0, ge=0, description="Seed of segments and of the people drawn.")
