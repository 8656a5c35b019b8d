"""One measure of a scenario, and one threshold that it was held against."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MeasureRow", "ThresholdResult"]


class MeasureRow(BaseModel):
    """A measure of the target beside the baseline's, with 95 % intervals over shoppers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str = Field(description="Its name.")
    value: float | None = Field(description="Of the target; null where it cannot be measured.")
    low: float | None = None
    high: float | None = None
    baseline: float | None = Field(None, description="Of the baseline.")
    difference: float | None = Field(None, description="Target less baseline, paired by shopper.")
    difference_low: float | None = None
    difference_high: float | None = None
    ratio: float | None = Field(None, description="Target by baseline, paired by shopper.")
    ratio_low: float | None = None
    ratio_high: float | None = None
    direction: Literal["higher", "lower", "neither"] = Field(
        "neither", description="Which values are better."
    )
    note: str = Field("", description="Why it is not measurable, or a caution.")

    @property
    def judged(self) -> Literal["better", "worse", ""]:
        """Whether the difference's interval leaves zero out, and on which side; else nothing."""
        low, high = self.difference_low, self.difference_high
        if low is None or high is None or self.direction == "neither" or low <= 0.0 <= high:
            return ""
        return "better" if (low > 0.0) == (self.direction == "higher") else "worse"


class ThresholdResult(BaseModel):
    """Whether one threshold of a scenario was kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str
    words: str = Field(description="The threshold, such as `ndcg at least 0.9 of steady traffic`.")
    found: str = Field(description="What was found, with its interval.")
    outcome: Literal["pass", "fail", "cannot be told"]
    reason: str = Field("", description="Why the threshold is what it is, as its file says.")
