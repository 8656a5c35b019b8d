from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import DataError, EmptyLogError, PersonaError, SettingError
from footfall.personas import (
    Persona,
    PersonaModel,
    describe_users,
    persona_text,
    smallest_group,
    vectorize_histories,
)
from footfall.personas.segments import fit_beta, fit_concentration, fit_gamma
from footfall.personas.vectorize import reduce_vectors

_SHELVES = {
    "GROCERY > SOUP > TOMATO": ["tomato soup", "pea soup", "lentil soup"],
    "食品 > 乳制品": ["纯牛奶 250ml", "酸奶", "奶酪"],
    "PET > DOG > FOOD": ["dog food", "dog biscuits", "dog bone"],
}


def histories(users: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        favourite = list(_SHELVES)[user % 3]
        for visit in range(int(random.integers(2, 6))):
            category = favourite if random.random() < 0.8 else str(random.choice(list(_SHELVES)))
            rows.append(
                {
                    "user_id": f"u{user:03d}",
                    "text": str(random.choice(_SHELVES[category])),
                    "category": category,
                    "brand": str(random.choice(["x", "y"])),
                    "price": float(random.integers(1, 9)),
                    "occurred_at": datetime(2026, 1, 1) + timedelta(days=3 * visit + user % 3),
                    "session_id": f"{user}-{visit}",
                }
            )
    return pa.Table.from_pylist(rows)


def demographics(users: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "user_id": [f"u{user:03d}" for user in range(users)],
            "age": pa.array(random.choice(["young", "old", None], users).tolist(), pa.string()),
            "city": random.choice(["北京", "Paris", "Oslo", "Rome"], users).tolist(),
        }
    )


@pytest.fixture(scope="module")
def model() -> PersonaModel:
    return PersonaModel(segments=3, k_anonymity=4, seed=1).fit(histories(60), demographics(60))


def test_segments_find_the_shelves(model: PersonaModel) -> None:
    assert sum(profile.users for profile in model.profiles) == 60
    heaviest = {next(iter(profile.interests)) for profile in model.profiles}
    assert heaviest == {"GROCERY > SOUP", "食品 > 乳制品", "PET > DOG"}


@settings(max_examples=5, deadline=None)
@given(
    users=st.integers(12, 40), k=st.integers(2, 6), segments=st.integers(1, 5), seed=st.integers(0)
)
def test_published_combinations_are_shared_by_k_users(
    users: int, k: int, segments: int, seed: int
) -> None:
    seed %= 1000
    people = demographics(users, seed)
    model = PersonaModel(segments=segments, k_anonymity=k, demographics="shared", seed=seed)
    model.fit(histories(users, seed), people)
    assert model.assignments is not None
    assert smallest_group(model.assignments.drop_columns("user_id")) >= k
    raw = {row["user_id"]: row for row in people.to_pylist()}
    segment = dict(
        zip(*(model.assignments[name].to_pylist() for name in ("user_id", "segment")), strict=True)
    )
    buyers: dict[str, set[str]] = {}
    for row in histories(users, seed).to_pylist():
        buyers.setdefault(row["text"], set()).add(row["user_id"])
    for persona in model.sample(30):
        sharing = [
            user
            for user, row in raw.items()
            if segment[user] == persona.segment
            and all(row[name] == value for name, value in persona.demographics.items())
        ]
        assert len(sharing) >= k
        assert all(len(buyers[text]) >= k for text in persona.history)


def test_no_persona_is_a_real_user(model: PersonaModel) -> None:
    def record(persona: Persona) -> str:
        return persona.model_dump_json(exclude={"persona_id", "segment", "demographics"})

    real = {record(persona) for persona in describe_users(histories(60), demographics(60))}
    drawn = model.sample(200)
    assert not real & {record(persona) for persona in drawn}
    assert len({record(persona) for persona in drawn}) == 200


def test_drawn_habits_follow_the_users(model: PersonaModel) -> None:
    real = describe_users(histories(60))
    drawn = model.sample(600)
    for name in ("price_sensitivity", "brand_loyalty", "exploration", "activity", "patience"):
        expected = np.mean([getattr(persona, name) for persona in real])
        found = np.mean([getattr(persona, name) for persona in drawn])
        assert found == pytest.approx(expected, rel=0.1)
    assert all(sum(p.interests.values()) == pytest.approx(1.0) for p in drawn)


def test_same_seed_same_people_and_longer_begins_with_shorter(model: PersonaModel) -> None:
    again = PersonaModel(segments=3, k_anonymity=4, seed=1).fit(histories(60), demographics(60))
    assert model.sample(20) == again.sample(20)
    assert model.sample(20)[:5] == model.sample(5)
    assert model.sample(5) != model.sample(5, seed=9)


def test_save_and_load(model: PersonaModel, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    model.save(path)
    assert PersonaModel.load(path).sample(25) == model.sample(25)
    assert "u001" not in path.read_text(encoding="utf-8")
    assert not list(tmp_path.glob("*.partial"))


def test_load_errors(tmp_path: Path) -> None:
    with pytest.raises(PersonaError, match="cannot be read"):
        PersonaModel.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"format": "else"}')
    with pytest.raises(PersonaError, match="format"):
        PersonaModel.load(tmp_path / "bad.json")


