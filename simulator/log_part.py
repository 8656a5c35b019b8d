"""Whether a log is the training part of another, and of which cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["PART_KIND", "log_part"]

#: Kind of the run that a training part says its cut in.
PART_KIND: Final = "part"


def log_part(log: Log) -> str | None:
    """Digest of the cut that this log is the training part of; none for a whole log.

    A run stores it as ``knowledge_part``: what it learned from held nothing but that part.
    """
    rows = log.query(
        "SELECT configuration FROM runs WHERE kind = $kind", {"kind": PART_KIND}
    ).to_pylist()
    return str(json.loads(rows[0]["configuration"])["part"]) if rows else None
