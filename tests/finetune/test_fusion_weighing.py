from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.finetune.confidence import agreement, confidence_weights, liking
from footfall.finetune.discriminator import density_weights
from footfall.finetune.row_weights import bounded_weights, effective_sample_size


def row(search, label=False, origin="real", **values):
    return {"search_id": search, "label": label, "origin": origin, **values}


def test_effective_sample_size_by_hand():
    assert effective_sample_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_sample_size(np.zeros(3)) == 0.0
    assert effective_sample_size(np.zeros(0)) == 0.0


def test_bounded_weights_by_hand():
    logs = np.log([10.0, 0.1, 1.0, 4.0])
    weights = bounded_weights(logs, 5.0, np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 1.0, 1.0]))
    # Group 0: 5 and 1/5 at bases 1 and 3 have mean 1.4; group 1: 1 and 4 have mean 2.5.
    assert weights == pytest.approx([5 / 1.4, 0.2 / 1.4, 0.4, 1.6])


@settings(max_examples=50)
@given(
    logs=st.lists(st.floats(-50, 50) | st.just(np.nan), min_size=1, max_size=20),
    limit=st.floats(1.0, 20.0),
    seed=st.integers(0, 99),
)
def test_no_group_gains_or_loses_weight(logs, limit, seed):
    rng = np.random.default_rng(seed)
    groups, base = rng.integers(3, size=len(logs)), rng.random(len(logs)) + 0.1
    weights = bounded_weights(np.array(logs), limit, groups, base)
    assert (weights > 0).all()
    for group in np.unique(groups):
        inside = groups == group
        assert (base * weights)[inside].sum() == pytest.approx(base[inside].sum())


def test_density_favours_rows_like_the_real_ones():
    rng = np.random.default_rng(0)
    real = build([row(f"r{n}", price_log=rng.normal()) for n in range(300)])
    places = np.repeat([0.0, 4.0], 100)
    synthetic = build(
        [row(f"s{n}", origin="run", price_log=p + rng.normal()) for n, p in enumerate(places)]
    )
    found = density_weights(real, synthetic, limit=5.0)
    assert found.weights.mean() == pytest.approx(1.0)
    assert found.weights[:100].mean() > 2 * found.weights[100:].mean()
    assert found.weights.max() / found.weights.min() <= 25.0 + 1e-9
    assert 0.65 < found.auc < 0.9
    assert found.effective_sample_size == pytest.approx(effective_sample_size(found.weights))


def test_density_does_not_punish_popularity():
    real = build([row(f"r{n}", popularity_log=5.0) for n in range(50)])
    synthetic = build([row(f"s{n}", origin="run", popularity_log=float(n % 2)) for n in range(50)])
    found = density_weights(real, synthetic)
    assert found.weights == pytest.approx(np.ones(50))
    assert found.auc == pytest.approx(0.5)


def test_no_row_is_recognised_as_itself():
    # Every session has words of its own and nothing else, so that only memory could tell.
    rng = np.random.default_rng(1)

    def parts(origin):
        words = ["".join(rng.choice(list("abcdefghijklmnop"), 8)) for _ in range(120)]
        return build(
            [
                row(f"{origin}{n}", origin=origin, query=word, item_text="soup")
                for n, word in enumerate(words)
            ]
        )

    found = density_weights(parts("real"), parts("run"), inputs="texts")
    assert 0.4 < found.auc < 0.6
    assert found.effective_sample_size > 80


REAL_QUERIES = ("hot soup", "tomato soup", "soup with noodles", "quick soup")
ODD_QUERIES = ("i would like to buy a soup please", "please show me some soup to buy")


