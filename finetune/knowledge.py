"""Refuses synthetic rows whose maker may have seen the test part."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from footfall.errors import DataError
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log_part import log_part

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["check_knowledge"]


def check_knowledge(
    log: Log, origins: pa.Table, until: datetime | None, *, allow_unknown: bool = False
) -> None:
    """Refuse runs that have seen the log after ``until``, or more than its training part.

    A run says in its configuration what it has seen: ``knowledge_until`` (ISO 8601), and
    ``knowledge_part`` where it was made on a training part
    (:func:`~footfall.finetune.parts.copy_training_part`). In a training part only runs that were
    made on that very part count: held-out items or people are not told by a time.

    Parameters
    ----------
    log:
        The log that holds the runs.
    origins:
        Their ids and ``real``, in the column ``origin``.
    until:
        End of the training part; none only where the log is a training part.
    allow_unknown:
        Accept runs that do not say what they have seen.

    Raises
    ------
    DataError
        If a run is unknown, says nothing, or has or may have seen more.
    """
    part = log_part(log)
    runs = log.query(
        "SELECT c.origin, r.run_id, r.configuration FROM chosen_origins c "
        "LEFT JOIN runs r ON r.run_id = c.origin WHERE c.origin <> 'real' ORDER BY 1",
        chosen_origins=origins,
    ).to_pylist()
    for run in runs:
        if run["run_id"] is None:
            raise DataError(
                f"The log has no run {run['origin']!r}.", hint="List the runs with `footfall runs`."
            )
        configuration = json.loads(run["configuration"] or "{}")
        if part is not None:
            _check_part(run["origin"], configuration, part, allow_unknown)
            if configuration.get("knowledge_until") is None:
                continue
        if until is not None or part is None:
            _check_time(run["origin"], configuration, until, allow_unknown)


def _check_part(name: str, configuration: dict[str, Any], part: str, allow_unknown: bool) -> None:
    said = configuration.get("knowledge_part")
    if said == part or (said is None and allow_unknown):
        return
    raise DataError(
        f"Run {name!r} was not made on this training part ({said or 'it names none'}), so it may "
        "have seen what is held out.",
        hint="Simulate again on the training part's own log.",
    )


def _check_time(
    name: str, configuration: dict[str, Any], until: datetime | None, allow_unknown: bool
) -> None:
    said = configuration.get("knowledge_until")
    if said is None and not allow_unknown:
        raise DataError(
            f"The configuration of run {name!r} does not say what it has seen "
            "(knowledge_until), so its rows may carry the test part into training.",
            hint="Simulate again, or pass allow_unknown_knowledge=True if you know better.",
        )
    if said is not None and until is not None and _moment(name, said) > until:
        raise DataError(
            f"Run {name!r} has seen the log until {said}, later than the end of the training "
            f"part, {until.isoformat()}.",
            hint="Simulate again with an earlier end of the training part.",
        )


def _moment(run: str, text: object) -> datetime:
    try:
        return utc_moment(datetime.fromisoformat(str(text)))
    except ValueError as error:
        raise DataError(
            f"Run {run!r}, configuration, knowledge_until: {text!r} is not an ISO 8601 time."
        ) from error
