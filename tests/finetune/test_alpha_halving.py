from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shop import build

from footfall.errors import SettingError, TrainingError
from footfall.finetune.alpha_halving import choose_alpha_by_halving, share_of_slates


def search(scores, **options):
    """Scores by alpha, or by (alpha, seed); the trained models are recorded."""
    trained = []

    def train(alpha, seed, budget):
        trained.append((alpha, seed, budget))
        return scores[alpha] if alpha in scores else scores[alpha, seed]

    return choose_alpha_by_halving(train, lambda model: model, **options), trained


def test_each_rung_keeps_the_better_half_by_hand():
    losses = {0.0: 0.9, 0.1: 0.5, 0.25: 0.3, 0.5: 0.2, 1.0: 0.4, 2.0: 0.6}
    choice, trained = search(losses, alphas=tuple(losses), seeds=(7, 8, 9))
    assert [rung.alphas for rung in choice.rungs] == [
        (0.0, 0.1, 0.25, 0.5, 1.0, 2.0),
        (0.0, 0.25, 0.5, 1.0),
        (0.0, 0.25, 0.5),
    ]
    assert [rung.seeds for rung in choice.rungs] == [(7,), (7, 8), (7, 8, 9)]
    assert [rung.budget for rung in choice.rungs] == [0.25, 0.5, 1.0]
    # 6 * 1 + 4 * 2 + 3 * 3 models, where a grid would train 6 * 3 whole ones.
    assert len(trained) == 23
    assert sum(budget for _, _, budget in trained) == pytest.approx(6 * 0.25 + 8 * 0.5 + 9)
    assert choice.alpha == choice.best == 0.5
    assert choice.gain == pytest.approx(0.7)
    assert choice.standard_error == pytest.approx(0.0)
    assert choice.means == pytest.approx((0.9, 0.3, 0.2))


def test_zero_reaches_the_last_rung_however_bad_it_is():
    losses = {0.0: 99.0, 0.5: 1.0, 1.0: 2.0, 2.0: 3.0}
    choice, _ = search(losses, alphas=(0.5, 1.0, 2.0), seeds=(0,))
    assert all(rung.alphas[0] == 0.0 for rung in choice.rungs)
    assert choice.alpha == 0.5


def test_a_gain_within_chance_is_none():
    # Paired gains 0.3, -0.1, 0.1: mean 0.1, standard deviation 0.2, standard error 0.2 / sqrt 3.
    scores = {(0.0, 0): 1.3, (0.0, 1): 0.9, (0.0, 2): 1.1}
    scores |= {(0.5, seed): 1.0 for seed in range(3)}
    options = {"alphas": (0.5,), "seeds": (0, 1, 2), "budgets": (1.0,)}
    choice, _ = search(scores, **options)
    assert choice.gain == pytest.approx(0.1)
    assert choice.standard_error == pytest.approx(0.2 / np.sqrt(3))
    assert choice.alpha == 0.0
    assert choice.best == 0.5
    assert search(scores, margin=0.5, **options)[0].alpha == 0.5


def test_what_is_no_better_than_zero_loses_at_any_margin():
    choice, _ = search({0.0: 1.0, 0.5: 1.0}, alphas=(0.5,), margin=0.0)
    assert choice.alpha == 0.0


def test_with_one_seed_any_gain_counts():
    choice, _ = search({0.0: 1.0, 0.5: 0.9}, alphas=(0.5,), seeds=(3,))
    assert choice.standard_error is None
    assert choice.alpha == 0.5


def with_harm(outcomes, **options):
    """Outcomes by (alpha, seed): a score and a harm."""
    return choose_alpha_by_halving(
        lambda alpha, seed, budget: outcomes[alpha, seed],
        lambda model: model[0],
        harm=lambda model: model[1],
        **options,
    )


def test_the_mean_harm_over_the_seeds_is_what_counts():
    outcomes = {(0.0, 0): (1.0, 0.0), (0.0, 1): (1.0, 0.0)}
    outcomes |= {(0.5, 0): (0.6, 0.007), (0.5, 1): (0.6, -0.004)}
    options = {"alphas": (0.5,), "seeds": (0, 1), "budgets": (1.0,), "harm_margin": 0.0}
    choice = with_harm(outcomes, most_harm=0.002, **options)
    assert choice.alpha == 0.5
    assert choice.rungs[-1].mean_harms == pytest.approx((0.0, 0.0015))
    refused = with_harm(outcomes, most_harm=0.001, **options)
    assert refused.alpha == 0.0
    assert refused.best is None
    assert refused.gain is None


