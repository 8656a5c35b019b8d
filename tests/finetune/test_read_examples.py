from __future__ import annotations

from math import log

import pytest
from small_shop import day

from footfall.errors import DataError, EmptyLogError, NoResponseError, SettingError
from footfall.finetune import read_examples
from footfall.personas.describe import shopper_line
from footfall.personas.persona import Persona

UNTIL = day(10)


def rows(examples):
    return {row["example_id"]: row for row in examples.table.to_pylist()}


def test_features_by_hand(shop):
    found = rows(read_examples(shop.log, until=UNTIL))
    assert list(found) == ["first/soup", "first/stew", "second/soup", "second/late"]
    late_slate = found["second/soup"]
    # Unit prices paid for soup: 4/2 and 4/1, median 3. Category: soup 3 and stew 8, median 5.5.
    assert late_slate["price_log"] == pytest.approx(log(3))
    assert late_slate["price_vs_category"] == pytest.approx(log(3 / 5.5))
    # Two purchases of soup before day 10, three of soap's and soup's categories: 2 and 1.
    assert late_slate["popularity_log"] == pytest.approx(log(1 + 2))
    assert late_slate["category_popularity_log"] == pytest.approx(log(1 + 2))
    assert late_slate["has_query"] == 0.0
    assert late_slate["user_cold"]
    assert not late_slate["item_cold"]
    assert late_slate["label"] is False
    assert late_slate["item_text"] == "tomato soup"
    cold = found["second/late"]
    assert cold["item_cold"]
    assert cold["popularity_log"] == 0.0
    # No price is known: the category's median (soap 3), and no sign that it was missing.
    assert cold["price_log"] == pytest.approx(log(3))
    assert cold["price_vs_category"] == 0.0


def test_a_purchase_at_the_end_of_the_training_part_warms_nobody(shop):
    # Day 10 is where the part ends, exclusive.
    shop.buy("bob", "late", 10)
    found = rows(read_examples(shop.log, until=UNTIL))
    assert found["second/late"]["item_cold"]
    assert found["second/late"]["user_cold"]
    shop.buy("bob", "late", 9.99)
    found = rows(read_examples(shop.log, until=UNTIL))
    assert not found["second/late"]["item_cold"]
    assert not found["second/late"]["user_cold"]


def test_query_label_and_rates(shop):
    found = rows(read_examples(shop.log, until=UNTIL))
    assert found["first/soup"]["query"] == "hot  soup"
    assert found["first/soup"]["has_query"] == 1.0
    assert found["first/soup"]["label"] is True
    assert found["first/soup"]["sample_rate"] == 1.0
    assert found["first/stew"]["sample_rate"] == 0.5
    assert found["first/stew"]["position"] == 2
    assert {row["weight"] for row in found.values()} == {1.0}
    assert {row["origin"] for row in found.values()} == {"real"}


def test_affinity_is_the_mean_share_under_each_step_of_the_path(shop):
    shop.slate("third", "ann", 21, {"soup": True, "soap": False, "stew": False})
    found = rows(read_examples(shop.log, until=UNTIL))
    # Ann bought food > soup twice and home > soap once.
    assert found["third/soup"]["category_affinity"] == pytest.approx(2 / 3)
    assert found["third/stew"]["category_affinity"] == pytest.approx(2 / 3)
    assert found["third/soap"]["category_affinity"] == pytest.approx(1 / 3)
    assert "25-34" in found["third/soup"]["shopper_text"]
    assert "tomato soup" in found["third/soup"]["shopper_text"]


def test_a_shopper_s_line_is_made_of_profile_and_history(shop):
    shop.slate("third", "ann", 21, {"soup": True, "soap": False})
    for row in rows(read_examples(shop.log, until=UNTIL)).values():
        line = shopper_line(row["shopper_profile"], row["shopper_history"])
        assert row["shopper_text"] == line
        assert row["item_brand"] is None
        assert row["score"] is None
    ann = rows(read_examples(shop.log, until=UNTIL))["third/soup"]
    assert ann["shopper_history"] == ["tomato soup", "hand soap"]
    assert "tomato soup" not in ann["shopper_profile"]
    assert ann["shopper_demographics"] == '{"age": "25-34"}'
    assert rows(read_examples(shop.log, until=UNTIL))["second/late"]["shopper_demographics"] == "{}"
    assert ann["item_category"] == "food > soup"


