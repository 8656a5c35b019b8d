"""What the shoppers of a crowd did, added up by shopper: all that measures are computed from.

Visits of attackers are left out: they are no shoppers, and what they click is no success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix

from footfall.eval.stress.exposure import EXPOSURE_SUMS, PRICE_BANDS, item_facts
from footfall.eval.stress.measure_kinds import Floats
from footfall.eval.stress.relevance import RELEVANCE_SUMS
from footfall.eval.stress.responses import RESPONSE_SUMS
from footfall.eval.stress.waiting import WAITING_SUMS
from footfall.simulator.crowd_events import CrowdEvents

if TYPE_CHECKING:
    from footfall.eval.stress.world import ScenarioWorld

__all__ = ["Cells", "Observed", "observe"]

#: More different waiting times are put into as many classes, each as long as its longest.
_MOST_SECONDS: Final = 2048

_TABLES: Final = """
CREATE TEMP TABLE visited AS SELECT session_id, shopper_id FROM visits WHERE role = 'shopper';
CREATE TEMP TABLE asked AS
SELECT pages.*, shopper_id FROM pages JOIN visited USING (session_id);
CREATE TEMP TABLE shown AS
SELECT shopper_id, session_id, search_id, item_id, impressions.price, gain, needed,
       coalesce(clicked, false) AS clicked, coalesce(purchased, false) AS purchased,
       row_number() OVER (PARTITION BY search_id ORDER BY impressions.position, item_id) AS place,
       items.* EXCLUDE (item_id)
FROM impressions JOIN asked USING (search_id) LEFT JOIN items USING (item_id);
"""
_SUMS: Final = (RESPONSE_SUMS, RELEVANCE_SUMS, EXPOSURE_SUMS, WAITING_SUMS)
#: Things that are counted: the column of ``shown`` that tells them apart.
_CELLS: Final = {"items": "item_id", "sellers": "brand", "price bands": "band"}


@dataclass(frozen=True, slots=True)
class Cells:
    """How often each shopper met each thing.

    ``counts`` has shape (shoppers, things), ``labels`` (things,); ``whole`` counts the things of
    the shop, met or not.
    """

    counts: csr_matrix
    labels: Floats
    whole: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Sums and counts of a crowd.

    Attributes
    ----------
    shoppers:
        Ids of those who came, sorted, shape (shoppers,).
    sums:
        By name, shape (shoppers,).
    cells:
        By what is counted.
    """

    shoppers: npt.NDArray[np.object_]
    sums: Mapping[str, Floats]
    cells: Mapping[str, Cells]


def observe(events: CrowdEvents, world: ScenarioWorld) -> Observed:
    """Add up what shoppers did in ``world``."""
    with events.opened() as connection:
        connection.register("items", item_facts(world))
        connection.execute(_TABLES)
        found = connection.sql(
            "SELECT DISTINCT shopper_id FROM visited ORDER BY shopper_id"
        ).to_arrow_table()
        shoppers = np.asarray(found["shopper_id"].to_pylist(), dtype=object)
        place = pa.table({"shopper_id": found["shopper_id"], "row": np.arange(len(shoppers))})
        connection.register("places", place)
        sums: dict[str, Floats] = {}
        for sql in _SUMS:
            sums |= _sums(connection, sql, len(shoppers))
        whole = {
            "items": len(world.catalog),
            "sellers": connection.execute("SELECT count(DISTINCT brand) FROM items").fetchall(),
            "price bands": PRICE_BANDS,
        }
        cells = {
            name: _cells(connection, column, len(shoppers), whole[name])
            for name, column in _CELLS.items()
        }
        cells["seconds"] = _waiting(connection, len(shoppers))
    return Observed(shoppers, sums, cells)


def _sums(connection: Any, sql: str, shoppers: int) -> dict[str, Floats]:
    """Columns of ``sql`` by shopper; shoppers that it leaves out have 0."""
    rows = connection.sql(
        f"SELECT places.row, found.* EXCLUDE (shopper_id) FROM ({sql}) AS found "
        "JOIN places USING (shopper_id)"
    ).to_arrow_table()
    order = rows["row"].to_numpy()
    found: dict[str, Floats] = {}
    for name in rows.column_names[1:]:
        found[name] = np.zeros(shoppers)
        found[name][order] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _cells(connection: Any, column: str, shoppers: int, whole: Any) -> Cells:
    rows = connection.sql(
        f"""
        SELECT places.row, dense_rank() OVER (ORDER BY shown."{column}") - 1 AS thing,
               count(*) AS times
        FROM shown JOIN places USING (shopper_id) WHERE shown."{column}" IS NOT NULL
        GROUP BY places.row, shown."{column}"
        """
    ).to_arrow_table()
    thing = rows["thing"].to_numpy()
    things = int(thing.max(initial=-1)) + 1
    counts = csr_matrix(
        (rows["times"].to_numpy().astype(np.float64), (rows["row"].to_numpy(), thing)),
        shape=(shoppers, things),
    )
    size = int(whole if isinstance(whole, int) else whole[0][0])
    return Cells(counts, np.arange(things, dtype=np.float64), size)


def _waiting(connection: Any, shoppers: int) -> Cells:
    rows = connection.sql(
        "SELECT places.row, seconds FROM asked JOIN places USING (shopper_id) "
        "WHERE seconds IS NOT NULL"
    ).to_arrow_table()
    times, thing = np.unique(rows["seconds"].to_numpy(), return_inverse=True)
    if len(times) > _MOST_SECONDS:
        bounds = np.arange(1, _MOST_SECONDS + 1) * len(times) // _MOST_SECONDS - 1
        thing, times = np.searchsorted(bounds, thing, side="left"), times[bounds]
    counts = csr_matrix(
        (np.ones(len(thing)), (rows["row"].to_numpy(), thing)), shape=(shoppers, len(times))
    )
    return Cells(counts, times.astype(np.float64), len(times))
