"""What the model's preference for a lone item is worth on real rows of the log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import NoResponseError
from footfall.personas.persona import Persona
from footfall.simulator.histories import read_demographics
from footfall.simulator.preference import preferences

if TYPE_CHECKING:
    from footfall.simulator.engines.protocol import Engine
    from footfall.simulator.log import Log
    from footfall.simulator.prompts import PromptBook

__all__ = ["ResponseCurve", "fit_response_curve"]

_ROWS = """
SELECT e.user_id, nullif(trim(s.query), '') AS query, t.text, i.{label} AS label
FROM impressions i JOIN searches s USING (search_id) JOIN sessions e USING (session_id)
JOIN items t ON t.item_id = i.item_id
WHERE i.origin = 'real' AND i.{label} IS NOT NULL
  AND ($until::TIMESTAMP IS NULL
       OR coalesce(s.searched_at, e.started_at, i.shown_at) < $until::TIMESTAMP)
ORDER BY md5($seed || '/' || i.search_id || '/' || i.item_id) LIMIT $rows
"""


class ResponseCurve(BaseModel):
    """Chance of a response from the model's log-odds: ``expit(intercept + slope z)``.

    ``z`` is the log-odds less ``mean``, over ``spread``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    intercept: float = Field(description="Log-odds of a response at the mean preference.")
    slope: float = Field(description="Log-odds a standard deviation of preference is worth.")
    mean: float = Field(description="Mean preference on the real rows.")
    spread: float = Field(description="Its standard deviation there.")
    rows: int = Field(description="Real rows it was fitted on.")

    def chance(self, preference: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Probabilities, shape as given."""
        z = (preference - self.mean) / self.spread
        chance: np.ndarray[Any, Any] = 0.5 * (
            1.0 + np.tanh(0.5 * (self.intercept + self.slope * np.clip(z, -4.0, 4.0)))
        )
        return chance


def fit_response_curve(
    log: Log,
    engine: Engine,
    prompts: PromptBook,
    *,
    label: str,
    rows: int,
    until: datetime | None,
    locale: str,
    seed: int,
) -> ResponseCurve:
    """Fit the curve on real rows before ``until`` by penalised logistic regression.

    The penalty is that of a normal prior of standard deviation 1 on the slope: a preference that
    tells nothing on real rows gets a slope near zero, and then responses come at the log's rate.

    Raises
    ------
    NoResponseError
        If the log does not have both responses.
    """
    from sklearn.linear_model import LogisticRegression

    drawn = log.query(
        _ROWS.format(label=label), {"until": until, "seed": str(seed), "rows": rows}
    ).to_pylist()
    labels = np.array([row["label"] for row in drawn], bool)
    if labels.all() or not labels.any():
        raise NoResponseError(
            f"Of {len(drawn)} real rows, all have the same `{label}`.",
            hint='Use response = "need", or more scored_rows.',
        )
    known = read_demographics(log)
    records = {} if known is None else {row.pop("user_id"): row for row in known.to_pylist()}
    asked = [(_person(row["user_id"], records, locale), row["query"], row["text"]) for row in drawn]
    values = preferences(engine, prompts, asked)
    spread = float(values.std()) or 1.0
    z = (values - values.mean()) / spread
    model = LogisticRegression(C=1.0).fit(z[:, None], labels)
    return ResponseCurve(
        intercept=float(model.intercept_[0]),
        slope=float(model.coef_[0, 0]),
        mean=float(values.mean()),
        spread=spread,
        rows=len(drawn),
    )


def _person(user_id: str, records: dict[str, dict[str, Any]], locale: str) -> Persona:
    record = {name: value for name, value in records.get(user_id, {}).items() if value}
    return Persona(persona_id=user_id, locale=locale, demographics=record)
