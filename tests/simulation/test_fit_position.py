"""Position curves of logs that a ranker made: position and relevance must be told apart."""

import numpy as np
import pyarrow as pa
import pytest

from footfall.simulator.behaviour import Rate
from footfall.simulator.fit_clicks import FitData
from footfall.simulator.fit_position import fit_looks, look_of_rows
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

LOOK = np.array([1.0, 0.7, 0.5, 0.35, 0.25])


def nothing(count=0):
    return FitData(np.zeros(count), *(np.full(count, np.nan) for _ in range(4)))


def write(log, query, item, position, clicked, *, sample_rate=1.0, column="clicked"):
    """One search a row of the arrays (searches, positions); ``query`` is one text a search."""
    searches, size = item.shape
    names = np.array([f"q{n}" for n in range(searches)])
    log.append(
        "searches",
        pa.Table.from_pylist(
            [
                {
                    "search_id": name,
                    "session_id": name,
                    "step": 1,
                    "query": text,
                    "page": 1,
                    "candidates": "logged",
                    "origin": "real",
                }
                for name, text in zip(names, query, strict=True)
            ],
            schema=ARROW_SCHEMAS["searches"],
        ),
    )
    kept = np.ones(item.size, dtype=bool)
    rate = np.ones(item.size)
    if sample_rate < 1:
        kept = clicked.ravel() | (np.random.default_rng(5).random(item.size) < sample_rate)
        rate = np.where(clicked.ravel(), 1.0, sample_rate)
    table = pa.table(
        {
            "search_id": np.repeat(names, size)[kept],
            "item_id": np.array([f"i{n}" for n in item.ravel()])[kept],
            "position": np.tile(position, searches).astype(np.int32)[kept],
            column: clicked.ravel()[kept],
            "sample_rate": rate[kept],
            "origin": ["real"] * int(kept.sum()),
        }
    )
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in ARROW_SCHEMAS["impressions"]
    ]
    log.append("impressions", pa.table(columns, schema=ARROW_SCHEMAS["impressions"]))


def ranked(rng, searches, *, queries=40, noise=1.0):
    """Items 0 to 4 of each query in the order of a noisy ranker; clicks by the true curve."""
    relevance = rng.beta(1.0, 1.5, size=(queries, len(LOOK)))
    query = rng.integers(queries, size=searches)
    scores = np.log(relevance[query]) + noise * rng.normal(size=(searches, len(LOOK)))
    order = np.argsort(-scores, axis=1)
    chance = LOOK * np.take_along_axis(relevance[query], order, axis=1)
    clicked = rng.random(chance.shape) < chance
    return [f"query {n}" for n in query], order, clicked


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        yield made


POSITIONS = np.arange(1, 6)


@pytest.mark.parametrize("sample_rate", [1.0, 0.3])
@pytest.mark.parametrize("column", ["clicked", "purchased"])
def test_looks_are_told_apart_from_relevance_within_pairs(log, sample_rate, column):
    query, item, clicked = ranked(np.random.default_rng(0), 8000)
    write(log, query, item, POSITIONS, clicked, sample_rate=sample_rate, column=column)
    found = fit_looks(log, nothing(), clicks=column == "clicked")
    assert "relevance is separated" in found[0].note
    assert found[0].value == 1.0
    for rate, truth in zip(found[1:], LOOK[1:], strict=True):
        assert abs(rate.value - truth) < 4 * rate.standard_error
        assert rate.standard_error < 0.05
    # The clicks themselves fall faster, because the better items stand higher.
    naive = clicked.mean(axis=0) / clicked[:, 0].mean()
    assert naive[4] < found[4].value - 4 * found[4].standard_error


def test_errors_of_looks_are_honest(tmp_path):
    misses = []
    for seed in range(12):
        with Log.create(tmp_path / f"{seed}.duckdb") as log:
            query, item, clicked = ranked(np.random.default_rng(seed), 1500)
            write(log, query, item, POSITIONS, clicked)
            found = fit_looks(log, nothing(), clicks=True)
        misses += [
            (rate.value - truth) / rate.standard_error
            for rate, truth in zip(found[1:], LOOK[1:], strict=True)
        ]
    assert 0.5 < np.sqrt(np.mean(np.square(misses))) < 1.5


