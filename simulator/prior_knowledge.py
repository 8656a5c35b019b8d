"""Refuses what was learned from more of a log than a simulation may know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from footfall.errors import DataError
from footfall.simulator.catalog import utc_moment

__all__ = ["Learned", "check_learned"]


@dataclass(frozen=True)
class Learned:
    """Something that was learned from a log, and from how much of it.

    Parameters
    ----------
    what, how:
        For messages: ``The model m`` was ``tuned``.
    until:
        End of what it was learned from (ISO 8601); none is all of the log.
    part:
        Digest of the training part that the log was, if it was one.
    again_on_part, again_until:
        What to do about it, for messages.
    """

    what: str
    how: str
    until: str | None
    part: str | None
    again_on_part: str
    again_until: str


def check_learned(
    learned: Learned, *, until: datetime | None, part: str | None, elsewhere: bool
) -> None:
    """Refuse what knows more than a run may.

    Parameters
    ----------
    learned:
        What the run would use.
    until:
        End of what the run may know; all of the log where there is none.
    part:
        Digest of the training part that the log is, if it is one: what is held out of it is told by
        no time.
    elsewhere:
        Accept what was not learned from that very part. It may know what is held out.

    Raises
    ------
    DataError
        If it knows more, or does not say how much.
    """
    if part is not None and learned.part == part:
        return
    if part is not None and not elsewhere:
        raise DataError(
            f"{learned.what} was not {learned.how} on this training part "
            f"({learned.part or 'but on a whole log'}), so it may know what is held out.",
            hint=learned.again_on_part,
        )
    known = learned.until
    if until is not None and (known is None or utc_moment(datetime.fromisoformat(known)) > until):
        raise DataError(
            f"{learned.what} was {learned.how} on the log until {known or 'its end'}, and the "
            f"shoppers may know it until {until.isoformat()}.",
            hint=learned.again_until,
        )
