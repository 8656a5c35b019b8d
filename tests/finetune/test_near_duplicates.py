from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.finetune.near_duplicates import find_duplicates, merge_near_duplicates


def row(number, query, *, item="x", label=True, origin="run", shopper="ann"):
    return {
        "example_id": f"{origin}{number}",
        "search_id": f"{origin}-s{number}",
        "item_id": item,
        "query": query,
        "label": label,
        "origin": origin,
        "shopper_text": shopper,
    }


def rows(queries, **values):
    return build([row(number, query, **values) for number, query in enumerate(queries)])


NO_REAL = rows(["something else"], item="other", origin="real")


def test_alike_queries_are_merged_by_hand():
    # Pairs of " running shoes ": 14; of " running shoe ": 13; 12 of them are shared: 12 / 15 = 0.8.
    synthetic = rows(["running shoes", "Running shoe", "garden hose"])
    merged = find_duplicates(NO_REAL, synthetic, 0.8)
    assert merged.kept_row.tolist() == [0, 0, 2]
    assert merged.same.tolist() == [2, 2, 1]
    assert (merged.weight * merged.factor)[0] == pytest.approx(1 + np.log(2))
    assert find_duplicates(NO_REAL, synthetic, 0.81).kept.all()
    assert find_duplicates(NO_REAL, synthetic, 1.0).kept.all()


def test_alike_chinese_queries_are_merged():
    synthetic = rows(["无线蓝牙耳机降噪", "无线蓝牙耳机 降噪版", "茉莉绿茶"])
    assert find_duplicates(NO_REAL, synthetic, 0.5).kept_row.tolist() == [0, 0, 2]


def test_other_digits_are_another_thing():
    synthetic = rows(["samsung galaxy s2 case black", "samsung galaxy s3 case black"])
    assert find_duplicates(NO_REAL, synthetic, 0.5).kept.all()
    same = rows(["samsung galaxy s2 case black", "samsung galaxy s2 cases black"])
    assert find_duplicates(NO_REAL, same, 0.5).kept.tolist() == [True, False]


def test_only_rows_about_one_item_are_alike():
    synthetic = build([row(0, "running shoes"), row(1, "running shoe", item="y")])
    assert find_duplicates(NO_REAL, synthetic, 0.5).kept.all()


def test_what_the_real_log_answers_nearly_is_known():
    real = rows(["running shoes"], origin="real", label=False)
    synthetic = rows(["running shoe", "garden hose"])
    found = find_duplicates(real, synthetic, 0.8)
    assert found.known.tolist() == [True, False]
    assert find_duplicates(real, synthetic, 1.0).known.tolist() == [False, False]


def test_a_chain_of_small_changes_does_not_end_in_one_row():
    synthetic = rows(["abcdefghij", "abcdefghik", "abcdefghlk", "abcdefgmlk"])
    # 1 joins 0; 2 is near 1 but not near 0, so it stands for itself and 3 joins it.
    assert find_duplicates(NO_REAL, synthetic, 0.6).kept_row.tolist() == [0, 0, 2, 2]


def test_labels_keep_their_shares():
    synthetic = build(
        [
            row(0, "running shoes"),
            row(1, "running shoe", label=False),
            row(2, "running shoes!", label=False),
            row(3, "running shoes ", label=False),
        ]
    )
    merged = merge_near_duplicates(NO_REAL, synthetic, 0.8)
    total = 1 + np.log(4)
    assert merged.labels.tolist() == [True, False]
    assert merged.weights == pytest.approx([total / 4, 3 * total / 4])


def test_browsing_without_a_known_shopper():
    synthetic = rows([None, None, ""], shopper="")
    assert find_duplicates(NO_REAL, synthetic, 0.7).kept_row.tolist() == [0, 0, 0]


def test_nothing_to_merge():
    assert len(find_duplicates(NO_REAL, build([]), 0.5).kept) == 0


def brute_force(real, synthetic, similarity):
    """One row after another joins the first leader that it is alike to."""

    def pairs(text):
        padded = f" {text} "
        return {padded[place : place + 2] for place in range(len(padded) - 1)}

    def alike(one, other):
        if one == other:
            return True
        if re.findall("[0-9]+", one) != re.findall("[0-9]+", other):
            return False
        a, b = pairs(one), pairs(other)
        return len(a & b) / len(a | b) >= similarity - 1e-9

    leaders = [(text, None) for text in sorted(set(real))]
    found = []
    for number, text in enumerate(synthetic):
        exact = next((leader for leader in leaders if leader[0] == text), None)
        hit = exact or next((leader for leader in leaders if alike(leader[0], text)), None)
        if hit is None:
            hit = (text, number)
            leaders.append(hit)
        found.append(-1 if hit[1] is None else hit[1])
    return found


WORDS = st.text(alphabet="abc1茶 ", min_size=1, max_size=9).map(
    lambda text: " ".join(text.split()) or "a"
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    real=st.lists(WORDS, max_size=4),
    synthetic=st.lists(WORDS, min_size=1, max_size=12),
    similarity=st.sampled_from([0.3, 0.5, 0.75, 0.9]),
)
def test_the_rarest_pairs_find_all_that_comparing_everything_finds(real, synthetic, similarity):
    ours = rows(real, origin="real") if real else NO_REAL
    found = find_duplicates(ours, rows(synthetic), similarity)
    expected = brute_force(real, synthetic, similarity)
    assert (np.array(expected) < 0).tolist() == found.known.tolist()
    assert expected == found.kept_row.tolist()
