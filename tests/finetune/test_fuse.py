from __future__ import annotations

from datetime import timedelta
from math import log

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_shop import DAY0, build

import footfall.finetune.fuse as fuse_module
from footfall.errors import DataError, EmptyLogError
from footfall.finetune.example_table import Examples
from footfall.finetune.fuse import fuse
from footfall.finetune.fusion_settings import FusionSettings
from footfall.finetune.near_duplicates import merge_near_duplicates
from footfall.finetune.time_decay import time_decay

TIME_ONLY = FusionSettings(strategy="by_time", alpha=0.5, max_share=0.9)


def row(search, item, label, origin="real", query="soup", **values):
    return {
        "search_id": search,
        "item_id": item,
        "item_text": item,
        "label": label,
        "origin": origin,
        "query": query,
        **values,
    }


def test_alpha_weighs_synthetic_rows_only():
    real = build([row("r", "a", True), row("r", "b", False)])
    synthetic = build([row("s", "c", True, "run"), row("s", "d", False, "run")])
    fused = fuse(real, synthetic, TIME_ONLY)
    assert fused.weights.tolist() == [1.0, 1.0, 0.5, 0.5]
    assert fused.column("origin").tolist() == ["real", "real", "run", "run"]


def test_no_strategy_and_no_limit_keep_every_row():
    real = build([row("r", "a", True), row("r", "b", False)])
    synthetic = build([row(f"s{n}", "c", n % 2 == 0, "run") for n in range(9)])
    plain = FusionSettings(strategy="none", drop_duplicates=False, max_share=1.0, alpha=0.25)
    fused = fuse(real, synthetic, plain)
    weighed = synthetic.with_column("weight", np.full(9, 0.25))
    assert fused.table.equals(Examples.concat([real, weighed]).table)
    # A limit bites on the same rows.
    assert len(fuse(real, synthetic, plain.model_copy(update={"max_share": 0.5}))) == 4


def test_alpha_zero_gives_the_real_rows():
    real = build([row("r", "a", True), row("r", "b", False)])
    synthetic = build([row("s", "c", True, "run")])
    fused = fuse(real, synthetic, FusionSettings(strategy="by_feature", alpha=0.0))
    assert fused.table.equals(real.table)


def test_time_decay_by_hand():
    ages = [0, 90, 180]
    real = build([row(f"r{a}", "a", a == 0, shown_at=DAY0 - timedelta(days=a)) for a in ages])
    # Factors 1, 1/2, 1/4 have mean 7/12.
    decay = time_decay(real, 90.0)
    assert decay.real == pytest.approx(np.array([1, 0.5, 0.25]) * 12 / 7)
    assert decay.newest == pytest.approx(12 / 7)
    fused = fuse(real, build([row("s", "c", True, "run")]), TIME_ONLY)
    assert fused.weights[:3].sum() == pytest.approx(3.0)
    assert fused.weights[3] == pytest.approx(0.5 * 12 / 7)


def test_rows_without_a_time_weigh_the_mean():
    real = build([row("a", "a", True), row("b", "b", True, shown_at=None)])
    assert time_decay(real, 90.0).real.tolist() == [1.0, 1.0]
    timeless = build([row("b", "b", True, shown_at=None)])
    assert time_decay(timeless, 90.0).real.tolist() == [1.0]


def test_near_duplicates_are_merged_and_keep_the_response_rate():
    real = build([row("r", "known", True, query="Soup!")])
    synthetic = build(
        [
            row("s1", "known", False, "run", query="soup"),
            row("s1", "x", True, "run", query="hot  soup"),
            row("s2", "x", False, "run", query="Hot soup"),
            row("s3", "x", False, "run", query="hot, soup"),
            row("s4", "x", False, "run", query="hot soup "),
            row("s4", "y", False, "run", query="hot soup"),
        ]
    )
    merged = merge_near_duplicates(real, synthetic)
    found = {(r["item_id"], r["label"]): r["weight"] for r in merged.table.to_pylist()}
    total = 1 + log(4)
    assert found == {
        ("x", True): pytest.approx(total / 4),
        ("x", False): pytest.approx(total * 3 / 4),
        ("y", False): pytest.approx(1.0),
    }


