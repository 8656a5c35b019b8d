"""Maximum-likelihood fit of the click curve: how often what is looked at is clicked.

``P(response) = chance * sigmoid(intercept + weights . covariates)``, where ``chance`` is known: of
having looked at the position, and of a purchase after a click where purchases are the response.

Rows that the log sampled
-------------------------
A log may keep every response and a sample of the rest. Where the whole slates were about a page
long, each kept row stands for ``1 / sample_rate`` rows that were shown (inverse-probability
weights), and the intercept is that of full slates. Where they were far longer, such as a store's
whole display, no page can show them: the simulated page then stands for all that the person could
see in that visit. The kept rows without a response share one weight, such that visits weigh as
much as pages of ``page_size`` items with as many responses. One weight for all of them moves the
intercept and leaves the other weights as they are (Prentice and Pyke 1979), and responses a page
come out as responses a visit were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from footfall.simulator.behaviour import Floats, Rate, sigmoid

__all__ = ["COVARIATES", "ClickFit", "FitData", "fit_clicks", "row_weights"]

#: Names of :class:`FitData`'s covariates, in the order of a fit's weights after the intercept.
COVARIATES: Final = (
    "preference",
    "affinity",
    "popularity",
    "price",
    "appeal",
    "attraction",
)
#: Gaussian prior of the weights (mean 0): keeps a small sample from overstating them. That of
#: the intercept is so wide that it only matters where every row, or none, has a response.
_WEIGHT_DEVIATION = 1.0
_INTERCEPT_DEVIATION = 10.0
#: Whole slates longer than this many pages, on average, cannot be shown on one.
_LONGEST_PAGE = 2.0


@dataclass(frozen=True, slots=True)
class FitData:
    """Real impressions to fit the click curve on; all arrays of shape (impressions,).

    None of the covariates may know the response itself: take them from the time before the slate.

    Attributes
    ----------
    response
        1 where the item was clicked (bought, where the log has no clicks), else 0.
    position
        1 is the top; not a number where unknown.
    preference, affinity
        Centred and scaled within the slate; 0 where unknown.
    popularity, price
        Deviations within the slate in log units; 0 where unknown.
    appeal
        Log-odds by the log's own response model, which has not seen the slate, relative to the
        average impression.
    attraction
        The engine's attraction to the row's slate, in log-odds; not a number where not scored.
    slate
        Which slate the row belongs to; without it, every row is one of its own.
    weight
        Weight of the row in the likelihood, see :func:`row_weights`; 1 where not given.
    """

    response: Floats
    position: Floats
    preference: Floats
    affinity: Floats
    popularity: Floats
    price: Floats | None = None
    appeal: Floats | None = None
    attraction: Floats | None = None
    slate: npt.NDArray[np.int64] | None = None
    weight: Floats | None = None

    def covariate(self, name: str) -> Floats:
        """Values of one covariate; zeros where it is not given, 0 where it is not finite."""
        values = getattr(self, name)
        if values is None:
            return np.zeros(len(self.response))
        return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)

    def slates(self) -> npt.NDArray[np.int64]:
        """Slate of each row, numbered from 0."""
        if self.slate is None:
            return np.arange(len(self.response))
        return np.unique(self.slate, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class ClickFit:
    """Weights of a fit: the intercept, then those of :data:`COVARIATES`.

    ``log_likelihood`` is that of every row (without the prior), shape (impressions,); ``penalty``
    is what the prior takes from its sum.
    """

    weights: Floats
    errors: Floats
    log_likelihood: Floats
    penalty: float
    informed: tuple[bool, ...]

    def rate(self, name: str, note: str) -> Rate:
        """The weight of a covariate or the ``intercept``; a prior of 0 where nothing varies."""
        index = 0 if name == "intercept" else 1 + COVARIATES.index(name)
        if not self.informed[index]:
            return Rate(value=0.0, note="nothing to fit on: it counts for nothing")
        return Rate(
            value=float(self.weights[index]),
            standard_error=float(self.errors[index]),
            source="fitted",
            note=note,
        )


def row_weights(
    response: Floats,
    sample_rate: Floats,
    slate: npt.NDArray[np.int64],
    *,
    page_size: int = 10,
) -> Floats:
    """Weight of each row in the likelihood, shape (impressions,).

    Parameters
    ----------
    response, sample_rate, slate:
        Of each row: whether it had a response, the probability that it was kept, its slate
        (numbered from 0).
    page_size:
        Items on a simulated page.
    """
    weights = 1.0 / np.clip(sample_rate, 1e-9, 1.0)
    sampled = weights > 1.0 + 1e-9
    # One slate's whole length is a guess; their mean is not.
    if not sampled.any() or np.bincount(slate, weights).mean() <= _LONGEST_PAGE * page_size:
        return weights
    responses = np.bincount(slate, response)
    rest = (response == 0) & sampled
    wanted = np.maximum(page_size - responses, 0.0).sum()
    return np.where(rest, max(wanted, 1.0) / max(rest.sum(), 1), 1.0)


def fit_clicks(data: FitData, chance: Floats) -> ClickFit:
    """Intercept and weights by penalised maximum likelihood.

    Standard errors are the larger of two: from the expected information, and from the spread of
    the score between slates (the sandwich of Huber 1967, for responses that go together).
    """
    covariates = [data.covariate(name) for name in COVARIATES]
    design = np.column_stack([np.ones(len(data.response)), *covariates])
    weight = np.ones(len(data.response)) if data.weight is None else data.weight
    penalty = np.full(design.shape[1], _WEIGHT_DEVIATION**-2.0)
    penalty[0] = _INTERCEPT_DEVIATION**-2.0

    def loss(weights: Floats) -> tuple[float, Floats]:
        values, slopes = _likelihood(design @ weights, data.response, chance)
        total = float((weight * values).sum() - 0.5 * (penalty * weights**2).sum())
        return -total, -(design.T @ (weight * slopes) - penalty * weights)

    start = np.zeros(design.shape[1])
    start[0] = -1.0
    fit = minimize(loss, x0=start, jac=True, method="L-BFGS-B", options={"ftol": 1e-12})
    values, slopes = _likelihood(design @ fit.x, data.response, chance)
    information = weight * _information(design @ fit.x, chance)
    bread = np.linalg.inv((design * information[:, None]).T @ design + np.diag(penalty))
    scores = np.zeros((int(data.slates().max(initial=-1)) + 1, design.shape[1]))
    np.add.at(scores, data.slates(), design * (weight * slopes)[:, None])
    robust = bread @ (scores.T @ scores + np.diag(penalty)) @ bread
    return ClickFit(
        weights=np.asarray(fit.x, dtype=np.float64),
        errors=np.sqrt(np.maximum(np.diag(bread), np.diag(robust))),
        log_likelihood=weight * values,
        penalty=float(0.5 * (penalty * fit.x**2).sum()),
        informed=(True, *(bool(np.any(column != 0)) for column in covariates)),
    )


def _likelihood(log_odds: Floats, response: Floats, chance: Floats) -> tuple[Floats, Floats]:
    """Log-likelihood of each row, and its derivative by the row's log-odds."""
    click = sigmoid(log_odds)
    probability = np.clip(chance * click, 1e-12, 1 - 1e-12)
    values = np.where(response > 0, np.log(probability), np.log1p(-probability))
    slopes = (1 - click) * np.where(response > 0, 1.0, -probability / (1 - probability))
    return values, slopes


def _information(log_odds: Floats, chance: Floats) -> Floats:
    """Expected (Fisher) information of each row about its log-odds."""
    click = sigmoid(log_odds)
    probability = np.clip(chance * click, 1e-12, 1 - 1e-12)
    return np.asarray(probability * (1 - click) ** 2 / (1 - probability), dtype=np.float64)
