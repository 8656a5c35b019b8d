"""Search by words: BM25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from footfall.errors import MissingPartError
from footfall.personas.tokens import tokenize
from footfall.simulator.catalog import Catalog
from footfall.simulator.search.ranking import best_places, check_page, tie_ranks

__all__ = ["BM25Search"]


class BM25Search:
    """Okapi BM25 in Lucene's variant over the item texts.

    Scores are those of ``bm25s`` (Lù, "BM25S", 2024; Robertson and Zaragoza, "The Probabilistic
    Relevance Framework", 2009). Words are those of :mod:`footfall.personas.tokens`, Chinese
    included. An item is found only if it shares a word with the query; the more popular item
    comes first among equal scores.

    Parameters
    ----------
    catalog:
        The items.
    k1, b:
        Saturation of repeated words, and how much long texts are held back.

    Raises
    ------
    MissingPartError
        If ``bm25s`` is not installed.
    """

    name = "bm25"

    def __init__(self, catalog: Catalog, *, k1: float = 1.5, b: float = 0.75) -> None:
        self.catalog = catalog
        self._ties = tie_ranks(catalog.popularity_order())
        self._vocabulary: dict[str, int] = {}
        documents = [self._number(tokenize(text)) for text in catalog.texts()]
        self._index = self._build(documents, k1, b) if self._vocabulary else None

    def _number(self, words: list[str]) -> list[int]:
        known = self._vocabulary
        return [known.setdefault(word, len(known)) for word in words]

    def _build(self, documents: list[list[int]], k1: float, b: float) -> Any:
        try:
            import bm25s
        except ImportError as error:
            raise MissingPartError("BM25 search needs bm25s.", hint="pip install bm25s") from error
        index = bm25s.BM25(k1=k1, b=b, method="lucene")
        index.index((documents, self._vocabulary), create_empty_token=False, show_progress=False)
        return index

    def search(self, queries: Sequence[str], *, limit: int, offset: int = 0) -> list[list[str]]:
        """Item ids for each query, best first; an empty list where no word is known."""
        check_page(limit, offset)
        return [self._search(query, limit, offset) for query in queries]

    def _search(self, query: str, limit: int, offset: int) -> list[str]:
        words = [self._vocabulary[word] for word in tokenize(query) if word in self._vocabulary]
        if not words or self._index is None:
            return []
        scores = self._index.get_scores_from_ids(words)
        found = np.flatnonzero(scores > 0.0)
        places = best_places(scores[found], found, self._ties, limit=limit, offset=offset)
        ids: list[str] = self.catalog.item_ids[places].tolist()
        return ids
