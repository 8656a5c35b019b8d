"""From the engine's scores and the log's own facts to the chance of a click on each item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from footfall.personas.persona import Persona
from footfall.simulator.affinity import affinities
from footfall.simulator.behaviour import (
    Behaviour,
    Floats,
    centred,
    popularity_deviation,
    price_deviation,
    sigmoid,
)
from footfall.simulator.scoring import SlateScores

if TYPE_CHECKING:
    from footfall.simulator.appeal import Appeal

__all__ = ["SlateChances", "slate_chances"]


@dataclass(frozen=True, slots=True)
class SlateChances:
    """Of every item of one slate, top first: chance of a look, and log-odds of a click after it.

    Both have shape (slate,).
    """

    looks: Floats
    log_odds: Floats

    @property
    def clicks(self) -> Floats:
        """Chance of a click on an item that was looked at, shape (slate,)."""
        return sigmoid(self.log_odds)


def slate_chances(
    behaviour: Behaviour,
    persona: Persona,
    query: str | None,
    rows: Sequence[dict[str, Any]],
    scores: SlateScores,
    *,
    appeal: Appeal | None = None,
    exposures: npt.NDArray[np.int64] | None = None,
    fatigue: float = 0.0,
    intent: float = 0.0,
) -> SlateChances:
    """Chances for ``persona`` on a slate, whose items are catalogue ``rows`` in order of position.

    Parameters
    ----------
    appeal:
        The response model of the log, where it is informative.
    exposures:
        How often the persona was shown each item before without responding, shape (slate,).
    fatigue:
        Log-odds per log(1 + exposures).
    intent:
        Log-odds of this visit, whatever the item.
    """
    prices = [row["price"] for row in rows]
    chances = behaviour.click_probabilities(
        centred(scores.log_odds),
        centred(affinities(persona, [row["category"] for row in rows], prices)),
        popularity_deviation(np.asarray([row["popularity"] for row in rows], float)),
        price=price_deviation(prices),
        attraction=scores.attraction,
        appeal=None if appeal is None else appeal.log_odds(persona, query, rows),
    )
    log_odds: Floats = logit(chances) + intent
    if exposures is not None and fatigue:
        log_odds = log_odds + fatigue * np.log1p(np.asarray(exposures, dtype=np.float64))
    return SlateChances(behaviour.looks(len(rows)), log_odds)
