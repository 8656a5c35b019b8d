"""Negatives drawn from small and large pools."""

import pyarrow as pa
import pytest

from footfall.simulator.ingest.sampling import draw_others
from footfall.simulator.log import Log

TARGETS = 60


def drawn(path, size, *, count=5, seed=0, weights=None, taken=3):
    """Items drawn by target; every target has taken the first ``taken`` items of its pool."""
    with Log.create(path) as log:
        tables = {
            "pool_items": pa.table(
                {
                    "pool": pa.array([1] * size, pa.int64()),
                    "item_id": [f"i{n:04d}" for n in range(size)],
                    "weight": weights or [1] * size,
                }
            ),
            "targets": pa.table(
                {
                    "target": [f"t{n}" for n in range(TARGETS)],
                    "pool": pa.array([1] * TARGETS, pa.int64()),
                }
            ),
            "taken": pa.table(
                {
                    "target": [f"t{n}" for n in range(TARGETS) for _ in range(taken)],
                    "item_id": [f"i{n:04d}" for _ in range(TARGETS) for n in range(taken)],
                }
            ),
        }
        for name, table in tables.items():
            log.execute(f"CREATE TEMP TABLE {name} AS FROM given", given=table)
        draw_others(log, count=count, seed=seed, weighted=weights is not None)
        rows = log.query("SELECT * FROM drawn ORDER BY target, draw").to_pylist()
    found = {}
    for row in rows:
        found.setdefault(row["target"], []).append(row["item_id"])
    return found, {row["sample_rate"] for row in rows}


@pytest.mark.parametrize("size", [30, 400])
def test_draws_are_distinct_untaken_and_at_the_rate_that_they_say(tmp_path, size):
    found, rates = drawn(tmp_path / "a.duckdb", size)
    assert len(found) == TARGETS
    for items in found.values():
        assert len(set(items)) == len(items) == 5
        assert not {"i0000", "i0001", "i0002"} & set(items)
    assert rates == {5 / (size - 3)}


@pytest.mark.parametrize("size", [30, 400])
def test_every_target_draws_for_itself_and_by_the_seed(tmp_path, size):
    first, _ = drawn(tmp_path / "a.duckdb", size)
    again, _ = drawn(tmp_path / "b.duckdb", size)
    other, _ = drawn(tmp_path / "c.duckdb", size, seed=1)
    assert first == again != other
    assert len({tuple(items) for items in first.values()}) > TARGETS // 2
    seen = {item for items in first.values() for item in items}
    assert len(seen) > 0.35 * size


def test_a_pool_with_too_few_gives_all_it_has(tmp_path):
    found, rates = drawn(tmp_path / "a.duckdb", 6)
    assert all(sorted(items) == ["i0003", "i0004", "i0005"] for items in found.values())
    assert rates == {1.0}


@pytest.mark.parametrize("size", [30, 400])
def test_heavy_items_are_drawn_more_often(tmp_path, size):
    weights = [1] * (size // 2) + [9] * (size - size // 2)
    found, _ = drawn(tmp_path / "a.duckdb", size, count=3, weights=weights, taken=0)
    heavy = [int(item[1:]) >= size // 2 for items in found.values() for item in items]
    assert 0.75 < sum(heavy) / len(heavy) < 0.99
