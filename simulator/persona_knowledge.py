"""Refuses personas that were fitted on what a simulation must not know."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from footfall.personas.persona import WHOLE_LOG, Persona
from footfall.simulator.prior_knowledge import Learned, check_learned

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
        if known is None:
            continue
        fitted = Learned(
            what=f"The persona {persona.persona_id}",
            how="fitted",
            until=None if known == WHOLE_LOG else known,
            part=persona.fitted_part,
            again_on_part="Make the personas from the training part's own log.",
            again_until="Make the personas with the same --until, or simulate with a later one.",
        )
        check_learned(fitted, until=until, part=part, elsewhere=fitted_elsewhere)
