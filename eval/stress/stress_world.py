"""The shop before any scenario, read from a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa

from footfall.eval.stress.changed_items import target_items
from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.fit_season import fit_season
from footfall.simulator.log import Log
from footfall.simulator.schema import ORIGIN_REAL
from footfall.simulator.taken_items import read_taken_items
from footfall.simulator.targets.protocol import EVENT_SCHEMA
from footfall.simulator.typing_slips import TypingSlips

__all__ = ["StressWorld", "read_events", "read_world"]

#: Weeks are only asked for to be larger than a visit: hours of the week come from the whole log.
_WEEKS: Final = 4.0

# A purchase may be recorded twice: on the page that led to it and as a purchase. It counts once.
_EVENTS: Final = """
WITH shown AS (
    SELECT user_id AS shopper_id, item_id, session_id,
           coalesce(shown_at, searched_at, clicked_at, purchased_at, started_at) AS "at",
           query, position, clicked, carted, purchased
    FROM impressions JOIN searches USING (search_id) JOIN sessions USING (session_id)
    WHERE impressions.origin = $origin
), bought AS (
    SELECT user_id AS shopper_id, item_id, session_id, purchased_at AS "at", NULL::VARCHAR AS query,
           NULL::INTEGER AS position, NULL::BOOLEAN AS clicked, NULL::BOOLEAN AS carted,
           true AS purchased
    FROM purchases ANTI JOIN (SELECT session_id, item_id FROM shown WHERE purchased)
    USING (session_id, item_id)
    WHERE origin = $origin
)
SELECT shopper_id, item_id, "at", query, position, clicked, carted, purchased
FROM (FROM shown UNION ALL FROM bought) SEMI JOIN kept USING (item_id)
WHERE $until::TIMESTAMP IS NULL OR "at" < $until::TIMESTAMP
ORDER BY "at", shopper_id, item_id, position
"""


@dataclass(frozen=True, slots=True)
class StressWorld:
    """A shop before any scenario.

    Attributes
    ----------
    catalog:
        The items.
    personas:
        The population.
    items, events:
        What a target learns from, as in :data:`~footfall.simulator.targets.ITEM_SCHEMA` and
        :data:`~footfall.simulator.targets.EVENT_SCHEMA`.
    arrivals:
        At which hours people come.
    until:
        Nothing later is known; the run begins then.
    season:
        Twelve factors of demand by top-level category, where the log shows seasons.
    slips:
        The kinds of typing slips.
    """

    catalog: Catalog
    personas: Sequence[Persona]
    items: pa.Table
    events: pa.Table
    arrivals: Arrivals
    until: datetime
    season: Mapping[str, Sequence[float]] = field(default_factory=dict)
    slips: TypingSlips = field(default_factory=TypingSlips)


def read_world(
    log: Log,
    personas: Sequence[Persona],
    *,
    until: datetime | None,
    most_items: int | None = None,
) -> StressWorld:
    """Read the shop as it was known before ``until``.

    Parameters
    ----------
    log:
        The log; only its real rows count.
    personas:
        The population, such as :func:`footfall.make_personas` makes.
    until:
        Nothing later is looked at. Without, the last real session's time.
    most_items:
        Only so many items are in the shop, the most popular before ``until``.

    Raises
    ------
    CatalogueError
        If the log has no items.
    EmptyLogError
        If neither ``until`` nor a real session tells the time.
    """
    arrivals = Arrivals.from_log(log, until=until, weeks=_WEEKS)
    until = arrivals.until
    catalog = Catalog.from_log(log, until=until)
    if most_items is not None and most_items < len(catalog):
        kept = np.sort(catalog.popularity_order()[:most_items])
        catalog = catalog.subset(catalog.item_ids[kept].tolist())
    taken = read_taken_items(log, until=until)
    season = {} if taken is None else fit_season(taken).get("season", {})
    return StressWorld(
        catalog=catalog,
        personas=list(personas),
        items=target_items(catalog, np.ones(len(catalog), dtype=bool)),
        events=read_events(log, catalog, until=until),
        arrivals=arrivals,
        until=until,
        season=season,
        slips=TypingSlips.fit(log, until=until),
    )


def read_events(log: Log, catalog: Catalog, *, until: datetime | None) -> pa.Table:
    """What happened to the items of ``catalog`` before ``until``, in time order.

    As in :data:`~footfall.simulator.targets.EVENT_SCHEMA`: real impressions, and real purchases
    that no impression tells of.
    """
    found = log.query(
        _EVENTS,
        {"origin": ORIGIN_REAL, "until": utc_moment(until)},
        kept=catalog.table.select(["item_id"]),
    )
    return found.cast(EVENT_SCHEMA)
