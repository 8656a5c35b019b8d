from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import PersonaError
from footfall.personas.anonymity import smallest_group, suppress


def test_smallest_group_by_hand() -> None:
    assert smallest_group([("a", "x"), ("a", "x"), ("a", "y")]) == 1
    assert smallest_group(pa.table({"age": ["1", "1", "2", "2", "2"]})) == 2
    assert smallest_group([]) == 0


def test_only_the_attribute_that_singles_out_is_blanked() -> None:
    rows = [("young", "doctor"), ("young", "clerk"), ("old", "clerk"), ("old", "clerk")]
    assert suppress(["s"] * 4, rows, 2) == [
        ("young", ""),
        ("young", ""),
        ("old", "clerk"),
        ("old", "clerk"),
    ]


def test_a_lone_blank_row_pulls_others_down() -> None:
    rows = [("",), ("a",), ("a",), ("b",), ("b",), ("b",)]
    assert suppress(["s"] * 6, rows, 2) == [("",), ("",), ("",), ("b",), ("b",), ("b",)]


def test_too_small_group_is_an_error() -> None:
    with pytest.raises(PersonaError, match="fewer segments"):
        suppress(["s", "s", "t"], [("a",)] * 3, 2)


_WORDS = st.sampled_from(["", "a", "b", "c"])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("xy"), _WORDS, _WORDS, _WORDS), max_size=30),
    k=st.integers(1, 4),
)
def test_every_combination_is_shared_and_nothing_is_altered(
    rows: list[tuple[str, str, str, str]], k: int
) -> None:
    padded = rows + [(group, "a", "a", "a") for group in "xy" for _ in range(k)]
    groups = [row[0] for row in padded]
    result = suppress(groups, [row[1:] for row in padded], k)
    assert smallest_group([(group, *row) for group, row in zip(groups, result, strict=True)]) >= k
    for before, after in zip(padded, result, strict=True):
        assert all(new in ("", old) for old, new in zip(before[1:], after, strict=True))