def test_nothing_after_until_is_known(shop):
    shop.slate("third", "ann", 21, {"soup": True, "soap": False, "late": False})
    before = read_examples(shop.log, until=UNTIL)
    shop.buy("ann", "late", 12, quantity=1, amount=99)
    shop.buy("bob", "soup", 15, quantity=1, amount=50)
    shop.buy("cid", "stew", 10, quantity=1, amount=1)
    shop.slate("other", "bob", 11, {"late": True, "soap": False}, query="new")
    after = read_examples(shop.log, until=UNTIL)
    kept = after.take(after.column("search_id") != "other")
    assert kept.table.equals(before.table)


def test_an_example_does_not_know_its_own_purchase(shop):
    # Dot's whole history is the response that the example asks about.
    shop.user("dot")
    shop.buy("dot", "stew", 8, amount=7)
    shop.slate("own", "dot", 8, {"stew": True, "soap": False})
    found = rows(read_examples(shop.log, until=UNTIL))
    assert "beef stew" not in found["own/stew"]["shopper_text"]
    assert found["own/stew"]["popularity_log"] == 0.0
    assert found["own/stew"]["price_log"] == pytest.approx(log(8))
    later = rows(read_examples(shop.log, until=day(9)))
    assert later["own/stew"]["popularity_log"] == 0.0


def test_popularity_of_early_snapshots_is_scaled_to_the_training_part(shop):
    found = rows(read_examples(shop.log, until=UNTIL))
    # All three purchases lie before day 5, so nothing is scaled there.
    assert found["first/soup"]["popularity_log"] == pytest.approx(log(1 + 2))
    for at in (6, 7, 8):
        shop.buy("cid", "soap", at, amount=3)
    found = rows(read_examples(shop.log, until=UNTIL))
    # Three of six purchases are known on day 5: counts are doubled.
    assert found["first/soup"]["popularity_log"] == pytest.approx(log(1 + 4))
    assert found["second/soup"]["popularity_log"] == pytest.approx(log(1 + 2))


def test_time_limits_are_half_open(shop):
    early = read_examples(shop.log, until=UNTIL, end=day(20))
    late = read_examples(shop.log, until=UNTIL, start=day(20))
    assert set(early.column("search_id")) == {"first"}
    assert set(late.column("search_id")) == {"second"}


def test_slates_without_a_time_are_read_only_without_limits(shop):
    shop.slate("timeless", "ann", None, {"soup": True, "soap": False})
    assert "timeless/soup" in rows(read_examples(shop.log, until=UNTIL))
    assert "timeless/soup" not in rows(read_examples(shop.log, until=UNTIL, start=day(0)))


def test_a_sample_takes_whole_slates_and_depends_on_the_seed_only(shop):
    for number in range(20):
        shop.slate(f"n{number}", "ann", 6, {"soup": number % 2 == 0, "soap": False})
    one = read_examples(shop.log, until=UNTIL, max_slates=5, seed=1)
    assert len(one) == 10
    assert one.table.equals(read_examples(shop.log, until=UNTIL, max_slates=5, seed=1).table)
    other = read_examples(shop.log, until=UNTIL, max_slates=5, seed=2)
    assert set(other.column("search_id")) != set(one.column("search_id"))


def test_a_sample_keeps_sessions_together(shop):
    for number in range(12):
        shop.slate(f"n{number}", "ann", 6, {"soup": True, "soap": False})
    shop.log.execute("UPDATE searches SET session_id = 'session of n0' WHERE search_id IN ('n1')")
    for seed in range(8):
        sample = read_examples(shop.log, until=UNTIL, max_slates=6, seed=seed)
        found = set(sample.column("search_id"))
        assert len(found) == 6
        if "n1" in found:
            assert "n0" in found


def test_the_same_item_twice_in_a_slate_has_two_ids(shop):
    shop.slate("twice", "ann", 6, {"soup": True})
    shop.add(
        "impressions",
        {
            "search_id": "twice",
            "position": 2,
            "item_id": "soup",
            "purchased": False,
            "sample_rate": 0.5,
            "origin": "real",
        },
    )
    found = rows(read_examples(shop.log, until=UNTIL, start=day(6), end=day(7)))
    assert set(found) == {"twice/soup", "twice/soup#2"}


