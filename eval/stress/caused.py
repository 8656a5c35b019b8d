"""What a target caused: a crowd's impressions as events that it can be trained on again."""

from __future__ import annotations

import pyarrow as pa

from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.targets.protocol import EVENT_SCHEMA

__all__ = ["caused_events"]

_SQL = """
SELECT visits.shopper_id, impressions.item_id, pages.searched_at AS "at", pages.query,
       impressions.position, impressions.clicked, impressions.carted, impressions.purchased
FROM impressions JOIN pages USING (search_id) JOIN visits USING (session_id)
ORDER BY "at", search_id, position
"""


def caused_events(events: CrowdEvents) -> pa.Table:
    """Every item shown, as in :data:`~footfall.simulator.targets.protocol.EVENT_SCHEMA`.

    Attackers' visits are among them: a shop cannot tell them from others.
    """
    with events.opened() as connection:
        found = connection.sql(_SQL).to_arrow_table()
    return found.cast(EVENT_SCHEMA)
