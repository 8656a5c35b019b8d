"""What the log says about one simulated run, and what to know before believing its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from footfall.errors import DataError

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["RunRecord", "has_times", "read_run", "run_cautions"]

_CANDIDATE_CAUTIONS: Final = {
    "reconstructed": "What else was on the page is not in the log: candidates are reconstructed, "
    "and every figure made from them depends on how.",
    "sampled": "Rows without a response were sampled (the rate is kept in the log): rates per "
    "impression are those of the sampled slates, not of everything that was on display.",
}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A row of ``runs`` with its configuration read."""

    row: dict[str, Any]
    configuration: dict[str, Any]

    def known_until(self, log: Log) -> datetime | None:
        """The time up to which the run could know the real log.

        ``None`` for all of it, which is so where the real sessions have no times.
        """
        until = self.configuration.get("knowledge_until")
        if until is None or not has_times(log):
            return None
        return datetime.fromisoformat(until)


def has_times(log: Log) -> bool:
    """Whether any real session has a time."""
    return bool(log.scalar("SELECT count(started_at) FROM sessions WHERE origin = 'real'"))


def read_run(log: Log, run_id: str) -> RunRecord:
    """The record of a simulated run.

    Raises
    ------
    DataError
        If the log has no such run.
    """
    found = log.query(
        "SELECT * FROM runs WHERE run_id = $run AND kind = 'simulate'", {"run": run_id}
    ).to_pylist()
    if not found:
        known = log.query("SELECT run_id FROM runs WHERE kind = 'simulate'")["run_id"].to_pylist()
        raise DataError(
            f"{log.path} has no run {run_id!r}.",
            hint=f"Simulated runs: {', '.join(known) or 'none'}.",
        )
    return RunRecord(found[0], json.loads(found[0]["configuration"] or "{}"))


def run_cautions(log: Log, run: RunRecord) -> list[str]:
    """How the real log's pages are known, and whether the run is whole."""
    kinds = log.query("SELECT DISTINCT candidates FROM searches WHERE origin = 'real'")
    cautions = [
        _CANDIDATE_CAUTIONS[kind]
        for kind in sorted(kinds["candidates"].to_pylist())
        if kind in _CANDIDATE_CAUTIONS
    ]
    if run.row["state"] != "finished":
        cautions.append(f"The run is {run.row['state']}: not all sessions were simulated.")
    if not has_times(log):
        cautions.append(
            "The real log has no times: the run may have learned from the sessions that it is "
            "compared with."
        )
    return cautions
