from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.finetune.slate_copies import whole_slates


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    count=st.integers(0, 40),
    seed=st.integers(0, 5),
)
def test_rows_come_once_and_slates_whole_but_the_last(
    sizes: list[int], count: int, seed: int
) -> None:
    examples = build(
        [
            {"search_id": f"s{slate}", "item_id": f"i{place}"}
            for slate, size in enumerate(sizes)
            for place in range(size)
        ]
    )
    rows = whole_slates(examples, count, seed)
    assert len(rows) == min(count, sum(sizes))
    assert len(set(rows.tolist())) == len(rows)
    slates = examples.slate_numbers()[rows]
    changes = np.flatnonzero(np.diff(slates)) + 1
    for part in np.split(slates, changes)[:-1]:
        assert len(part) == sizes[part[0]]
    assert len(changes) + 1 == len(set(slates.tolist())) or not len(rows)


def test_seeds_draw_other_slates() -> None:
    examples = build([{"search_id": f"s{slate}"} for slate in range(30)])
    drawn = {tuple(sorted(whole_slates(examples, 10, seed).tolist())) for seed in range(4)}
    assert len(drawn) == 4
    assert (whole_slates(examples, 10, 1) == whole_slates(examples, 10, 1)).all()
