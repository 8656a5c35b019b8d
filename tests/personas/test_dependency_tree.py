from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.personas import PersonaModel
from footfall.personas.anonymity import blank_rare_values
from footfall.personas.dependency_tree import DependencyTree

_WORDS = st.sampled_from(["", "甲", "乙", "丙"])


def test_rare_values_are_blanked_and_others_kept() -> None:
    rows = [("北京", "x"), ("北京", "y"), ("Oslo", "x")]
    assert blank_rare_values(rows, 2) == [("北京", "x"), ("北京", ""), ("", "x")]
    assert blank_rare_values([(), ()], 2) == [(), ()]
    assert blank_rare_values([], 2) == []


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(_WORDS, _WORDS, _WORDS), min_size=6, max_size=40),
    k=st.integers(1, 4),
    parted=st.booleans(),
)
def test_every_kept_count_is_of_k_people_and_true(
    rows: list[tuple[str, str, str]], k: int, parted: bool
) -> None:
    groups = 2 if parted and len(rows) >= 8 else 1
    segments = [f"segment-{number % groups}" for number in range(len(rows))]
    published = blank_rare_values(rows, k)
    tree = DependencyTree.fit(segments, published, k)
    assert sorted(branch.attribute for branch in tree.branches) == [0, 1, 2]
    whole = [(segment, *row) for segment, row in zip(segments, published, strict=True)]
    for branch in tree.branches:
        alone = Counter(row[branch.attribute + 1] for row in whole)
        if max(alone.values()) >= k:
            assert branch.users == {word: n for word, n in alone.items() if n >= k}
        if branch.given is None:
            assert branch.pairs == branch.others == {}
            continue
        pairs = Counter((row[branch.given + 1], row[branch.attribute + 1]) for row in whole)
        kept = {(a, b): n for a, told in branch.pairs.items() for b, n in told.items()}
        assert kept == {pair: n for pair, n in pairs.items() if n >= k}
        left = Counter({a: 0 for a, _ in pairs})
        for (a, _), n in pairs.items():
            left[a] += n if n < k else 0
        assert branch.others == {a: n for a, n in left.items() if n >= k}
    known = [set(column) for column in zip(*rows, strict=True)]
    rng = np.random.default_rng(len(rows))
    for _ in range(5):
        for place, value in tree.draw(segments[0], rng).items():
            assert value in known[place]


def _chain(people: int) -> list[tuple[str, ...]]:
    """Each attribute mostly repeats the one before; the last one is a coin."""
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(people):
        row = [str(rng.choice(["a", "b", "c"]))]
        for _ in range(2):
            row.append(row[-1] if rng.random() < 0.8 else str(rng.choice(["a", "b", "c"])))
        rows.append((*row, str(rng.choice(["heads", "tails"]))))
    return rows


def test_drawn_people_hang_together_like_the_real_ones() -> None:
    rows = _chain(3000)
    tree = DependencyTree.fit(["s"] * len(rows), rows, 5)
    given = {branch.attribute: branch.given for branch in tree.branches}
    assert {(0, 1), (1, 2)} == {
        tuple(sorted((at, on))) for at, on in given.items() if on is not None
    }
    assert given[3] is None
    rng = np.random.default_rng(0)
    drawn = [tree.draw("s", rng) for _ in range(3000)]
    assert all(len(person) == 4 for person in drawn)
    for one, other in ((0, 1), (1, 2), (0, 2), (0, 3)):
        real = Counter((row[one], row[other]) for row in rows)
        made = Counter((person[one], person[other]) for person in drawn)
        for pair, count in real.items():
            assert made[pair] / 3000 == pytest.approx(count / 3000, abs=0.04)


def test_attributes_follow_the_segment() -> None:
    rows = [("young",)] * 50 + [("old",)] * 50
    tree = DependencyTree.fit(["east"] * 50 + ["west"] * 50, rows, 5)
    rng = np.random.default_rng(0)
    assert {tree.draw("east", rng)[0] for _ in range(20)} == {"young"}
    assert {tree.draw("west", rng)[0] for _ in range(20)} == {"old"}


def test_pairs_too_rare_to_be_told_are_shared_out_as_elsewhere() -> None:
    # Of the 40 in the east 28 are young; twelve others are of six kinds, two each.
    kinds = [f"kind-{number}" for number in range(6)]
    east = [("young",)] * 28 + [(kind,) for kind in kinds for _ in range(2)]
    west = [(kind,) for kind in kinds for _ in range(30)]
    tree = DependencyTree.fit(["east"] * 40 + ["west"] * 180, east + west, 5)
    (branch,) = tree.branches
    assert branch.pairs["east"] == {"young": 28}
    assert branch.others == {"east": 12}
    rng = np.random.default_rng(0)
    drawn = Counter(tree.draw("east", rng)[0] for _ in range(2000))
    assert drawn["young"] / 2000 == pytest.approx(0.7, abs=0.04)
    assert all(drawn[kind] / 2000 == pytest.approx(0.05, abs=0.02) for kind in kinds)


def _many_attributes(people: int) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(5)
    users = [f"u{number:03d}" for number in range(people)]
    told = {f"attribute {n}": rng.choice(["a", "b", "c"], people).tolist() for n in range(10)}
    rows = {
        "user_id": users * 2,
        "text": ["纯牛奶", "dog food"] * people,
        "category": ["食品", "PET"] * people,
        "brand": ["x"] * (2 * people),
        "price": [2.0] * (2 * people),
        "occurred_at": pa.array([None] * (2 * people), pa.timestamp("us")),
        "session_id": [str(number) for number in range(2 * people)],
    }
    return pa.table(rows), pa.table({"user_id": users, **told})


def test_people_told_by_many_attributes_keep_them() -> None:
    histories, people = _many_attributes(120)
    whole = PersonaModel(segments=2).fit(histories, people).sample(100)
    assert all(len(persona.demographics) == 10 for persona in whole)
    shared = PersonaModel(segments=2, demographics="shared").fit(histories, people).sample(100)
    assert np.mean([len(persona.demographics) for persona in shared]) < 5


def test_a_saved_tree_draws_the_same_people(tmp_path: Path) -> None:
    histories, people = _many_attributes(60)
    model = PersonaModel(segments=2).fit(histories, people)
    model.save(tmp_path / "model.json")
    loaded = PersonaModel.load(tmp_path / "model.json")
    assert loaded.demographics == "tree"
    assert loaded.sample(30) == model.sample(30)


def test_a_file_of_the_first_version_draws_shared_combinations(tmp_path: Path) -> None:
    histories, people = _many_attributes(60)
    model = PersonaModel(segments=2, demographics="shared").fit(histories, people)
    path = tmp_path / "model.json"
    model.save(path)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved.pop("tree") is None
    path.write_text(json.dumps({**saved, "version": 1}), encoding="utf-8")
    loaded = PersonaModel.load(path)
    assert loaded.demographics == "shared"
    assert loaded.sample(30) == model.sample(30)