def test_harm_has_to_be_little_by_a_standard_error():
    outcomes = {(alpha, seed): (1.0 - alpha, 0.0) for alpha in (0.0, 0.1, 0.5) for seed in (0, 1)}
    # A mean of 0.0017 and an error of 0.0004, as a proof met it; 0.1 harms nobody.
    outcomes |= {(0.5, 0): (0.5, 0.0021), (0.5, 1): (0.5, 0.0013)}
    options = {"alphas": (0.1, 0.5), "seeds": (0, 1), "budgets": (1.0,), "most_harm": 0.002}
    choice = with_harm(outcomes, **options)
    assert choice.alpha == 0.1
    assert choice.rungs[-1].likely_harms(1.0) == pytest.approx((0.0, 0.0, 0.0021))
    assert with_harm(outcomes, harm_margin=0.5, **options).alpha == 0.5
    # In earlier rungs, too, it comes after those that do none.
    rungs = with_harm(outcomes, **options | {"budgets": (0.9, 1.0)}).rungs
    assert rungs[1].alphas == (0.0, 0.1)


def test_of_several_seeds_one_may_stand_out():
    """With two, mean and error make the larger of both; with more they do not."""
    harms = (0.0021, 0.0005, 0.0005, 0.0005)
    outcomes = {(0.0, seed): (1.0, 0.0) for seed in range(4)}
    outcomes |= {(0.5, seed): (0.5, harm) for seed, harm in enumerate(harms)}
    options = {"alphas": (0.5,), "budgets": (1.0,), "most_harm": 0.002}
    assert with_harm(outcomes, seeds=(0, 1), **options).alpha == 0.0
    assert with_harm(outcomes, seeds=(0, 1, 2, 3), **options).alpha == 0.5
    # A mean that is allowed with an error that is not.
    wide = outcomes | {(0.5, 0): (0.5, 0.006)}
    choice = with_harm(wide, seeds=(0, 1, 2, 3), **options)
    assert choice.rungs[-1].mean_harms[1] < 0.002
    assert choice.alpha == 0.0


def test_a_harmful_weight_gives_way_to_a_harmless_one_in_every_rung():
    outcomes = {(0.0, 0): (1.0, 0.0), (0.1, 0): (0.9, 0.001), (0.5, 0): (0.2, 0.01)}
    outcomes |= {(1.0, 0): (0.1, 0.02), (2.0, 0): (0.05, 0.03)}
    choice = with_harm(outcomes, alphas=(0.1, 0.5, 1.0, 2.0), seeds=(0,), most_harm=0.002)
    # Of the harmful ones the least harmful goes on, however well the others score.
    assert choice.rungs[1].alphas == (0.0, 0.1, 0.5)
    assert choice.rungs[2].alphas == (0.0, 0.1)
    assert choice.alpha == choice.best == 0.1
    assert choice.gain == pytest.approx(0.1)
    with pytest.raises(TrainingError, match=r"alpha 0\.1"):
        with_harm(outcomes | {(0.1, 0): (0.9, float("nan"))}, alphas=(0.1,), seeds=(0,))


def test_zero_alone():
    choice, _ = search({0.0: 1.0}, alphas=())
    assert choice.alpha == 0.0
    assert choice.best is None


@given(
    losses=st.lists(st.floats(0, 5), min_size=1, max_size=8),
    zero=st.floats(0, 5),
    seeds=st.integers(1, 5),
)
def test_the_winner_is_never_worse_than_zero(losses, zero, seeds):
    scores = {0.0: zero} | {float(n): loss for n, loss in enumerate(losses, start=1)}
    choice, _ = search(scores, alphas=tuple(scores), seeds=tuple(range(seeds)))
    assert scores[choice.alpha] <= zero
    # The same at every budget, so the best of all is never eliminated.
    assert scores[choice.best] == min(losses)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": ()},
        {"budgets": ()},
        {"budgets": (0.5, 0.5)},
        {"budgets": (0.0, 1.0)},
        {"alphas": (-1.0,)},
        {"margin": -1.0},
        {"most_harm": -0.1},
        {"harm_margin": -0.1},
    ],
)
def test_nonsense_is_refused_before_training(wrong):
    with pytest.raises(SettingError):
        choose_alpha_by_halving(lambda *_: pytest.fail("trained"), lambda _: 0.0, **wrong)


def test_a_score_that_is_none_is_named():
    with pytest.raises(TrainingError, match=r"alpha 0\.5"):
        search({0.0: 1.0, 0.5: float("nan")}, alphas=(0.5,))


def test_a_share_of_slates_holds_whole_slates_of_every_origin():
    rows = [
        {"search_id": f"{origin}{slate}", "origin": origin, "item_id": f"i{item}"}
        for origin in ("real", "run")
        for slate in range(20)
        for item in range(3)
    ]
    examples = build(rows)
    quarter = share_of_slates(examples, 0.25, seed=4)
    half = share_of_slates(examples, 0.5, seed=4)
    assert len(quarter) == 2 * 5 * 3
    assert (~quarter.synthetic).sum() == quarter.synthetic.sum()
    assert set(quarter.column("search_id")) <= set(half.column("search_id"))
    alone = share_of_slates(examples.take(~examples.synthetic), 0.25, seed=4)
    assert alone.table.equals(quarter.take(~quarter.synthetic).table)
    assert share_of_slates(examples, 1.0).table.equals(examples.table)
    assert len(share_of_slates(examples, 0.001)) == 2 * 3
    with pytest.raises(SettingError):
        share_of_slates(examples, 0.0)
