from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.errors import DataError, EmptyLogError, SettingError
from footfall.finetune.augment import augment, augment_with_report
from footfall.finetune.augment_history import HISTORY_CHANGES
from footfall.finetune.augmentation_settings import HISTORY_KINDS, AugmentationSettings
from footfall.personas.describe import shopper_line

DEFAULT = AugmentationSettings()


def shop(histories, size=3):
    return build(
        [
            {
                "search_id": f"r{number}",
                "item_id": f"i{item}",
                "label": item == 0,
                "weight": 2.0,
                "shopper_profile": f"profile {number}",
                "shopper_history": history,
                "shopper_text": shopper_line(f"profile {number}", history),
            }
            for number, history in enumerate(histories)
            for item in range(size)
        ]
    )


HISTORIES = st.lists(st.integers(0, 99).map(str), min_size=2, max_size=9, unique=True)


@settings(max_examples=60)
@given(
    history=HISTORIES,
    seed=st.integers(0, 999),
    crop_share=st.floats(0.05, 0.95),
    mask_share=st.floats(0.05, 0.95),
    reorder_share=st.floats(0.05, 1.0),
)
def test_every_change_changes_and_invents_nothing(
    history, seed, crop_share, mask_share, reorder_share
):
    chosen = AugmentationSettings(
        crop_share=crop_share, mask_share=mask_share, reorder_share=reorder_share
    )
    for kind, change in HISTORY_CHANGES.items():
        changed = change(history, chosen, np.random.default_rng(seed))
        assert changed != history, kind
        assert changed
        assert set(changed) <= set(history)
        if kind in {"reorder", "rotate"}:
            assert sorted(changed) == sorted(history)
        else:
            # What is left stands in its old order.
            assert changed == [text for text in history if text in changed]
        if kind == "crop":
            start = history.index(changed[0])
            assert history[start : start + len(changed)] == changed
        if kind == "rotate":
            start = history.index(changed[0])
            assert changed == history[start:] + history[:start]


def test_shares_by_hand():
    history = [str(number) for number in range(10)]
    rng = np.random.default_rng(0)
    assert len(HISTORY_CHANGES["crop"](history, DEFAULT, rng)) == 6
    moved = [
        place
        for place, text in enumerate(HISTORY_CHANGES["reorder"](history, DEFAULT, rng))
        if text != history[place]
    ]
    assert 2 <= max(moved) - min(moved) + 1 <= 6
    left = [len(HISTORY_CHANGES["mask"](history, DEFAULT, rng)) for _ in range(300)]
    assert np.mean(left) == pytest.approx(7.0, abs=0.3)


@pytest.mark.parametrize("kind", HISTORY_KINDS)
def test_whole_slates_are_copied_with_one_changed_history(kind):
    real = shop([["tea", "soup", "bread"], ["hose", "lamp"], []])
    made = augment_with_report(real, kind, 9, seed=3)
    rows = made.examples
    assert len(rows) == 9
    assert (made.slates, made.eligible, made.changed) == (3, 2, 3)
    assert set(rows.column("origin")) == {f"augment:{kind}"}
    assert rows.weights.tolist() == [1.0] * 9
    assert rows.labels.tolist() == [True, False, False] * 3
    assert not set(rows.column("example_id")) & set(real.column("example_id"))
    for number in range(3):
        slate = rows.take(rows.slate_numbers() == number).table.to_pylist()
        histories = {tuple(row["shopper_history"]) for row in slate}
        assert len(histories) == 1
        for row in slate:
            assert row["shopper_text"] == shopper_line(
                row["shopper_profile"], row["shopper_history"]
            )
            assert row["shopper_profile"] != "profile 2"
    assert rows.table.equals(augment(real, kind, 9, seed=3).table)
    assert not rows.table.equals(augment(real, kind, 9, seed=4).table)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_as_many_rows_as_asked_for(count):
    assert len(augment(shop([["a", "b"], ["c", "d", "e"]]), "crop", count)) == count


def test_nothing_to_augment_is_said():
    with pytest.raises(EmptyLogError, match="history of 3 items"):
        augment(shop([["a", "b"]]), "mask", 3, settings=AugmentationSettings(least_history=3))
    with pytest.raises(EmptyLogError):
        augment(build([]), "crop", 3)
    with pytest.raises(SettingError, match="kind"):
        augment(shop([["a", "b"]]), "shout", 3)
    with pytest.raises(SettingError, match="negative"):
        augment(shop([["a", "b"]]), "crop", -1)
    with pytest.raises(DataError, match="not real"):
        augment(build([{"origin": "run", "shopper_history": ["a", "b"]}]), "crop", 1)
