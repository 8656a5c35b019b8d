"""Choice accuracy by hand arithmetic."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from footfall.errors import EmptyLogError, SettingError
from footfall.eval.choice_accuracy import (
    accuracy_difference,
    choice_accuracy,
    cosine_scorer,
    engine_scorer,
    hits,
    popularity_scorer,
    search_scorer,
)
from footfall.eval.user_means import user_mean
from footfall.finetune.tuning_slates import Slate
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import ChoiceAnswer, EngineIdentity
from footfall.simulator.search import BM25Search

TEXTS = {"a": "halo wars", "b": "forza racing", "c": "fifa soccer"}


def _slate(items="abc", chosen=0, query="halo", user="u", search="s") -> Slate:
    return Slate(
        search_id=search,
        user_id=user,
        at=None,
        persona=Persona(persona_id=user, history=("forza racing",)),
        query=query,
        item_ids=tuple(items),
        texts=tuple(TEXTS[item] for item in items),
        chosen=chosen,
        candidates="reconstructed",
    )


def _catalog(**popularity) -> Catalog:
    return Catalog.from_table(
        pa.table(
            {
                "item_id": list(TEXTS),
                "text": list(TEXTS.values()),
                "popularity": [popularity.get(item, 0) for item in TEXTS],
            }
        )
    )


def test_ties_share_the_hit_and_missing_scores_come_last() -> None:
    slates = [_slate(chosen=place) for place in (0, 1, 2, 0, 1)]
    nan = float("nan")
    scores = [[3, 2, 1], [3, 2, 1], [1, 1, 1], [nan, nan, nan], [nan, -5, nan]]
    found = hits(slates, [np.array(row, dtype=float) for row in scores])
    assert found == pytest.approx([1, 0, 1 / 3, 1 / 3, 1])


def test_a_slate_that_cannot_be_judged_is_named() -> None:
    with pytest.raises(SettingError, match="slate lost cannot be judged"):
        hits([_slate(chosen=None, search="lost")], [np.zeros(3)])
    with pytest.raises(SettingError, match="2 scores for 3 items"):
        hits([_slate()], [np.zeros(2)])


def test_accuracy_and_paired_difference() -> None:
    slates = [_slate(chosen=0, user=f"u{number % 4}") for number in range(20)]
    first = [np.array([1.0, 0.0, 0.0])] * 20
    half = [np.array([float(n % 2), 0.5, 0.0]) for n in range(20)]
    figures, found = choice_accuracy(slates, {"one": lambda _: first, "two": lambda _: half})
    one, two = figures
    assert (one.accuracy.value, one.accuracy.low, one.accuracy.high) == (1.0, 1.0, 1.0)
    assert two.accuracy.value == 0.5
    assert 0.0 <= two.accuracy.low < 0.5 < two.accuracy.high <= 1.0
    assert one.chance == pytest.approx(1 / 3)
    assert (one.candidates, one.accuracy.rows, one.accuracy.users) == ("reconstructed", 20, 4)
    less = accuracy_difference(slates, found["one"], found["two"])
    assert less.value == 0.5
    assert less.low >= 0
    same = accuracy_difference(slates, found["two"], found["two"])
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    with pytest.raises(EmptyLogError):
        choice_accuracy([], {})


def test_the_interval_knows_that_a_user_s_rows_go_together() -> None:
    values = [1.0] * 50 + [0.0] * 50
    together = user_mean(values, ["one"] * 50 + ["other"] * 50)
    apart = user_mean(values, [str(number) for number in range(100)])
    assert together.value == apart.value == 0.5
    assert together.high - together.low > 2 * (apart.high - apart.low)
    weighted = user_mean([1.0, 0.0], ["a", "b"], weights=[3.0, 1.0])
    assert weighted.value == 0.75


def test_scorers_that_need_no_language_model() -> None:
    catalog = _catalog(b=5, c=2)
    slates = [_slate("acb", query="fifa halo wars"), _slate("bc", query="nothing known")]
    assert [list(row) for row in popularity_scorer(catalog)(slates)] == [[0, 2, 5], [5, 2]]
    scores = search_scorer(BM25Search(catalog), len(catalog))(slates)
    # Both words of the first, one of the second; not found comes last.
    assert scores[0][0] > scores[0][1] > scores[0][2]
    assert scores[1][0] == scores[1][1]

    class Words:
        """Vectors of letters: the same words, the same direction."""

        identity = "words"

        def encode(self, texts, *, normalize=True, description=""):
            rows = [[text.count(letter) for letter in "aefhorz"] for text in texts]
            table = np.asarray(rows, dtype=np.float32) + 1e-6
            return table / np.linalg.norm(table, axis=1, keepdims=True)

    asked, browsing = cosine_scorer(Words())(
        [_slate("cab", query="halo wars"), _slate("ab", query=None)]
    )
    assert int(np.argmax(asked)) == 1
    # Without a query the history speaks: forza racing.
    assert int(np.argmax(browsing)) == 1
    assert (asked.shape, browsing.shape) == ((3,), (2,))


class _LikesForza:
    """Gives most to the label of the item that names forza, wherever it stands."""

    identity = EngineIdentity("fake", "m", "h")

    def __init__(self) -> None:
        self.waiting = []
        self.places = []

    def submit(self, request) -> int:
        self.waiting.append(request)
        return len(self.waiting) - 1

    def collect(self):
        found = []
        for ticket, request in enumerate(self.waiting):
            if len(request.options) == 2:
                likes = "forza" in request.prompt.split("Item:")[-1]
                values = (-0.1, -3.0) if likes else (-3.0, -0.1)
            else:
                lines = request.prompt.splitlines()
                (line,) = [line for line in lines if "forza" in line and line[1] == ":"]
                label = ord(line[0]) - ord("A")
                self.places.append(label)
                values = tuple(
                    -0.1 if place == label else -3.0 for place in range(len(request.options))
                )
            found.append((ticket, ChoiceAnswer(values, 1, 1)))
        return found

    def close(self) -> None:
        """Nothing to free."""


@pytest.mark.parametrize("kind", ["slate", "item"])
def test_the_engine_s_scores_come_back_in_the_slate_s_order(kind) -> None:
    engine = _LikesForza()
    slates = [
        Slate(
            f"s{n}",
            "u",
            None,
            Persona(persona_id="p"),
            "q",
            tuple(o),
            tuple(TEXTS[i] for i in o),
            o.index("b"),
            "reconstructed",
        )
        for n, o in enumerate(["abc", "bca", "cab", "cba"] * 5)
    ]
    scores = engine_scorer(engine, kind)(slates)
    assert hits(slates, scores).tolist() == [1.0] * 20
    # The order put to the model is drawn anew, whatever the slate's own.
    assert kind == "item" or set(engine.places) == {0, 1, 2}
