"""How often each shopper of a population comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from footfall.errors import PersonaError
from footfall.personas.persona import Persona

__all__ = ["sessions_per_shopper"]


def sessions_per_shopper(
    personas: Sequence[Persona], total: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Share ``total`` sessions out by activity: multinomial counts, shape ``(len(personas),)``.

    Some shoppers may get none, as in a real log that is looked at for some weeks only.

    Raises
    ------
    PersonaError
        If there is no persona.
    """
    if not personas:
        raise PersonaError("There are no shoppers.", hint="Make some with `footfall personas`.")
    activity = np.asarray([persona.activity for persona in personas], dtype=np.float64)
    # Dividing first keeps the sum finite whatever the unit of the activities.
    activity /= activity.max()
    return np.asarray(rng.multinomial(total, activity / activity.sum()), dtype=np.int64)
