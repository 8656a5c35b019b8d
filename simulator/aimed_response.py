"""Whether a shopper takes a lone item: what the model's preference is worth on real rows.

Beside the preference, or in its place where it tells nothing, stands the log's own response model
(:mod:`.appeal`), weighed on all real rows by what it says of people that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import NoResponseError
from footfall.personas.persona import Persona
from footfall.simulator.appeal import Appeal, fit_with_out_of_fold
from footfall.simulator.engines.tuned import person_hash
from footfall.simulator.histories import read_demographics
from footfall.simulator.preference import preferences
from footfall.simulator.real_slates import fitted_response, real_slates

if TYPE_CHECKING:
    from footfall.simulator.catalog import Catalog
    from footfall.simulator.engines.protocol import Engine
    from footfall.simulator.log import Log
    from footfall.simulator.prompts import PromptBook

__all__ = [
    "LoneAppeal",
    "LoneRows",
    "ResponseCurve",
    "bare",
    "fit_appeal_curve",
    "fit_lone_appeal",
    "fit_response_curve",
    "known_people",
    "read_lone_rows",
    "require_fitted_response",
]

Array = np.ndarray[Any, Any]

#: Real slates that the log's own response model is fitted on, at most.
_SLATES: Final = 5000
#: Fewest rows of either response that something is weighed on.
_FEWEST_RESPONSES: Final = 10

_ROWS = """
SELECT e.user_id, nullif(trim(s.query), '') AS query, t.text, i.{label} AS label
FROM impressions i JOIN searches s USING (search_id) JOIN sessions e USING (session_id)
JOIN items t ON t.item_id = i.item_id
WHERE i.origin = 'real' AND i.{label} IS NOT NULL
  AND ($until::TIMESTAMP IS NULL
       OR coalesce(s.searched_at, e.started_at, i.shown_at) < $until::TIMESTAMP)
  AND (len($people::VARCHAR[]) = 0 OR left(sha256(e.user_id), 16) IN (SELECT unnest($people)))
ORDER BY md5($seed || '/' || i.search_id || '/' || i.item_id) LIMIT $rows
"""


class LoneRows(NamedTuple):
    """Real rows as items that stand alone; ``appeal`` by fits on other people, shape (rows,)."""

    asked: Sequence[tuple[Persona, str | None, str]]
    labels: Array
    appeal: Array

    def telling(self) -> bool:
        """Whether there are rows enough, of both responses, to weigh anything on."""
        return min(int(self.labels.sum()), int((~self.labels).sum())) >= _FEWEST_RESPONSES


class LoneAppeal(NamedTuple):
    """The log's own response model for lone items, and the real rows that can weigh it."""

    model: Appeal
    rows: LoneRows

    def first(self, count: int, people: Sequence[str] = ()) -> LoneRows:
        """The first ``count`` rows, of ``people`` (hashes) alone if any; slates come as drawn."""
        asked, labels, appeal = self.rows
        wanted = set(people)
        kept = [
            place
            for place, (person, _, _) in enumerate(asked)
            if not wanted or person_hash(person.persona_id) in wanted
        ][:count]
        return LoneRows([asked[place] for place in kept], labels[kept], appeal[kept])


