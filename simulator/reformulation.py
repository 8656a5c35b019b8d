"""How people change a query that did not serve: counted in the log, and done without the model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from footfall.simulator.behaviour import Rate
from footfall.simulator.catalog import utc_moment
from footfall.simulator.language import is_unspaced
from footfall.simulator.log import Log
from footfall.simulator.needs import CATEGORY_SEPARATOR
from footfall.simulator.queries import query_key
from footfall.simulator.query_change import is_reformulation, reformulation_kind

__all__ = [
    "ReformulationExample",
    "Reformulations",
    "broaden",
    "read_reformulation_examples",
]

#: Signs that a query does not begin or end with.
_EDGES: Final = " ,.:;!?-–—/&+、，。：；！？（(【["
_LEAST_PAIRS: Final = 100
_MOST_PAIRS: Final = 50_000
_PAIRS_SQL: Final = """
WITH asked AS (
    SELECT session_id, search_id, query,
           lag(query) OVER (PARTITION BY session_id ORDER BY searched_at, step) AS earlier
    FROM searches
    WHERE origin = 'real' AND query IS NOT NULL AND page = 1
      AND ($until IS NULL OR searched_at < $until)
)
SELECT session_id, search_id, earlier, query AS later FROM asked
WHERE earlier IS NOT NULL AND lower(trim(earlier)) <> lower(trim(query))
"""


def _share_prior(value: float) -> Rate:
    return Rate(value=value, note="assumed equal: fewer than 100 pairs of queries in the log")


class Reformulations(BaseModel):
    """Shares of what the second of two different queries of one visit does to the first.

    A log that keeps only the searches that led to a click does not have the queries typed in vain:
    then ``new`` is too high, and the others describe people who looked on after a find.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    added: Rate = Field(_share_prior(0.2), description="Share that adds words.")
    dropped: Rate = Field(_share_prior(0.2), description="Share that drops words.")
    replaced: Rate = Field(_share_prior(0.2), description="Share that replaces some words.")
    corrected: Rate = Field(_share_prior(0.2), description="Share that corrects the spelling.")
    new: Rate = Field(_share_prior(0.2), description="Share that asks for something else.")

    @classmethod
    def fit(cls, log: Log, *, until: datetime | None = None) -> Reformulations:
        """Count consecutive queries of the same real session before ``until``.

        Of more than 50,000 pairs, as many are drawn by hash. Priors with fewer than 100.
        """
        pairs = log.query(
            f"SELECT earlier, later FROM ({_PAIRS_SQL}) ORDER BY md5(search_id) LIMIT $most",
            {"until": utc_moment(until), "most": _MOST_PAIRS},
        ).to_pylist()
        kinds = [reformulation_kind(pair["earlier"], pair["later"]) for pair in pairs]
        changes = [kind for kind in kinds if kind != "same"]
        if len(changes) < _LEAST_PAIRS:
            return cls()
        note = f"of {len(changes):,} consecutive different queries of a session"
        found = {}
        for kind in cls.model_fields:
            share = changes.count(kind) / len(changes)  # type: ignore[arg-type]
            error = float(np.sqrt(share * (1.0 - share) / len(changes)))
            found[kind] = Rate(value=share, standard_error=error, source="fitted", note=note)
        return cls(**found)


@dataclass(frozen=True, slots=True)
class ReformulationExample:
    """What someone wanted, what they typed in vain, and what led them to it."""

    wanted: str
    earlier: str
    later: str


def read_reformulation_examples(
    log: Log, *, until: datetime | None = None, count: int = 2, seed: int = 0
) -> tuple[ReformulationExample, ...]:
    """Real pairs of queries of which only the second led to a click or a purchase.

    Fewer than ``count`` where the log has fewer; chosen by a hash with ``seed``.
    """
    rows = log.query(
        f"""
        WITH pairs AS ({_PAIRS_SQL}), led AS (
            SELECT search_id, min(item_id) AS item_id FROM impressions
            WHERE origin = 'real' AND (clicked OR purchased) GROUP BY search_id
        ), vain AS (
            SELECT session_id, query AS earlier FROM searches WHERE origin = 'real'
            GROUP BY session_id, query
            HAVING count(*) FILTER (search_id IN (SELECT search_id FROM led)) = 0
        )
        SELECT DISTINCT ON (later) earlier, later, items.text AS wanted
        FROM pairs JOIN led USING (search_id) JOIN items USING (item_id)
        JOIN vain USING (session_id, earlier)
        WHERE length(earlier) BETWEEN 2 AND 40 AND length(later) BETWEEN 2 AND 40
        ORDER BY later, md5(search_id || $seed)
        """,
        {"until": utc_moment(until), "seed": str(seed)},
    )
    ordered = log.query(
        "SELECT * FROM found ORDER BY md5(later || $seed), later", {"seed": str(seed)}, found=rows
    )
    examples = (
        ReformulationExample(row["wanted"], row["earlier"], row["later"])
        for row in ordered.to_pylist()
        if is_reformulation(row["earlier"], row["later"])
    )
    return tuple(example for example, _ in zip(examples, range(count), strict=False))


def broaden(
    query: str, tried: Collection[str], wanted: str | None, *, category: str | None = None
) -> str | None:
    """A wider query than ``query``, made without the model; None when there is nothing left.

    In this order: ``query`` without the words that ``wanted`` does not have, ``query`` without its
    last word, two, ...; the first words of ``wanted``, three, two, one; the last part of
    ``category``. The first of them that was not tried is taken, so repeated calls with what they
    gave end.
    """
    used = {query_key(earlier) for earlier in (*tried, query)}
    for candidate in _wider(query, wanted or "", category or ""):
        if any(sign.isalnum() for sign in candidate) and query_key(candidate) not in used:
            return candidate
    return None


def _wider(query: str, wanted: str, category: str) -> Iterator[str]:
    parts = _parts(query)
    known = query_key(wanted)
    if known:
        yield _joined(part for part in parts if query_key(part) in known)
    for length in range(len(parts) - 1, 0, -1):
        yield _joined(parts[:length])
    words = _parts(wanted)
    for length in (3, 2, 1):
        yield _joined(words[:length])
    yield category.rsplit(CATEGORY_SEPARATOR, maxsplit=1)[-1].lower()


def _parts(text: str) -> list[str]:
    """Words with the blank before them; two signs at a time in scripts without blanks."""
    parts = []
    for chunk in text.split():
        blank = " "
        for unspaced, run in groupby(chunk, key=is_unspaced):
            signs = "".join(run)
            step = 2 if unspaced else len(signs)
            for start in range(0, len(signs), step):
                parts.append(blank + signs[start : start + step])
                blank = ""
    return parts


def _joined(parts: Iterable[str]) -> str:
    return "".join(parts).strip(_EDGES)
