"""Small shops and crowds written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from footfall.eval.stress.changed_items import target_items
from footfall.eval.stress.world import ScenarioWorld, StressWorld
from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd_events import (
    IMPRESSION_SCHEMA,
    PAGE_SCHEMA,
    VISIT_SCHEMA,
    CrowdEvents,
)
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.targets import EVENT_SCHEMA

UNTIL = datetime(2017, 5, 16)
AT = UNTIL + timedelta(hours=9)


def catalog_of(items: Sequence[Mapping[str, Any]]) -> Catalog:
    names = ("item_id", "text", "category", "brand", "price", "popularity")
    rows = [{name: item.get(name) for name in names} for item in items]
    for row in rows:
        row["text"] = row["text"] or f"text of {row['item_id']}"
        row["popularity"] = row["popularity"] or 0
    types = [pa.string()] * 4 + [pa.float64(), pa.int64()]
    schema = pa.schema(list(zip(names, types, strict=True)))
    return Catalog.from_table(pa.Table.from_pylist(rows, schema=schema))


def scene(items, *, cold: Sequence[str] = (), attacked: Sequence[str] = ()) -> ScenarioWorld:
    """A shop in which a scenario happens, as far as measures look at it."""
    catalog = catalog_of([{"item_id": i} if isinstance(i, str) else i for i in items])
    available = np.ones(len(catalog), dtype=bool)
    empty = np.zeros(0, dtype=np.int64)
    return ScenarioWorld(
        catalog=catalog,
        personas=[],
        items=target_items(catalog, available),
        events=EVENT_SCHEMA.empty_table(),
        available=available,
        plan=VisitPlan(
            number=empty,
            shopper=empty,
            started_at=empty.astype("datetime64[us]"),
            day=empty.astype(np.int32),
            role=empty.astype(np.int8),
        ),
        demand=({},),
        attacked=tuple(attacked),
        cold=frozenset(cold),
    )


def visit(shopper: str, *pages: Mapping[str, Any], role: str = "shopper") -> dict[str, Any]:
    return {"shopper": shopper, "pages": pages, "role": role}


def page(
    items: Sequence[str] = (),
    *,
    clicked: Sequence[str] = (),
    bought: Sequence[str] = (),
    gains: Sequence[float | None] | None = None,
    prices: Sequence[float | None] | None = None,
    **columns: Any,
) -> dict[str, Any]:
    """One page: items in their order, and columns of the table of pages."""
    shown = [
        {
            "position": place,
            "item_id": item,
            "clicked": item in clicked,
            "purchased": item in bought,
            "gain": gains[place - 1] if gains else None,
            "price": prices[place - 1] if prices else None,
        }
        for place, item in enumerate(items, start=1)
    ]
    return {"shown": shown, "page": 1, "seconds": 0.1, **columns}


def crowd(*visits: Mapping[str, Any]) -> CrowdEvents:
    came, asked, shown = [], [], []
    for number, each in enumerate(visits):
        key = f"v{number}"
        came.append(
            {
                "session_id": key,
                "shopper_id": each["shopper"],
                "day": 0,
                "started_at": AT,
                "role": each["role"],
            }
        )
        for step, one in enumerate(each["pages"], start=1):
            search = f"{key}/{step}"
            columns = {name: value for name, value in one.items() if name != "shown"}
            asked.append({"search_id": search, "session_id": key, "step": step, **columns})
            shown += [{"search_id": search, **item} for item in one["shown"]]
    return CrowdEvents(
        pa.Table.from_pylist(came, schema=VISIT_SCHEMA),
        pa.Table.from_pylist(asked, schema=PAGE_SCHEMA),
        pa.Table.from_pylist(shown, schema=IMPRESSION_SCHEMA),
    )


CATEGORIES = ("tea > green", "tea > black", "bread > rye", "salt", "chocolate > dark")


def small_shop(
    *, items: int = 60, people: int = 12, events: int = 400, seed: int = 0
) -> StressWorld:
    """A shop with prices, brands, categories, and a log of purchases."""
    rng = np.random.default_rng(seed)
    catalog = catalog_of(
        [
            {
                "item_id": f"i{place:03d}",
                "text": f"thé vert {place}" if place % 3 else f"纯牛奶 {place // 6}",
                "category": CATEGORIES[place % len(CATEGORIES)],
                "brand": f"brand {place % 4}" if place % 5 else None,
                "price": None if place == 7 else 1.0 + place,
                "popularity": int(rng.integers(0, 50)),
            }
            for place in range(items)
        ]
    )
    texts = catalog.texts()
    personas = [
        Persona(
            persona_id=f"p{number}",
            interests={"tea > green": 0.5, "tea": 0.2, "bread": 0.2, "salt": 0.1},
            history=tuple(texts[place] for place in rng.integers(0, items, size=4).tolist()),
            price_sensitivity=number / people,
            activity=1.0 + number,
        )
        for number in range(people)
    ]
    back = [UNTIL - timedelta(hours=int(hour)) for hour in rng.integers(1, 900, size=events)]
    log = {
        "shopper_id": [f"u{number}" for number in rng.integers(0, people, size=events).tolist()],
        "item_id": [f"i{place:03d}" for place in rng.integers(0, items, size=events).tolist()],
        "at": sorted(back),
        "query": pa.nulls(events, pa.string()),
        "position": pa.nulls(events, pa.int32()),
        "clicked": [True] * events,
        "carted": pa.nulls(events, pa.bool_()),
        "purchased": [True] * events,
    }
    return StressWorld(
        catalog=catalog,
        personas=personas,
        items=target_items(catalog, np.ones(items, dtype=bool)),
        events=pa.table(log, schema=EVENT_SCHEMA),
        arrivals=Arrivals(UNTIL, 4.0, np.full(168, 1 / 168)),
        until=UNTIL,
    )