def test_clicks_make_items_and_users_warm(shop):
    shop.user("eve")
    shop.slate("click", "eve", 4, {"late": True, "soap": False}, label="clicked")
    found = rows(read_examples(shop.log, until=UNTIL, label="clicked"))
    assert list(found) == ["click/late", "click/soap"]
    assert not found["click/late"]["item_cold"]
    assert not found["click/late"]["user_cold"]


def add_run(shop, run_id, **configuration):
    shop.log.start_run(run_id, "simulate", configuration, seed=0)
    persona = Persona(
        persona_id=f"{run_id}/p", interests={"home > soap": 1.0}, history=("green soap",)
    )
    shop.user(f"{run_id}/p", origin=run_id, persona=persona.model_dump_json())
    shown = {"soap": True, "stew": False}
    shop.slate(f"{run_id}/s", f"{run_id}/p", 30, shown, query="wash", origin=run_id, rate=1.0)


def test_synthetic_rows_are_described_by_their_persona(shop):
    add_run(shop, "run-1", knowledge_until="2026-01-11T00:00:00")
    found = rows(read_examples(shop.log, until=UNTIL, origins=["run-1"]))
    assert list(found) == ["run-1/s/soap", "run-1/s/stew"]
    row = found["run-1/s/soap"]
    assert "green soap" in row["shopper_text"]
    assert row["category_affinity"] == 1.0
    assert row["origin"] == "run-1"
    assert row["popularity_log"] == pytest.approx(log(1 + 1))
    assert row["user_cold"]
    assert found["run-1/s/stew"]["category_affinity"] == 0.0
    both = read_examples(shop.log, until=UNTIL, origins=["real", "run-1"])
    assert set(both.column("origin")) == {"real", "run-1"}


@pytest.mark.parametrize(
    "said", ["2026-01-11T00:00:01", "2026-01-11T05:00:00+02:00", None, "yesterday"]
)
def test_runs_that_may_have_seen_the_test_part_are_refused(shop, said):
    add_run(shop, "run-2", knowledge_until=said)
    with pytest.raises(DataError, match="run-2"):
        read_examples(shop.log, until=UNTIL, origins=["run-2"])


def test_knowledge_with_a_zone_is_compared_in_utc(shop):
    add_run(shop, "run-5", knowledge_until="2026-01-11T01:00:00+02:00")
    assert len(read_examples(shop.log, until=UNTIL, origins=["run-5"])) == 2


def test_a_run_that_says_nothing_can_be_accepted_on_purpose(shop):
    add_run(shop, "run-3")
    with pytest.raises(DataError, match="knowledge_until"):
        read_examples(shop.log, until=UNTIL, origins=["run-3"])
    accepted = read_examples(shop.log, until=UNTIL, origins=["run-3"], allow_unknown_knowledge=True)
    assert len(accepted) == 2


def test_an_unknown_run_is_refused(shop):
    with pytest.raises(DataError, match="run-4"):
        read_examples(shop.log, until=UNTIL, origins=["run-4"])


def test_errors_tell_an_empty_log_from_one_without_responses(shop):
    with pytest.raises(EmptyLogError):
        read_examples(shop.log, until=UNTIL, start=day(300))
    with pytest.raises(NoResponseError, match="clicked"):
        read_examples(shop.log, until=UNTIL, label="clicked")


@pytest.mark.parametrize(
    "wrong",
    [{"label": "liked"}, {"origins": "real"}, {"origins": []}, {"max_slates": 0}, {"snapshots": 0}],
)
def test_wrong_settings(shop, wrong):
    with pytest.raises(SettingError):
        read_examples(shop.log, until=UNTIL, **wrong)


def test_an_item_missing_from_the_catalogue_is_told(shop):
    shop.slate("odd", "ann", 6, {"soup": True, "nothing": False})
    with pytest.raises(DataError, match="1 impression"):
        read_examples(shop.log, until=UNTIL)


def test_chinese_texts(shop):
    shop.item("tea", "绿茶 茉莉", "饮料 > 茶")
    shop.slate("cn", "bob", 21, {"tea": True, "soup": False}, query="茉莉绿茶")
    found = rows(read_examples(shop.log, until=UNTIL))
    assert found["cn/tea"]["query"] == "茉莉绿茶"
    assert found["cn/tea"]["item_text"] == "绿茶 茉莉"
