"""Items like those a shopper took, and like what they ask for: cosine of text vectors."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import SettingError
from footfall.simulator.fast.vectors import EncoderName, fit_vectors
from footfall.simulator.targets.nearest import NearestItems
from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems

__all__ = ["ContentTarget"]

#: Requests that are scored against all items at once: 512 of 90,000 items take 180 MB.
_ROWS: Final = 512
#: Queries whose vectors are kept.
_MOST_QUERIES: Final = 100_000


class ContentTarget:
    """Ranks items by the cosine of their text's vector with what is known of the shopper.

    With a query, that is the query's vector and, weighed by ``history_weight``, the mean vector of
    what they took; without, the latter alone, later items counting more. Who is not known at all
    gets what is popular.

    Parameters
    ----------
    encoder:
        ``minilm``, or ``words``: TF-IDF reduced by SVD, which needs no torch.
    history_weight:
        How much the history counts beside a query, 0 or more.
    recency:
        Each earlier item counts this share of the next one, above 0 and at most 1.

    Raises
    ------
    SettingError
        If an option is out of its range.
    """

    name = "content"

    def __init__(
        self,
        *,
        encoder: EncoderName = "minilm",
        history_weight: float = 0.2,
        recency: float = 0.9,
    ) -> None:
        if not 0 <= history_weight < inf or not 0 < recency <= 1:
            raise SettingError(
                f"history_weight is {history_weight:g} and recency {recency:g}.",
                hint="Use 0 or more, and a share above 0.",
            )
        if encoder not in ("minilm", "words"):
            raise SettingError(f"encoder is {encoder!r}.", hint="Use 'minilm' or 'words'.")
        self.encoder = encoder
        self.history_weight = history_weight
        self.recency = recency
        self._shop = ShopItems.none()
        self._encoded: dict[str, npt.NDArray[np.float32]] = {}
        self._texts: tuple[str, ...] = ()
        self._maker: Any = None
        self._vectors: npt.NDArray[np.float32] = np.zeros((0, 1), np.float32)
        self._nearest = NearestItems(self._vectors)

    def fit(self, items: pa.Table, events: pa.Table) -> ContentTarget:
        """Encode the items' texts; those of the last call are not encoded again."""
        self._shop = ShopItems.of(items, events)
        texts = tuple(items["text"].to_pylist())
        if texts != self._texts:
            self._maker = fit_vectors(texts, self.encoder)
            distinct = list(dict.fromkeys(texts))
            place = {text: number for number, text in enumerate(distinct)}
            encoded = self._maker.encode(distinct)
            self._vectors = encoded[[place[text] for text in texts]]
            self._texts = texts
            self._encoded = {}
        self._nearest = NearestItems(self._vectors[self._shop.order])
        return self

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """One page a request."""
        self._shop.require(self.name)
        pages: list[list[str]] = []
        for first in range(0, len(requests), _ROWS):
            pages += self._pages(requests[first : first + _ROWS])
        return pages

    def _pages(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        wanted = self._wanted(requests)
        known = np.flatnonzero(np.abs(wanted).max(axis=1) > 0)
        pages = [self._shop.popular(each.limit, each.offset) for each in requests]
        if len(known):
            depth = max(requests[n].limit + requests[n].offset for n in known.tolist())
            found = self._shop.order[self._nearest.best(wanted[known], depth)]
            for number, places in zip(known.tolist(), found, strict=True):
                asked = requests[number]
                pages[number] = self._shop.page(places[asked.offset :][: asked.limit])
        return pages

    def _wanted(self, requests: Sequence[PageRequest]) -> npt.NDArray[np.float32]:
        """What is looked for, shape (requests, dimensions); zeros where nothing is known."""
        queries = [(request.query or "").strip() for request in requests]
        new = [query for query in dict.fromkeys(queries) if query and query not in self._encoded]
        if new:
            if len(self._encoded) > _MOST_QUERIES:
                self._encoded = {}
                new = [query for query in dict.fromkeys(queries) if query]
            self._encoded |= dict(zip(new, self._maker.encode(new), strict=True))
        wanted = np.zeros((len(requests), self._vectors.shape[1]), np.float32)
        for number, (request, query) in enumerate(zip(requests, queries, strict=True)):
            places = self._shop.places_of(request.history)
            if places:
                weights = self.recency ** np.arange(len(places) - 1, -1, -1.0)
                mean = weights @ self._vectors[places] / weights.sum()
                wanted[number] = mean if not query else self.history_weight * mean
            if query:
                wanted[number] += self._encoded[query]
        return wanted