def test_browsing_rows_repeat_each_other_only_for_the_same_shopper():
    real = build([row("r", "z", True)])
    synthetic = build(
        [
            row("s1", "x", True, "run", query=None, shopper_text="Ann"),
            row("s2", "x", True, "run", query=None, shopper_text="Bob"),
            row("s3", "x", True, "run", query=None, shopper_text="ann."),
        ]
    )
    merged = merge_near_duplicates(real, synthetic)
    assert merged.column("search_id").tolist() == ["s1", "s2"]


def test_chinese_queries_are_normalised():
    real = build([row("r", "茶", True, query="茉莉，绿茶")])
    synthetic = build(
        [row("s", "茶", True, "run", query="茉莉 绿茶"), row("s", "茶", True, "run", query="绿茶")]
    )
    assert merge_near_duplicates(real, synthetic).column("query").tolist() == ["绿茶"]


def test_by_behaviour_drops_sessions_that_no_real_shopper_has():
    real = build(
        [row(f"r{n}", f"i{k}", k == 0, query=f"q{n}") for n in range(20) for k in range(5)]
    )
    usual = [row("s1", f"j{k}", k == 0, "run", query="n1") for k in range(5)]
    greedy = [row("s2", f"j{k}", True, "run", query="n2") for k in range(5)]
    chosen = FusionSettings(strategy="by_behaviour", max_share=0.9)
    fused = fuse(real, build(usual + greedy), chosen)
    assert set(fused.column("search_id")[100:]) == {"s1"}


def session(name, slates, responses, origin="real"):
    """A session of so many slates of four items, its responses on the first of them in turn."""
    return [
        row(
            f"{name}/{slate}",
            f"{name}{slate}{item}",
            item * slates + slate < responses,
            origin,
            query=f"{name} {slate}",
            session_id=name,
        )
        for slate in range(slates)
        for item in range(4)
    ]


@pytest.mark.parametrize(
    ("slates", "responses", "kept"),
    [
        (3, 6, True),
        (2, 4, True),
        (1, 2, False),  # fewer slates than any
        (5, 8, False),  # more slates
        (3, 3, False),  # fewer responses, and no fewer a slate
        (4, 10, False),  # more responses, and no more a slate
        (4, 4, False),  # fewer a slate, and no fewer at all
        (2, 7, False),  # more a slate, and no more at all
    ],
)
def test_each_bound_of_behaviour_drops_sessions(slates, responses, kept):
    # Slates 2 to 4, responses 4 to 9, responses a slate 1.33 to 3.
    usual = [(2, 4), (2, 6), (3, 4), (3, 9), (4, 6), (4, 9)]
    real = build([r for n, shape in enumerate(usual * 2) for r in session(f"r{n}", *shape)])
    chosen = FusionSettings(
        strategy="by_behaviour", max_share=0.9, behaviour_low=0.0, behaviour_high=1.0
    )
    fused = fuse(real, build(session("s", slates, responses, "run")), chosen)
    assert fused.synthetic.any() == kept


def test_the_limit_keeps_the_newest_words():
    real = build([row("r", "z", True), row("r", "y", False), row("r", "x", False)])
    same = [row(f"s{n}", f"i{n}", True, "run", query="tomato soup") for n in range(8)]
    new = [row("n1", "a", True, "run", query="garden hose")]
    new += [row("n2", "b", True, "run", query="蓝牙耳机")]
    chosen = FusionSettings(strategy="by_diversity", keep_share=1.0, max_share=0.5)
    fused = fuse(real, build(same + new), chosen)
    kept = set(fused.column("search_id")[3:])
    assert len(kept) == 3
    assert {"n1", "n2"} < kept


def test_by_diversity_drops_what_repeats_first():
    real = build([row(f"r{n}", "z", n == 0, query=f"r{n}") for n in range(40)])
    same = [row(f"s{n}", f"i{n}", True, "run", query="tomato soup") for n in range(8)]
    new = [row("new1", "a", True, "run", query="garden hose")]
    new += [row("new2", "b", True, "run", query="蓝牙耳机")]
    for entry in same:
        entry["item_text"] = "tomato soup can"
    chosen = FusionSettings(strategy="by_diversity", keep_share=0.3, max_share=0.9)
    fused = fuse(real, build(same + new), chosen)
    kept = set(fused.column("search_id")[40:])
    assert len(kept) == 3
    assert {"new1", "new2"} <= kept


