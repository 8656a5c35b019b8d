"""Refuses a language model that was tuned on what a simulation must not know."""

from __future__ import annotations

from datetime import datetime

from footfall.errors import DataError
from footfall.simulator.catalog import utc_moment
from footfall.simulator.engines.protocol import EngineIdentity

__all__ = ["check_model_knowledge"]


def check_model_knowledge(
    identity: EngineIdentity,
    *,
    until: datetime | None,
    part: str | None,
    tuned_elsewhere: bool = False,
) -> None:
    """Refuse a model tuned on more than a run may know; an untuned one knows nothing of the log.

    Parameters
    ----------
    identity:
        The engine's.
    until:
        End of what the run may know; all of the log where there is none.
    part:
        Digest of the training part that the log is, if it is one: what is held out of it is told by
        no time.
    tuned_elsewhere:
        Accept a model that was not tuned on that very part. It may know what is held out.

    Raises
    ------
    DataError
        If the model knows more, or does not say how much.
    """
    if not identity.tuned or (part is not None and identity.tuned_part == part):
        return
    if part is not None and not tuned_elsewhere:
        raise DataError(
            f"The model {identity.model} was not tuned on this training part "
            f"({identity.tuned_part or 'but on a whole log'}), so it may know what is held out.",
            hint="Tune it on the training part's own log.",
        )
    known = identity.tuned_until
    if until is not None and (known is None or utc_moment(datetime.fromisoformat(known)) > until):
        raise DataError(
            f"The model {identity.model} was tuned on the log until {known or 'its end'}, and the "
            f"shoppers may know it until {until.isoformat()}.",
            hint="Tune with the same --until, or simulate with a later one.",
        )
