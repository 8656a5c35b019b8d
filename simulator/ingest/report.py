"""What an ingest did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from footfall.simulator.log import Log
from footfall.simulator.schema import TABLES

__all__ = ["IngestReport", "report_on"]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did.

    Attributes
    ----------
    path:
        The new log.
    run_id:
        The ingest's row in ``runs``; its rejects carry it.
    rows:
        Rows per table of the new log.
    rejects:
        Rows set aside, per reason and source: ``"sources: reason"`` to count.
    collapsed:
        Source rows that repeat another, per table, and so are not rows of their own.
    source_rows:
        Data rows read, per part of the mapping (or file).
    positives:
        Impressions with a click, a cart or a purchase.
    seconds:
        Wall-clock time.
    """

    path: Path
    run_id: str
    rows: dict[str, int]
    rejects: dict[str, int]
    collapsed: dict[str, int]
    source_rows: dict[str, int]
    positives: int
    seconds: float

    def __str__(self) -> str:
        """What was written, what was set aside and why, one line each."""
        written = ", ".join(
            f"{count:,} {table}"
            for table, count in self.rows.items()
            if count and table not in {"runs", "rejects"}
        )
        lines = [
            f"{self.path}: {written}.",
            f"{self.positives:,} impressions have a response. {self.seconds:,.1f} s.",
        ]
        if self.rejects:
            lines.append(f"{sum(self.rejects.values()):,} malformed rows set aside (`rejects`):")
            lines += [f"  {count:,} in {reason}" for reason, count in self.rejects.items()]
        lines += [f"{count:,} repeated {table} folded." for table, count in self.collapsed.items()]
        return "\n".join(lines)

    def table(self) -> pa.Table:
        """Return rows per table of the new log: columns ``table`` and ``rows``."""
        return pa.table({"table": list(self.rows), "rows": list(self.rows.values())})


def report_on(
    log: Log,
    path: Path,
    run_id: str,
    *,
    collapsed: dict[str, int],
    source_rows: dict[str, int],
    seconds: float,
) -> IngestReport:
    """Count what is in a log that has just been filled."""
    rejects = log.query(
        "SELECT source || ': ' || reason AS reason, count(*) AS rows FROM rejects "
        "GROUP BY ALL ORDER BY rows DESC, reason"
    )
    return IngestReport(
        path=path,
        run_id=run_id,
        rows={table: log.count(table) for table in TABLES},
        rejects=dict(zip(rejects["reason"].to_pylist(), rejects["rows"].to_pylist(), strict=True)),
        collapsed={table: count for table, count in collapsed.items() if count},
        source_rows=source_rows,
        positives=int(
            log.scalar("SELECT count(*) FROM impressions WHERE clicked OR carted OR purchased")
        ),
        seconds=seconds,
    )
