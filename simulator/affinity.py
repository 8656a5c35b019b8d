"""How well an item suits a persona's habits, before the language model is asked.

The affinity is log-grounded: the logarithm of the persona's interest in the item's category, less
what the price costs a price-sensitive shopper. How much it counts is fitted on the log.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from footfall.personas.persona import Persona
from footfall.simulator.needs import category_prefixes

__all__ = ["affinities"]

#: Interest assumed in a category that the persona has never bought from.
_UNKNOWN_INTEREST = 0.002


def affinities(
    persona: Persona, categories: Sequence[str | None], prices: Sequence[float | None]
) -> npt.NDArray[np.float64]:
    """Affinity of each item of one slate, shape (slate,), in log units."""
    interest = np.asarray([_interest(persona, category) for category in categories])
    known = np.asarray(
        [np.log(price) if price is not None and price > 0 else np.nan for price in prices],
        dtype=np.float64,
    )
    if np.isfinite(known).any():
        excess = np.nan_to_num(known - np.nanmean(known))
    else:
        excess = np.zeros(len(known))
    return np.asarray(np.log(interest) - persona.price_sensitivity * excess, dtype=np.float64)


def _interest(persona: Persona, category: str | None) -> float:
    weights = [persona.interests.get(prefix, 0.0) for prefix in category_prefixes(category)]
    return max([*weights, _UNKNOWN_INTEREST])
