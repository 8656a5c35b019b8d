"""Needs fall into the categories that real shoppers respond to."""

import numpy as np
import pytest

from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.demand import fit_demand
from footfall.simulator.log import Log
from footfall.simulator.needs import NeedBook
from footfall.simulator.rhythm import top_category

PEOPLE = [
    Persona(persona_id=f"p{n}", interests={"food > pizza": 0.5, "toys": 0.5}, exploration=0.2)
    for n in range(6)
]


@pytest.fixture
def log(tmp_path, make_log):
    """A shop in which most responses are to toys."""
    path = make_log(tmp_path / "shop.duckdb")
    with Log.open(path, read_only=False) as opened:
        opened.execute("UPDATE items SET category = 'toys' WHERE item_id LIKE '%1'")
        opened.execute(
            "UPDATE impressions SET purchased = item_id LIKE '%1'"
            " OR hash(search_id || item_id) % 40 = 0"
        )
        yield opened


def shares(needs, draws=3000):
    rng = np.random.default_rng(5)
    tops = [top_category(needs.draw(PEOPLE[n % 6], rng).category) for n in range(draws)]
    return {top: tops.count(top) / draws for top in set(tops)}


def test_needs_are_spread_as_the_responses_are(log):
    catalog = Catalog.from_log(log)
    real = {
        row["top"]: row["share"]
        for row in log.query(
            "SELECT split_part(category, ' > ', 1) AS top,"
            " count(*) / sum(count(*)) OVER () AS share"
            " FROM impressions JOIN items USING (item_id) WHERE purchased GROUP BY top"
        ).to_pylist()
    }
    before = shares(NeedBook(catalog))
    assert real["toys"] > before["toys"] + 0.2
    after = shares(NeedBook(catalog, demand=fit_demand(log, catalog, PEOPLE)))
    assert after["toys"] == pytest.approx(real["toys"], abs=0.04)


def test_few_responses_change_nothing(log):
    log.execute("UPDATE impressions SET purchased = false WHERE hash(search_id) % 10 > 0")
    assert fit_demand(log, Catalog.from_log(log), PEOPLE) == {}


def test_the_same_seed_gives_the_same_factors(log):
    catalog = Catalog.from_log(log)
    first, second = (fit_demand(log, catalog, PEOPLE, seed=3) for _ in range(2))
    assert first == second
    assert set(first) == {"food", "toys"}
