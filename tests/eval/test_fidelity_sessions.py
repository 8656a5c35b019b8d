"""Vectors of sessions, the measures made of them, and the models trained on them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from fidelity_world import UNTIL, HashedEncoder, make_log

from footfall.eval.click_rows import read_click_rows, text_overlap
from footfall.eval.frechet import Moments, frechet_distance
from footfall.eval.likeness_counts import Sides, SideUsers, Window
from footfall.eval.session_features import SessionFeatures, read_session_features
from footfall.eval.session_measures import (
    moment_sums,
    session_frechet,
    session_measures,
    standardised,
    summed_moments,
)
from footfall.eval.text_frechet import SampledTexts, text_measures
from footfall.eval.train_on_synthetic import train_on_synthetic
from footfall.eval.two_sample import sample_sessions, telling_feature, two_sample_test
from footfall.simulator.log import Log


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Log]:
    with make_log(tmp_path_factory.mktemp("sessions")) as log:
        yield log


def features_of(log: Log, run: str = "copy") -> tuple[SessionFeatures, SideUsers]:
    sides = Sides(log, Window(run))
    return read_session_features(sides, "clicked", outside=False), sides.users


def test_features_of_a_session_equal_what_its_rows_say(shop):
    found, users = features_of(shop)
    rows = shop.query(
        """SELECT session_id, s.user_id, any_value(started_at) AS started_at,
            count(DISTINCT search_id) AS pages,
            count(DISTINCT search_id) FILTER (WHERE query IS NULL) AS browsed,
            count(DISTINCT query) AS queries,
            count(*) FILTER (WHERE clicked) AS clicks,
            count(*) FILTER (WHERE purchased) AS purchases,
            min(position) FILTER (WHERE clicked) AS first_position,
            avg(price) FILTER (WHERE clicked) AS price
        FROM sessions s LEFT JOIN searches q USING (session_id) LEFT JOIN impressions i
            USING (search_id) WHERE s.origin = 'real' GROUP BY ALL ORDER BY session_id"""
    ).to_pylist()
    values, user = found.side(synthetic=False)
    assert len(values) == len(rows)
    place = {name: k for k, name in enumerate(found.names)}
    assert "carts" not in place
    for row, vector, who in zip(rows, values, user, strict=True):
        assert users.real[int(who)].as_py() == row["user_id"]
        for name in ("pages", "browsed", "queries", "clicks", "purchases"):
            assert vector[place[name]] == row[name], name
        assert vector[place["hour"]] == row["started_at"].hour
        assert vector[place["weekend"]] == (row["started_at"].weekday() >= 5)
        for name, there in (
            ("first_position", row["first_position"]),
            ("price", row["price"] and math.log(1 + row["price"])),
        ):
            if there is None:
                assert math.isnan(vector[place[name]]), name
            else:
                assert vector[place[name]] == pytest.approx(there), name


def test_query_length_counts_chinese_signs_as_words(shop):
    found, _ = features_of(shop)
    lengths = set(found.column("query_length")[found.column("queries") > 0])
    # 纯牛奶: three signs; brown bread and green tea: two words; rose: one.
    assert lengths == {3.0, 2.0, 1.0}


def test_only_what_both_sides_record_is_a_feature(tmp_path):
    with make_log(tmp_path) as log:
        log.execute("UPDATE impressions SET position = NULL, clicked = NULL WHERE origin = 'copy'")
        log.execute("UPDATE sessions SET ended_at = NULL WHERE origin = 'real'")
        log.execute("UPDATE impressions SET price = NULL")
        log.execute("UPDATE items SET price = NULL")
        names = features_of(log)[0].names
    assert not {"clicks", "first_position", "duration", "price"} & set(names)
    assert {"pages", "searches", "purchases", "hour"} <= set(names)


def table_of(values: list[list[float]], synthetic: list[bool], user: list[int]) -> SessionFeatures:
    names = ("pages", "clicks", "searches", "hour")[: len(values[0])]
    return SessionFeatures(
        names, np.array(values, dtype=float), np.array(synthetic), np.array(user)
    )


def test_session_measures_by_hand():
    found = table_of(
        [[1, 0, 0, 23], [3, 2, 1, 1], [2, 1, 2, 1], [1, 50, 0, 0]],
        [False, False, False, True],
        [0, 0, 1, 0],
    )
    users = SideUsers(pa.array(["a", "b"]), pa.array(["c"]))
    rows = {measure.name: measure for measure in session_measures(found, users)}
    searches = rows["searches per session"]
    assert searches.value(searches.counts.real_total) == 1.0
    assert searches.counts.real.toarray().tolist() == [[1.0, 2.0], [2.0, 1.0]]
    single = rows["sessions of one page"]
    assert single.value(single.counts.real_total) == pytest.approx(1 / 3)
    assert single.value(single.counts.synthetic) == 1.0
    # No column of pages without a query, so nothing can be said about them.
    assert "sessions without a query" not in rows
    clicks = rows["spread of clicks per session"].counts
    assert clicks.real_total[:3].tolist() == [1.0, 1.0, 1.0]
    assert clicks.synthetic[20] == 1.0
    hours = rows["hour of the day"].counts.real_total
    assert (hours[1], hours[23], hours.sum()) == (2.0, 1.0, 3.0)


def test_made_sessions_without_what_every_real_one_has_are_left_out():
    found = table_of([[1, 2], [1, 0], [1, 3]], [False, True, True], [0, 0, 1])
    kept = found.with_responses(["clicked"])
    assert kept.values[:, 1].tolist() == [2.0, 3.0]
    assert kept.user.tolist() == [0, 1]
    assert found.with_responses([]).values.shape == (3, 2)


def test_standardised_by_the_real_side_by_hand():
    found = table_of(
        [[1, 5], [3, 5], [math.nan, 5], [7, 6]], [False, False, False, True], [0, 1, 1, 0]
    )
    # Real mean 2 and deviation 1; missing counts as the mean; a constant keeps its unit.
    assert standardised(found).tolist() == [[-1, 0], [1, 0], [0, 0], [5, 1]]


def test_summed_moments_are_those_of_the_vectors():
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    found = summed_moments(moment_sums(vectors).sum(axis=0), 4)
    expected = Moments.of(vectors)
    assert found.mean == pytest.approx(expected.mean)
    assert found.covariance == pytest.approx(expected.covariance)
    assert summed_moments(moment_sums(vectors[:1]).sum(axis=0), 4) is None


def test_the_session_frechet_distance_is_that_of_the_standardised_vectors(shop):
    found, users = features_of(shop)
    measure = session_frechet(found, users)
    vectors = standardised(found)
    expected = frechet_distance(vectors[~found.synthetic], vectors[found.synthetic])
    counts = measure.counts
    assert measure.between(counts.real_total, counts.synthetic) == pytest.approx(expected)
    assert session_frechet(table_of([[], []], [False, True], [0, 0]), users) is None


def test_texts_are_projected_on_the_real_directions():
    words = ["green tea", "brown bread", "rose", "纯牛奶"] * 10
    real = SampledTexts(words, np.arange(40))
    same = SampledTexts(words, np.arange(40))
    other = SampledTexts(["纯牛奶"] * 40, np.arange(40))
    users = SideUsers(pa.array(range(40)), pa.array(range(40)))
    near, far = text_measures("x", real, [same, other], [users, users], HashedEncoder())
    distances = [m.between(m.counts.real_total, m.counts.synthetic) for m in (near, far)]
    assert distances[0] == pytest.approx(0, abs=1e-9)
    assert distances[1] > 0.5
    few = SampledTexts(words[:4], np.arange(4))
    assert text_measures("x", few, [same], [users], HashedEncoder()) is None


def test_a_classifier_tells_sides_apart_only_where_they_differ():
    generator = np.random.default_rng(0)
    user = np.repeat(np.arange(60), 3)
    first, twin = generator.normal(size=(180, 3)), generator.normal(size=(180, 3))
    settings = {"resamples": 40, "seed": 0}
    alike = two_sample_test((first, user), (twin, user), **settings)
    assert alike.auc == pytest.approx(0.5, abs=0.12)
    assert alike.interval.low < alike.auc < alike.interval.high
    shifted = two_sample_test((first, user), (np.add(twin, [0, 2.5, 0]), user), **settings)
    assert shifted.auc > 0.9
    assert telling_feature(("a", "b", "c"), first, np.add(twin, [0, 2.5, 0]))[0] == "b"
    assert two_sample_test((first, user), (twin, user), **settings) == alike


def test_a_classifier_that_knows_users_is_not_believed():
    # Every user has a number of their own: within users it would tell all, across users nothing.
    generator = np.random.default_rng(1)
    user = np.repeat(np.arange(50), 6)
    first, second = (np.repeat(generator.normal(size=(50, 2)), 6, axis=0) for _ in range(2))
    found = two_sample_test((first, user), (second, user), resamples=20, seed=0)
    assert found.auc == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("sessions", [0, 5])
def test_too_few_sessions_or_users_are_not_tested(sessions):
    few = (np.zeros((sessions, 2)), np.arange(sessions))
    many = (np.zeros((50, 2)), np.arange(50))
    assert two_sample_test(few, many, resamples=20, seed=0) is None
    one_user = (np.zeros((50, 2)), np.zeros(50, dtype=np.int64))
    assert two_sample_test(one_user, many, resamples=20, seed=0) is None
    assert two_sample_test((np.zeros((50, 0)), many[1]), many, resamples=20, seed=0) is None


def test_constant_features_cannot_be_told_apart():
    many = (np.ones((60, 2)), np.arange(60))
    assert two_sample_test(many, many, resamples=20, seed=0).auc == pytest.approx(0.5)


def test_sampled_sessions_keep_users_whole():
    user = np.repeat(np.arange(10), 4)
    chosen = sample_sessions(user, 12, np.random.default_rng(0))
    assert len(chosen) == 12
    assert np.unique(user[chosen], return_counts=True)[1].tolist() == [4, 4, 4]
    assert chosen.tolist() == sorted(chosen.tolist())


def test_overlap_of_queries_and_texts_by_hand():
    queries = pa.array(["green tea", "纯牛奶", None, "x", "tea tea"])
    texts = pa.array(["Green TEA leaves", "牛奶 250ml", "rose", "y", "tea"])
    # 纯牛奶 is 纯, 纯牛, 牛, 牛奶, 奶: the text has the last three.
    assert text_overlap(queries, texts).tolist() == pytest.approx([1.0, 0.6, 0.0, 0.0, 1.0])
    assert text_overlap(pa.array([], pa.string()), pa.array([], pa.string())).tolist() == []


def read(log: Log, **more):
    settings = {"label": "clicked", "until": UNTIL, "end": None, "most": 10_000, "seed": 0}
    return read_click_rows(log, ("copy",), **(settings | more))


def test_click_rows_by_part_and_without_their_own_response(shop):
    parts = read(shop)
    assert set(parts) == {"real", "test", "copy"}
    tested = shop.scalar(
        """SELECT count(*) FROM impressions JOIN searches USING (search_id)
        WHERE impressions.origin = 'real' AND searched_at >= ?""",
        [UNTIL],
    )
    assert len(parts["test"].label) == tested
    real = parts["real"]
    names = dict(zip(real.names, real.values.T, strict=True))
    # Liked categories were known before the rows, and clicks come with them.
    affinity = names["category_affinity"]
    assert affinity[real.label].mean() > 1.5 * affinity.mean() > 0
    # Popularity is what was clicked in the first 60 % of the sessions; the rows come after them.
    starts = shop.query(
        "SELECT started_at FROM sessions WHERE origin = 'real' AND started_at < ? ORDER BY 1",
        [UNTIL],
    )["started_at"].to_pylist()
    moments = {"cut": starts[math.ceil(0.6 * len(starts)) - 1], "until": UNTIL}
    clicks = shop.query(
        """SELECT coalesce(n, 0) AS n FROM impressions LEFT JOIN (SELECT item_id, count(*) AS n
            FROM impressions WHERE origin = 'real' AND clicked AND shown_at < $cut GROUP BY ALL)
            USING (item_id)
        WHERE origin = 'real' AND shown_at >= $cut AND shown_at < $until""",
        moments,
    )["n"].to_numpy()
    assert np.sort(names["popularity_log"]) == pytest.approx(np.sort(np.log1p(clicks)))
    few = read(shop, most=7)
    assert {part.slates for part in few.values()} == {7}


def test_training_on_real_copies_ranks_as_training_on_real_pages(shop):
    settings = {"label": "clicked", "until": UNTIL, "end": None, "seed": 0}
    found = train_on_synthetic(shop, "copy", "none", splits=3, resamples=30, **settings)
    assert found.real.mean() > 0.65
    assert found.made["copy"] == pytest.approx(found.real.mean(), abs=0.05)
    assert "none" not in found.made
    assert "position_log" in found.features
    assert found.resampled["real"].shape == (30,)
    words = train_on_synthetic(shop, "nobody", "none", splits=2, resamples=30, **settings)
    assert words == "the run has no pages to train on"
    late = settings | {"until": UNTIL.replace(year=2027)}
    words = train_on_synthetic(shop, "copy", "none", splits=2, resamples=30, **late)
    assert "after the training part" in words