def test_mixed_up_parts_are_refused():
    real, synthetic = build([row("r", "a", True)]), build([row("s", "a", True, "run")])
    with pytest.raises(DataError, match="synthetic rows"):
        fuse(synthetic, synthetic, TIME_ONLY)
    with pytest.raises(DataError, match="real rows"):
        fuse(real, real, TIME_ONLY)
    with pytest.raises(EmptyLogError):
        fuse(real.take(np.zeros(1, bool)), synthetic, TIME_ONLY)


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": -1}, {"max_share": 1.1}, {"strategy": "by_luck"}, {"half_life": 3}],
)
def test_wrong_settings(wrong):
    with pytest.raises(ValidationError):
        FusionSettings(**wrong)


QUERIES = st.sampled_from([None, "soup", "Soup ", "tea", "绿茶", "bread & butter", "!", ""])


@st.composite
def parts(draw, origin, smallest):
    count = draw(st.integers(smallest, 25))
    return [
        row(
            f"{origin}-{draw(st.integers(0, 6))}",
            f"i{draw(st.integers(0, 4))}",
            draw(st.booleans()),
            origin,
            query=draw(QUERIES),
            shopper_text=draw(st.sampled_from(["ann", "bob", ""])),
            price_log=draw(st.floats(-3, 3)),
            category_affinity=draw(st.floats(0, 1)),
        )
        for _ in range(count)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    real=parts("real", 1),
    synthetic=parts("run-1", 0),
    strategy=st.sampled_from(["by_time", "by_feature", "by_behaviour", "by_diversity", "all"]),
    alpha=st.sampled_from([0.0, 0.25, 1.0]),
    share=st.floats(0.0, 0.95),
    merge=st.booleans(),
)
def test_any_fusion_keeps_real_rows_caps_the_share_and_keeps_provenance(
    real, synthetic, strategy, alpha, share, merge
):
    chosen = FusionSettings(strategy=strategy, alpha=alpha, max_share=share, drop_duplicates=merge)
    ours = build(real)
    theirs = build([r | {"example_id": f"x{n}"} for n, r in enumerate(synthetic)])
    fused = fuse(ours, theirs, chosen)
    kept = fused.synthetic
    assert fused.take(~kept).column("example_id").tolist() == ours.column("example_id").tolist()
    assert kept.sum() <= share * len(fused) + 1e-9
    assert set(fused.column("example_id")[kept]) <= set(theirs.column("example_id"))
    assert set(fused.column("origin")[kept]) <= {"run-1"}
    assert np.isfinite(fused.weights).all()
    assert (fused.weights > 0).all()
    if alpha == 0:
        assert not kept.any()
    assert fused.table.equals(fuse(ours, theirs, chosen).table)


def test_concat_of_nothing():
    with pytest.raises(EmptyLogError):
        Examples.concat([])


def test_what_weighs_rows_is_told_its_settings(monkeypatch):
    """The half-life, the clips, the inputs, the likeness: not their defaults."""
    told = {}

    def spied(name):
        real = getattr(fuse_module, name)

        def seen(*arguments, **options):
            told[name] = (arguments[1:] if name == "time_decay" else arguments[2:], options)
            return real(*arguments, **options)

        monkeypatch.setattr(fuse_module, name, seen)

    for name in ("time_decay", "density_weights", "confidence_weights", "find_duplicates"):
        spied(name)
    real = build([row(f"r{n}", f"i{n % 4}", n % 3 == 0, shown_at=DAY0) for n in range(24)])
    synthetic = build(
        [row(f"s{n}", f"i{n % 4}", n % 3 == 0, "run", query=f"汤 {n}") for n in range(12)]
    )
    chosen = {
        "strategy": "all",
        "half_life_days": 7.0,
        "max_feature_weight": 1.5,
        "density": "texts",
        "confidence": "agreement",
        "max_confidence_weight": 1.25,
        "duplicate_similarity": 0.75,
        "seed": 11,
    }
    fuse(real, synthetic, FusionSettings.model_validate(chosen))
    assert told["time_decay"][0] == (7.0,)
    assert told["find_duplicates"][0] == (0.75,)
    density, confidence = (told[name][1] for name in ("density_weights", "confidence_weights"))
    assert (density["limit"], density["inputs"], density["seed"]) == (1.5, "texts", 11)
    assert (confidence["limit"], confidence["basis"], confidence["seed"]) == (
        1.25,
        "agreement",
        11,
    )