@pytest.mark.parametrize("inputs", ["texts", "all"])
def test_density_of_words_favours_queries_that_people_type(inputs):
    real = build(
        [row(f"r{n}", query=REAL_QUERIES[n % 4], item_text=f"soup {n % 9}") for n in range(120)]
    )
    synthetic = build(
        [
            row(
                f"s{n}",
                origin="run",
                query=REAL_QUERIES[n % 4] if n % 2 else ODD_QUERIES[n // 2 % 2],
                item_text=f"soup {n % 9}",
            )
            for n in range(80)
        ]
    )
    found = density_weights(real, synthetic, inputs=inputs)
    typed = np.arange(80) % 2 == 1
    assert found.weights[typed].min() > 2 * found.weights[~typed].max()
    assert found.auc > 0.6


def test_new_items_lose_no_weight_by_their_new_words():
    # All queries are of the same kind; one half of the synthetic items is in no real row.
    known = [f"soup {kind}" for kind in ("tomato", "beef", "onion", "leek")]
    new = [f"kimchi {kind}" for kind in ("hot", "mild", "white", "fresh")]
    queries = ("hot one", "best one", "cheap one")
    real = build([row(f"r{n}", query=queries[n % 3], item_text=known[n % 4]) for n in range(120)])
    synthetic = build(
        [
            row(
                f"s{n}",
                origin="run",
                query=queries[n % 3],
                item_text=(new if n % 2 else known)[n % 4],
                # Half of the new items are not even marked as cold.
                item_cold=n % 4 == 1,
            )
            for n in range(120)
        ]
    )
    found = density_weights(real, synthetic, inputs="texts")
    fresh = np.arange(120) % 2 == 1
    assert found.weights[fresh].mean() == pytest.approx(found.weights[~fresh].mean(), rel=0.35)
    cold = synthetic.column("item_cold").astype(bool)
    assert found.weights[cold].sum() == pytest.approx(cold.sum())


def test_an_encoder_takes_the_place_of_hashed_words():
    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.array([[float("soup" in text), float("hose" in text)] for text in texts])

    real = build([row(f"r{n}", query="soup", item_text="soup") for n in range(30)])
    synthetic = build(
        [
            row(f"s{n}", origin="run", query="hose" if n % 2 else "soup", item_text="soup")
            for n in range(30)
        ]
    )
    found = density_weights(real, synthetic, inputs="texts", encode=encode)
    assert {"soup", "hose"} <= set(asked)
    assert found.weights[0] > found.weights[1]


@pytest.mark.parametrize("inputs", ["numbers", "all"])
def test_one_session_tells_nothing(inputs):
    real = build([row(f"r{n}", price_log=1.0) for n in range(5)])
    synthetic = build([row("s", origin="run", price_log=float(n)) for n in range(4)])
    found = density_weights(real, synthetic, inputs=inputs)
    assert found.weights.tolist() == [1.0] * 4
    assert found.auc is None
    assert "two sessions" in found.note


def shop(count, seed, origin="real", flipped=(), cold=()):
    """Rows whose label says whether query and item name the same thing."""
    rng = np.random.default_rng(seed)
    kinds = ("soup", "bread", "hose", "lamp")
    rows = []
    for number in range(count):
        query, item = rng.choice(kinds, 2) if number % 3 else [rng.choice(kinds)] * 2
        label = bool(query == item)
        rows.append(
            row(
                f"{origin}{number}",
                label ^ (number in flipped),
                origin,
                user_id=f"{origin} user {rng.integers(12)}",
                query=str(query),
                item_text=f"{item} {rng.integers(5)}",
                item_cold=number in cold,
            )
        )
    return build(rows)


def test_labels_that_the_real_log_contradicts_weigh_less():
    wrong = tuple(range(0, 60, 5))
    real, synthetic = shop(400, 0), shop(60, 1, "run", flipped=wrong)
    found = confidence_weights(real, synthetic)
    is_wrong = np.isin(np.arange(60), wrong)
    assert found.weights[is_wrong].mean() < 0.7 * found.weights[~is_wrong].mean()
    assert found.auc > 0.8
    assert found.note == ""


def test_right_labels_have_the_p_values_of_real_rows():
    shares, auc, _ = agreement(shop(600, 0), shop(600, 1, "run"))
    assert shares.min() > 0
    assert shares.max() < 1
    assert shares.mean() == pytest.approx(0.5, abs=0.06)
    assert auc > 0.8


def test_confidence_takes_nothing_from_cold_items_or_responses():
    cold = tuple(range(0, 60, 4))
    synthetic = shop(60, 1, "run", flipped=tuple(range(0, 60, 7)), cold=cold)
    # New items have words and prices that no real item has.
    texts = synthetic.column("item_text").tolist()
    for number in cold:
        texts[number] = f"kimchi {number}"
    synthetic = synthetic.with_column("item_text", texts).with_column(
        "price_log", np.where(np.isin(np.arange(60), cold), 9.0, 0.0)
    )
    weights = confidence_weights(shop(400, 0), synthetic).weights
    for label in (True, False):
        for is_cold in (True, False):
            inside = (synthetic.labels == label) & (synthetic.column("item_cold") == is_cold)
            assert inside.any()
            assert weights[inside].sum() == pytest.approx(inside.sum())


def test_liking_by_hand():
    synthetic = build(
        [
            row("a", True, "run", score=2.0),
            row("b", False, "run", score=2.0),
            row("c", True, "run", score=-1.0),
            row("d", False, "run", score=-3.0),
            row("e", True, "run", score=None),
            row("f", True, "other", score=-9.0),
        ]
    )
    # Ranks of 2, 2, -1, -3 are 3.5, 3.5, 2, 1; less a half, of four rows.
    expected = [0.75, 0.25, 0.375, 0.875, np.nan, 0.5]
    assert liking(synthetic) == pytest.approx(expected, nan_ok=True)
    found = confidence_weights(shop(10, 0), synthetic, basis="score")
    assert found.scored == 5
    assert found.auc is None
    # Responses: 2 * (0.75, 0.375, 0.5) have mean 13/12; the row without a score weighs 1.
    assert found.weights[[0, 2, 4, 5]] == pytest.approx(
        [1.5 * 12 / 13, 0.75 * 12 / 13, 1.0, 12 / 13]
    )


def test_both_is_the_geometric_mean_and_a_missing_score_leaves_agreement():
    real, synthetic = shop(200, 0), shop(40, 1, "run", flipped=(3, 4))
    by_agreement = confidence_weights(real, synthetic).weights
    unscored = confidence_weights(real, synthetic, basis="both")
    assert unscored.weights == pytest.approx(by_agreement)
    assert "no row has a score" in unscored.note
    some = np.arange(40) % 2 == 0
    score = np.where(some, np.linspace(-2.0, 2.0, 40), np.nan)
    scored = synthetic.with_column("score", score)
    p_values, liked = agreement(real, scored)[0], liking(scored)
    mean = np.where(some, np.sqrt(p_values * np.where(some, liked, 1.0)), p_values)
    expected = bounded_weights(
        np.log(2.0 * mean), 3.0, synthetic.labels.astype(int), synthetic.weights
    )
    both = confidence_weights(real, scored, basis="both")
    assert both.weights == pytest.approx(expected)
    assert both.scored == 20


def test_without_both_real_labels_nothing_is_weighed():
    real = build([row(f"r{n}", True, user_id=f"u{n}") for n in range(20)])
    synthetic = shop(10, 1, "run")
    found = confidence_weights(real, synthetic)
    assert found.weights.tolist() == [1.0] * 10
    assert "both labels" in found.note
