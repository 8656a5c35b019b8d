"""A whole stress test of a server behind an address, and of one that misbehaves."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from target_shop import reference_server

import footfall
from footfall.eval.stress.settings import StressSettings
from footfall.personas import Persona
from footfall.simulator import Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)
QUICK = StressSettings(until=UNTIL, sessions=25, days=1, resamples=20)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("http") / "shop.duckdb"
    rng = np.random.default_rng(0)
    tables = {
        "items": [
            {"item_id": f"i{n}", "text": f"tea {n}", "category": "food > tea", "price": 2.0}
            for n in range(12)
        ],
        "users": [{"user_id": f"u{n}", "locale": "en_US"} for n in range(8)],
        "sessions": [],
        "searches": [],
        "impressions": [],
    }
    for page in range(80):
        key, at = f"s{page}", UNTIL - timedelta(hours=page + 1)
        tables["sessions"].append({"session_id": key, "user_id": f"u{page % 8}", "started_at": at})
        tables["searches"].append(
            {
                "search_id": key,
                "session_id": key,
                "step": 1,
                "page": 1,
                "query": "tea",
                "candidates": "logged",
                "searched_at": at,
            }
        )
        tables["impressions"] += [
            {
                "search_id": key,
                "position": rank,
                "item_id": f"i{item}",
                "clicked": bool(rng.random() < 0.2),
                "shown_at": at,
                "sample_rate": 1.0,
            }
            for rank, item in enumerate(rng.choice(12, 6, replace=False).tolist(), start=1)
        ]
    with Log.create(path) as made:
        for name, records in tables.items():
            rows = [{**record, "origin": "real"} for record in records]
            made.append(name, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[name]))
    return path


@pytest.fixture(scope="module")
def people():
    return [Persona(persona_id=f"p{n}", interests={"food > tea": 1.0}) for n in range(6)]


def test_a_server_is_taught_asked_and_measured(log, people, address):
    result = footfall.stress(address, log=log, personas=people, settings=QUICK, timeout=10.0)
    (found,) = result.scenarios
    assert found.measure("failed pages").value == 0.0
    assert found.measure("coverage").value > 0.5
    assert 0.0 < found.measure("latency p50").value < 10.0


def test_a_server_that_fails_loses_pages_and_says_why(log, people):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with reference_server("--fault", "error", "--share", "0.5") as address:
        result = footfall.stress(address, log=log, personas=people, settings=QUICK, timeout=10.0)
    (found,) = result.scenarios
    assert 0.2 < found.measure("errors").value < 0.8
    assert any("500" in problem for problem in found.problems)