def test_fit_errors_say_what_to_set() -> None:
    with pytest.raises(EmptyLogError):
        PersonaModel().fit(histories(3).slice(0, 0))
    with pytest.raises(PersonaError, match="Set segments to 6 or less"):
        PersonaModel(segments=7).fit(histories(6))
    with pytest.raises(PersonaError, match="Set k_anonymity to 6 or less"):
        PersonaModel(segments=1, k_anonymity=9).fit(histories(6))
    with pytest.raises(PersonaError, match="segments is 0"):
        PersonaModel(segments=0)
    with pytest.raises(PersonaError, match="not fitted"):
        PersonaModel().sample(1)


def test_users_all_alike() -> None:
    same = histories(9).set_column(1, "text", pa.array(["milk"] * histories(9).num_rows))
    drawn = PersonaModel(segments=3, k_anonymity=3).fit(same).sample(5)
    assert {persona.history for persona in drawn} == {("milk",)}
    assert all(persona.demographics == {} for persona in drawn)


def test_describe_users() -> None:
    log = histories(4)
    extra = pa.table({"user_id": ["u001", "zz"], "age": ["old", "young"]})
    people = {persona.persona_id: persona for persona in describe_users(log, extra)}
    assert list(people) == ["u000", "u001", "u002", "u003", "zz"]
    assert people["zz"].history == ()
    assert people["zz"].demographics == {"age": "young"}
    assert people["zz"].interests
    assert people["u000"].demographics == {}
    rows = [row for row in log.to_pylist() if row["user_id"] == "u001"]
    newest = max(rows, key=lambda row: row["occurred_at"])["text"]
    assert people["u001"].history[-1] == newest
    assert len(describe_users(log, history_length=1)[1].history) == 1


def test_demographics_errors() -> None:
    with pytest.raises(DataError, match="twice"):
        describe_users(histories(3), pa.table({"user_id": ["a", "a"], "age": ["1", "2"]}))
    with pytest.raises(DataError, match="user_id"):
        describe_users(histories(3), pa.table({"age": ["1"]}))


def test_persona_text() -> None:
    persona = Persona(
        persona_id="1",
        demographics={"age": "25-34", "income": "50-74K"},
        interests={"BAKERY > BREAD": 0.3, "GROCERY > SOUP": 0.6, "食品 > 乳制品": 0.1},
        history=("old\nbread", "纯牛奶"),
    )
    assert persona_text(persona) == "25-34 | 50-74K ; SOUP, BREAD, 乳制品 ; old bread, 纯牛奶"
    assert persona_text(persona, interests=1, history=1) == "25-34 | 50-74K ; SOUP ; 纯牛奶"
    assert persona_text(persona, interests=0, history=0) == "25-34 | 50-74K"
    assert persona_text(Persona(persona_id="1")) == ""


def test_bag_of_words_by_hand() -> None:
    log = pa.table({"user_id": ["b", "a", "a", "a"], "text": ["soup", "pea soup", "soup", None]})
    vectors = vectorize_histories(log, "bow")
    assert vectors.user_ids == ["a", "b"]
    assert vectors.matrix.toarray() == pytest.approx(
        np.array([[1 / 5**0.5, 2 / 5**0.5], [0.0, 1.0]])
    )


def test_tfidf_favours_the_rare_word_and_ignores_row_order() -> None:
    log = pa.table({"user_id": ["a", "b", "c"], "text": ["pea soup", "soup", "soup"]})
    pea, soup = vectorize_histories(log, "tfidf").matrix.toarray()[0]
    assert pea > soup
    turned = vectorize_histories(log.take([2, 0, 1]), "tfidf").matrix.toarray()
    assert (turned == vectorize_histories(log, "tfidf").matrix.toarray()).all()


def test_vectorizer_errors() -> None:
    with pytest.raises(SettingError, match="gpt"):
        vectorize_histories(histories(3), "gpt")  # type: ignore[arg-type]
    with pytest.raises(EmptyLogError, match="word"):
        vectorize_histories(pa.table({"user_id": ["a"], "text": ["!!"]}))


def test_reduced_rows_have_length_one() -> None:
    matrix = np.random.default_rng(0).random((7, 5))
    reduced = reduce_vectors(matrix, 3)
    assert reduced.shape == (7, 3)
    assert np.linalg.norm(reduced, axis=1) == pytest.approx(np.ones(7))


def test_moments() -> None:
    a, b = fit_beta(np.array([0.2, 0.4, 0.6]))
    assert a / (a + b) == pytest.approx(0.4)
    assert a * b / ((a + b) ** 2 * (a + b + 1)) == pytest.approx(np.var([0.2, 0.4, 0.6]))
    shape, scale = fit_gamma(np.array([1.0, 3.0]))
    assert (shape, scale) == pytest.approx((4.0, 0.5))
    # Mean (0.5, 0.5), variances 0.01 each: 0.5 / 0.02 - 1.
    assert fit_concentration(np.array([[0.4, 0.6], [0.6, 0.4]])) == pytest.approx(24.0)
