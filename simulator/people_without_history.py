"""People of the log of whom little is known, as personas that visits can be aimed at."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from footfall.errors import InputError, PersonaError
from footfall.personas.persona import Persona
from footfall.simulator.log import Log

__all__ = ["people_without_history"]

_KNOWN = """
SELECT w.user_id, u.locale, u.demographics FROM wanted w
LEFT JOIN (SELECT user_id, min(locale) AS locale, min(demographics) AS demographics
           FROM users WHERE origin = 'real' GROUP BY user_id) u USING (user_id)
ORDER BY w.user_id
"""


def people_without_history(
    log: Log, user_ids: Sequence[str], population: Sequence[Persona], *, seed: int
) -> list[Persona]:
    """A persona for each user: their own demographics, and habits of people like them.

    Interests and habits are those of one persona of the population, drawn from the ones that share
    most of the user's attributes. Of a user of whom nothing is known any persona will do, so that a
    stranger is met as the population is.

    Parameters
    ----------
    log:
        Where the users' demographics are read (table ``users``).
    user_ids:
        Users; those that the log does not know are strangers.
    population:
        Personas fitted on the training part.
    seed:
        Seed of what is drawn.

    Returns
    -------
    list[Persona]
        One a user, in the order of their ids, without history; ``persona_id`` is the user's id.

    Raises
    ------
    PersonaError
        If the population is empty.
    InputError
        If a user's demographics are no JSON object.
    """
    if not population:
        raise PersonaError("There are no personas.", hint="Make some with `footfall personas`.")
    wanted = pa.table({"user_id": pa.array(sorted(set(user_ids)), pa.string())})
    traits = [set(persona.demographics.items()) for persona in population]
    rng = np.random.default_rng([seed, 14])
    made = []
    for row in log.query(_KNOWN, wanted=wanted).to_pylist():
        known = _demographics(row["user_id"], row["demographics"])
        shared = np.array([len(trait & set(known.items())) for trait in traits])
        alike = np.flatnonzero(shared == shared.max())
        model = population[int(rng.choice(alike))]
        told = {"persona_id": row["user_id"], "demographics": known, "history": (), "source": "log"}
        if row["locale"]:
            told["locale"] = row["locale"]
        made.append(model.model_copy(update=told))
    return made


def _demographics(user_id: str, text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"users, user_id {user_id!r}, demographics: not a JSON object.",
            hint="Ingest the log again.",
        )
    return {str(name): str(value) for name, value in found.items() if value}