def test_where_no_query_comes_twice_relevance_is_taken_from_the_covariates(log):
    rng = np.random.default_rng(1)
    searches = 3000
    appeal = rng.normal(size=(searches, len(LOOK)))
    appeal = np.take_along_axis(
        appeal, np.argsort(-(appeal + rng.normal(size=appeal.shape)), axis=1), axis=1
    )
    clicked = rng.random(appeal.shape) < LOOK / (1 + np.exp(-(appeal - 0.5)))
    item = np.arange(appeal.size).reshape(appeal.shape)
    write(log, [f"query {n}" for n in range(searches)], item, POSITIONS, clicked)
    rows = [np.zeros(item.size) for _ in range(3)]
    data = FitData(
        clicked.ravel().astype(float),
        np.tile(POSITIONS, searches).astype(float),
        *rows,
        appeal=appeal.ravel(),
    )
    found = fit_looks(log, data, clicks=True)
    assert "through 1 covariate" in found[0].note
    for rate, truth in zip(found[1:], LOOK[1:], strict=True):
        assert abs(rate.value - truth) < 4 * rate.standard_error
        assert rate.standard_error < 0.08
    naive = clicked.mean(axis=0) / clicked[:, 0].mean()
    assert naive[4] < found[4].value - 3 * found[4].standard_error


def test_without_either_the_clicks_by_position_are_taken_and_that_is_said(log):
    # Of 400 searches each: 200, 80 and 100 clicks; 80 and 100 are out of order: both become 90.
    shown = np.arange(400)
    clicked = np.stack([shown < 200, shown < 80, shown < 100], axis=1)
    item = np.arange(1200).reshape(400, 3)
    write(log, [f"query {n}" for n in shown], item, np.arange(1, 4), clicked)
    found = fit_looks(log, nothing(), clicks=True)
    assert [rate.value for rate in found] == pytest.approx([1.0, 0.45, 0.45])
    assert "not separated" in found[0].note


def test_the_curve_ends_where_too_little_was_shown(log):
    shown = np.arange(400)
    clicked = np.stack([shown < 200, shown < 80], axis=1)
    write(log, ["q"] * 400, np.arange(800).reshape(400, 2), np.array([1, 2]), clicked)
    log.execute(
        "INSERT INTO impressions (search_id, item_id, position, clicked, sample_rate, origin) "
        "SELECT 'q' || n, 'j' || n, 3, true, 1, 'real' FROM range(199) AS r(n)"
    )
    assert len(fit_looks(log, nothing(), clicks=True)) == 2


def test_a_log_without_positions_or_responses_tells_nothing(log):
    assert fit_looks(log, nothing(), clicks=True) is None
    write(log, ["q"] * 300, np.zeros((300, 2), int), np.array([1, 2]), np.zeros((300, 2), bool))
    assert fit_looks(log, nothing(), clicks=True) is None


def test_few_clicks_within_pairs_do_not_decide(log):
    # The only pair at two positions has two clicks: far too few to tell positions apart.
    shown = np.arange(400)
    item = np.arange(800).reshape(400, 2)
    item[:2] = [[0, 1], [1, 0]]
    clicked = np.stack([shown < 200, shown < 80], axis=1)
    write(log, ["q"] * 400, item, np.array([1, 2]), clicked)
    assert "not separated" in fit_looks(log, nothing(), clicks=True)[0].note


def test_looks_never_rise_with_position(log):
    rng = np.random.default_rng(4)
    query, item, _ = ranked(rng, 4000)
    rising = rng.random(item.shape) < np.array([0.3, 0.5, 0.2, 0.3, 0.1])
    write(log, query, item, POSITIONS, rising)
    values = [rate.value for rate in fit_looks(log, nothing(), clicks=True)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1.0
    assert values[1] == pytest.approx(1.0, abs=1e-6)


def test_the_look_of_a_row_is_that_of_its_position_or_of_its_slate():
    look = tuple(Rate(value=value) for value in (1.0, 0.5, 0.3))
    zeros = [np.zeros(6) for _ in range(3)]
    position = np.array([1, 2, 3, 9, np.nan, np.nan])
    slate = np.array([0, 0, 0, 0, 1, 1])
    known = look_of_rows(look, FitData(np.zeros(6), position, *zeros, slate=slate))
    assert known == pytest.approx([1.0, 0.5, 0.3, 0.3, 0.75, 0.75])
    lonely = look_of_rows(look, FitData(np.zeros(6), position, *zeros))
    assert lonely == pytest.approx([1.0, 0.5, 0.3, 0.3, 0.6, 0.6])