class ResponseCurve(BaseModel):
    """Chance of a response: ``expit(intercept + slope z + appeal_slope a)``.

    ``z`` is the model's log-odds less ``mean``, over ``spread``; ``a`` are the log-odds of the
    log's own response model, 0 where it is not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    intercept: float = Field(description="Log-odds of a response at the mean preference.")
    slope: float = Field(description="Log-odds a standard deviation of preference is worth.")
    mean: float = Field(description="Mean preference on the real rows.")
    spread: float = Field(description="Its standard deviation there.")
    rows: int = Field(description="Real rows it was fitted on.")
    appeal_slope: float = Field(
        0.0, description="What log-odds of the log's own response model are worth."
    )

    def chance(self, preference: Array, appeal: Array | float = 0.0) -> Array:
        """Probabilities, shape as given."""
        z = (preference - self.mean) / self.spread
        log_odds = self.intercept + self.slope * np.clip(z, -4.0, 4.0) + self.appeal_slope * appeal
        chance: Array = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
        return chance


def require_fitted_response(log: Log, label: str, until: datetime | None) -> None:
    """Refuse a response that the log's own response model is not fitted on.

    Raises
    ------
    NoResponseError
        If ``label`` is another one.
    """
    fitted = fitted_response(log, until)
    if label != fitted:
        raise NoResponseError(
            f"The log's own response model tells `{fitted}`, and `{label}` is to be drawn.",
            hint=f'Set label = "{fitted}"; or leave the arm pseudo-labels out, and let visits '
            'respond by response = "model" or "need".',
        )


def fit_lone_appeal(
    log: Log, catalog: Catalog, *, label: str, until: datetime | None, locale: str, seed: int
) -> LoneAppeal:
    """The log's own response model, fitted on real slates before ``until``.

    Shoppers are told by their demographics alone, as aimed visits have them. The model is used
    wherever it adds anything to popularity on people left out: what it is worth is weighed in turn.

    Raises
    ------
    NoResponseError
        If ``label`` is not the response that slates are fitted on: clicks, where the log has them.
    """
    require_fitted_response(log, label, until)
    slates = [
        replace(slate, persona=bare(slate.persona))
        for slate in real_slates(log, catalog, count=_SLATES, until=until, locale=locale, seed=seed)
    ]
    model, out_of_fold = fit_with_out_of_fold(slates, seed=seed, needed_errors=0.0)
    rows = LoneRows(
        [(slate.persona, slate.query, text) for slate in slates for text in slate.texts],
        np.array([label for slate in slates for label in slate.responses], bool),
        np.concatenate([np.zeros(0), *out_of_fold]),
    )
    return LoneAppeal(model, rows)


def fit_response_curve(
    engine: Engine, prompts: PromptBook, rows: LoneRows, *, appeal: ResponseCurve | None = None
) -> ResponseCurve:
    """Weigh the preference on real rows by penalised logistic regression.

    The penalty is that of a normal prior of standard deviation 1 on the slope: what tells nothing
    on real rows gets a slope near zero, and then responses come at the log's rate.

    Parameters
    ----------
    appeal:
        What the log's own response model is worth (:func:`fit_appeal_curve`, on all rows). Then
        the preference is weighed beside it, and nothing else is fitted.

    Raises
    ------
    NoResponseError
        If the rows do not have both responses.
    """
    from sklearn.linear_model import LogisticRegression

    _check_labels(rows.labels)
    values = preferences(engine, prompts, rows.asked)
    mean, spread = float(values.mean()), float(values.std()) or 1.0
    z = (values - mean) / spread
    if appeal is None:
        model = LogisticRegression(C=1.0).fit(z[:, None], rows.labels)
        return _curve(model.intercept_[0], model.coef_[0, 0], 0.0, mean, spread, len(z))
    slope = _slope_beside(appeal.intercept + appeal.appeal_slope * rows.appeal, z, rows.labels)
    return _curve(appeal.intercept, slope, appeal.appeal_slope, mean, spread, len(z))


def fit_appeal_curve(rows: LoneRows) -> ResponseCurve:
    """What the log's own response model is worth on the rows, without a language model.

    Raises
    ------
    NoResponseError
        If the rows do not have both responses.
    """
    from sklearn.linear_model import LogisticRegression

    _check_labels(rows.labels)
    model = LogisticRegression(C=1.0).fit(rows.appeal[:, None], rows.labels)
    return _curve(model.intercept_[0], 0.0, model.coef_[0, 0], 0.0, 1.0, len(rows.labels))


def _slope_beside(offset: Array, z: Array, labels: Array) -> float:
    """Penalised maximum-likelihood slope of ``z`` where ``offset`` is known."""
    from scipy.optimize import minimize_scalar

    signs = np.where(labels, 1.0, -1.0)

    def loss(slope: float) -> float:
        return float(np.logaddexp(0.0, -signs * (offset + slope * z)).sum() + 0.5 * slope**2)

    return float(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x)


def _check_labels(labels: Array) -> None:
    if labels.all() or not labels.any():
        raise NoResponseError(
            f"Of {len(labels)} real rows, all have the same response.",
            hint="Use more rows (scored_rows of visits), or let visits respond by "
            'response = "need".',
        )


def _curve(
    intercept: float, slope: float, appeal_slope: float, mean: float, spread: float, rows: int
) -> ResponseCurve:
    # A run that goes on fits again, and sums may differ in their last digits.
    intercept, slope, appeal_slope, mean, spread = (
        round(float(value), 6) for value in (intercept, slope, appeal_slope, mean, spread)
    )
    return ResponseCurve(
        intercept=intercept,
        slope=slope,
        mean=mean,
        spread=spread,
        rows=rows,
        appeal_slope=appeal_slope,
    )


def read_lone_rows(
    log: Log,
    people: Sequence[str] = (),
    *,
    label: str,
    rows: int,
    until: datetime | None,
    locale: str,
    seed: int,
) -> LoneRows:
    """Up to ``rows`` real rows before ``until``, drawn by a seeded hash; no appeal is known.

    ``people`` are hashes of those whose rows are wanted; everybody's are when empty.
    """
    drawn = log.query(
        _ROWS.format(label=label),
        {"until": until, "seed": str(seed), "rows": rows, "people": list(people)},
    ).to_pylist()
    persons = known_people(log, [row["user_id"] for row in drawn], locale)
    return LoneRows(
        [(person, row["query"], row["text"]) for person, row in zip(persons, drawn, strict=True)],
        np.array([row["label"] for row in drawn], bool),
        np.zeros(len(drawn)),
    )


def bare(persona: Persona) -> Persona:
    """The persona told by demographics alone, as somebody without history is."""
    return persona.model_copy(update={"history": (), "interests": {}})


def known_people(log: Log, user_ids: Sequence[str], locale: str) -> list[Persona]:
    """Shoppers of the log told by their demographics alone, in the order given."""
    known = read_demographics(log)
    records = {} if known is None else {row.pop("user_id"): row for row in known.to_pylist()}
    return [
        Persona(
            persona_id=user_id,
            locale=locale,
            demographics={n: value for n, value in records.get(user_id, {}).items() if value},
        )
        for user_id in user_ids
    ]
