"""Frequencies of outcomes in nested contexts, where a context with little data borrows."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BackOff", "crossed", "pick"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]


class BackOff:
    """Draws outcomes given contexts, each of which may lie within a wider one.

    With ``n`` observations a context draws from its own frequencies with probability
    ``n / (n + strength)`` and asks the wider context otherwise: the predictive distribution of a
    hierarchical Dirichlet prior (MacKay and Peto 1995, "A hierarchical Dirichlet language model").

    Parameters
    ----------
    contexts, outcomes:
        What was seen, both of shape ``(observations,)``, from 0.
    wider:
        The wider context of each, -1 for the widest, shape ``(contexts,)``. Observations count
        in all wider contexts too.
    strength:
        How many observations the wider context is worth.
    weights:
        Of each observation; one each where left out.
    """

    def __init__(
        self,
        contexts: Integers,
        outcomes: Integers,
        wider: Integers,
        *,
        strength: float,
        weights: Floats | None = None,
    ) -> None:
        weights = np.ones(len(contexts)) if weights is None else weights
        span = int(outcomes.max()) + 1 if len(outcomes) else 1
        keys, totals = _summed(contexts * span + outcomes, weights)
        level_keys, level_totals = keys, totals
        found = [(keys, totals)]
        while len(level_keys):
            above = wider[level_keys // span]
            inside = above >= 0
            level_keys, level_totals = _summed(
                above[inside] * span + level_keys[inside] % span, level_totals[inside]
            )
            found.append((level_keys, level_totals))
        keys, totals = _summed(*(np.concatenate(part) for part in zip(*found, strict=True)))
        self._outcomes: Integers = keys % span
        self._cumulated = np.append(0.0, np.cumsum(totals))
        self._begin = np.searchsorted(keys // span, np.arange(len(wider)))
        self._end = np.searchsorted(keys // span, np.arange(len(wider)), side="right")
        self._wider = wider
        self._strength = strength

    def draw(self, contexts: Integers, generator: np.random.Generator) -> Integers:
        """An outcome for each context; -1 where neither it nor a wider one was ever seen."""
        drawn = np.full(len(contexts), -1, dtype=np.int64)
        open_ = np.arange(len(contexts))
        context = contexts
        while len(open_):
            low, high = self._cumulated[self._begin[context]], self._cumulated[self._end[context]]
            above = self._wider[context]
            share = _own_share(high - low, np.where(above >= 0, self._strength, 0.0))
            own = generator.random(len(open_)) < share
            place = np.searchsorted(
                self._cumulated, low + generator.random(len(open_)) * (high - low), side="right"
            )
            place = np.clip(place - 1, self._begin[context], self._end[context] - 1)
            drawn[open_[own]] = self._outcomes[place[own]]
            going = ~own & (above >= 0)
            open_, context = open_[going], above[going]
        return drawn


def crossed(wider: Integers, kinds: int) -> Integers:
    """The wider contexts of contexts that also know one of ``kinds`` things.

    Context ``c`` with thing ``k`` is number ``c * kinds + k`` and lies in that of ``wider[c]``
    with the same thing. The shape is ``(contexts * kinds,)``.
    """
    above = np.where(wider < 0, -1, wider * kinds)[:, None]
    inside: Integers = np.where(above < 0, above, above + np.arange(kinds)).reshape(-1)
    return inside


def pick(weights: Floats, count: int, generator: np.random.Generator) -> Integers:
    """``count`` places of ``weights``, drawn in proportion to them, shape ``(count,)``."""
    cumulated = np.cumsum(weights)
    drawn = np.searchsorted(cumulated, generator.random(count) * cumulated[-1], side="right")
    places: Integers = np.minimum(drawn, len(weights) - 1).astype(np.int64)
    return places


def _own_share(observed: Floats, strength: Floats) -> Floats:
    total = observed + strength
    return np.divide(observed, total, out=np.zeros(len(total)), where=total > 0)


def _summed(keys: Integers, weights: Floats) -> tuple[Integers, Floats]:
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(place, weights, minlength=len(distinct)).astype(np.float64)
