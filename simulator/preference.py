"""How much a language model finds people drawn to one item, in log-odds of taking it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from footfall.personas.persona import Persona
from footfall.simulator.engines.protocol import ChoiceAnswer, ChoiceRequest, Engine, ask
from footfall.simulator.prompts import PromptBook

__all__ = ["preferences"]


def preferences(
    engine: Engine,
    prompts: PromptBook,
    asked: Sequence[tuple[Persona, str | None, str]],
) -> np.ndarray[Any, Any]:
    """Log-odds of the item against none, float64, shape (asked,).

    Each item is shown alone. Unusable answers take the mean of the others, or 0. What the words
    favour is not subtracted: it is the same for all, and who uses the values fits a bias.

    Parameters
    ----------
    asked:
        Shopper, query (none when browsing) and item text.
    """
    requests = [
        ChoiceRequest(*prompts.slate(persona, query, [text])) for persona, query, text in asked
    ]
    values = np.full(len(requests), np.nan)
    for place, answer in enumerate(ask(engine, requests)):
        if isinstance(answer, ChoiceAnswer) and answer.usable:
            values[place] = answer.log_probabilities[0] - answer.log_probabilities[-1]
    known = np.isfinite(values)
    values[~known] = values[known].mean() if known.any() else 0.0
    return values
