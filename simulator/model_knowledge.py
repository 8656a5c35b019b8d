"""Refuses a language model that was tuned on what a simulation must not know."""

from __future__ import annotations

from datetime import datetime

from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.prior_knowledge import Learned, check_learned

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
    if not identity.tuned:
        return
    model = Learned(
        what=f"The model {identity.model}",
        how="tuned",
        until=identity.tuned_until,
        part=identity.tuned_part,
        again_on_part="Tune it on the training part's own log.",
        again_until="Tune with the same --until, or simulate with a later one.",
    )
    check_learned(model, until=until, part=part, elsewhere=tuned_elsewhere)
