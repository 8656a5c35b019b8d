"""Refuses personas that were fitted on what a simulation must not know."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from footfall.errors import DataError
from footfall.personas.persona import WHOLE_LOG, Persona
from footfall.simulator.catalog import utc_moment

__all__ = ["check_persona_knowledge"]


def check_persona_knowledge(
    personas: Iterable[Persona],
    *,
    until: datetime | None,
    part: str | None,
    fitted_elsewhere: bool = False,
) -> None:
    """Refuse personas whose interests and histories hold more than a run may know.

    Personas that do not say what they are fitted on are taken as written by hand.

    Parameters
    ----------
    personas:
        All of the run's.
    until:
        End of what the run may know; all of the log where there is none.
    part:
        Digest of the training part that the log is, if it is one.
    fitted_elsewhere:
        Accept personas that were not fitted on that very part.

    Raises
    ------
    DataError
        If one knows more; the message names it.
    """
    for persona in personas:
        known = persona.fitted_until
        if known is None or (part is not None and persona.fitted_part == part):
            continue
        if part is not None and not fitted_elsewhere:
            raise DataError(
                f"The persona {persona.persona_id} was not fitted on this training part "
                f"({persona.fitted_part or 'but on a whole log'}), so it may know what is held "
                "out.",
                hint="Make the personas from the training part's own log.",
            )
        if until is not None and (
            known == WHOLE_LOG or utc_moment(datetime.fromisoformat(known)) > until
        ):
            end = "its end" if known == WHOLE_LOG else known
            raise DataError(
                f"The persona {persona.persona_id} was fitted on the log until {end}, and the "
                f"shoppers may know it until {until.isoformat()}.",
                hint="Make the personas with the same --until, or simulate with a later one.",
            )
