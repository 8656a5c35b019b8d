"""A whole target behind Footfall's HTTP contract, in two screens: popularity and content.

    python examples/reference_server.py --port 8000
    footfall stress http://127.0.0.1:8000 --scenario steady-traffic ...

Queries are answered by the words that they share with items, browsing by what is like the
shopper's history, and both by popularity where nothing is known. It needs fastapi, uvicorn, numpy
and scikit-learn, and nothing of Footfall.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from target_server import Event, Item, Question, serve


class ReferenceModel:
    """Popularity, and cosine of TF-IDF vectors of two and three letters (so Chinese works, too)."""

    name = "reference"

    def __init__(self) -> None:
        self._learned: _Learned | None = None

    def fit(self, items: list[Item], events: list[Event]) -> ReferenceModel:
        """Count what was taken, and read the items' texts."""
        self._learned = _Learned(items, events) if items else None
        return self

    def answer(self, questions: list[Question]) -> list[list[str]]:
        """A page for each question; empty ones before anything was learned."""
        learned = self._learned
        return [learned.page(question) if learned else [] for question in questions]


class _Learned:
    """What one `fit` came to; never changed afterwards."""

    def __init__(self, items: list[Item], events: list[Event]) -> None:
        taken = Counter(event.item_id for event in events if event.clicked or event.purchased)
        self.ids = np.array([item.item_id for item in items], dtype=object)
        self.place = {item.item_id: place for place, item in enumerate(items)}
        self.available = np.array([item.available is not False for item in items])
        popularity = np.array([taken[item.item_id] for item in items], float)
        # A share of one that decides among equal scores only.
        self.popularity = popularity / (popularity.max() + 1.0)
        self.words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), sublinear_tf=True)
        try:
            self.vectors: Any = self.words.fit_transform([item.text for item in items])
        except ValueError:  # no text has two letters
            self.vectors = None

    def page(self, question: Question) -> list[str]:
        scores = self._likeness(question)
        if scores is None:
            scores, wanted = self.popularity, self.available
        else:
            wanted = self.available & (scores > 0)
            scores = scores + 1e-6 * self.popularity
        places = np.flatnonzero(wanted)
        best = places[np.argsort(-scores[places], kind="stable")]
        found: list[str] = self.ids[best[question.offset :][: question.limit]].tolist()
        return found

    def _likeness(self, question: Question) -> Any:
        """Cosine of every item with what is asked for; None where nothing is like it."""
        if self.vectors is None:
            return None
        if (question.query or "").strip():
            wanted = self.words.transform([question.query])
        else:
            places = [self.place[each] for each in question.history[-20:] if each in self.place]
            if not places:
                return None
            wanted = self.vectors[places].sum(axis=0)
        scores = np.asarray(self.vectors @ np.asarray(_dense(wanted)).ravel()).ravel()
        return scores if (scores[self.available] > 0).any() else None


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


if __name__ == "__main__":
    serve(ReferenceModel())
