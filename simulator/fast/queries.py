"""What shoppers type who cannot think of words: the log's queries, else words of the item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from datetime import datetime
from itertools import accumulate
from typing import Final

from footfall.personas.tokens import tokenize
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.fast.items import Categories
from footfall.simulator.log import Log

__all__ = ["QueryBook", "distinctive_words"]

#: Queries kept of an item and of a category, the most frequent first.
_OF_ITEM: Final = 8
_OF_CATEGORY: Final = 5
#: What all of a category's queries weigh beside one made of the item's own words.
_CATEGORY_WEIGHT: Final = 1.0
#: Words of an item that queries are made of.
_WORDS: Final = 4

_QUERIES: Final = """
WITH kind AS (
    SELECT count(*) FILTER (clicked) > 0 AS clicks FROM impressions
    WHERE origin = 'real' AND ($until IS NULL OR shown_at < $until)
)
SELECT item_id, trim(query) AS query, count(*) AS times
FROM impressions JOIN searches USING (search_id) CROSS JOIN kind
WHERE impressions.origin = 'real' AND trim(query) <> ''
  AND CASE WHEN clicks THEN clicked ELSE purchased END
  AND ($until IS NULL OR searched_at < $until)
GROUP BY ALL ORDER BY item_id, times DESC, query
"""


class QueryBook:
    """Queries for a needed item, most likely first.

    Real queries of the log that led to a response on the item; where it has none, words of its own
    that few others have, and the most frequent queries that led to its category.

    Parameters
    ----------
    catalog:
        The items.
    categories:
        Of the same items.
    log, until:
        Where real queries are taken from; none where no log is given.
    """

    def __init__(
        self,
        catalog: Catalog,
        categories: Categories,
        log: Log | None = None,
        *,
        until: datetime | None = None,
    ) -> None:
        self._texts = catalog.texts()
        self._group = categories.group
        self._options: dict[int, tuple[tuple[str, ...], tuple[float, ...]]] = {}
        self._of_item: dict[int, list[tuple[str, float]]] = {}
        self._of_group: dict[int, list[tuple[str, float]]] = {}
        if log is not None:
            self._read(catalog, log, until)
        seen: Counter[str] = Counter()
        for text in self._texts:
            seen.update(set(tokenize(text)))
        self._seen = seen

    def _read(self, catalog: Catalog, log: Log, until: datetime | None) -> None:
        place = {item_id: row for row, item_id in enumerate(catalog.item_ids)}
        by_group: dict[int, Counter[str]] = {}
        for row in log.query(_QUERIES, {"until": utc_moment(until)}).to_pylist():
            item = place.get(row["item_id"])
            if item is None:
                continue
            kept = self._of_item.setdefault(item, [])
            if len(kept) < _OF_ITEM:
                kept.append((row["query"], float(row["times"])))
            by_group.setdefault(int(self._group[item]), Counter())[row["query"]] += row["times"]
        for group, counts in by_group.items():
            total = sum(counts.values())
            self._of_group[group] = [
                (query, _CATEGORY_WEIGHT * times / total)
                for query, times in counts.most_common(_OF_CATEGORY)
            ]

    def retold(self, changed: Sequence[int], texts: Sequence[str]) -> QueryBook:
        """The same book where the items in these rows have other texts; others keep theirs.

        What was typed for an item in the log is typed still.
        """
        other = copy(self)
        other._texts = list(self._texts)
        for row, text in zip(changed, texts, strict=True):
            other._texts[row] = text
        other._options = {}
        return other

    def query(self, item: int, chance: float, attempt: int) -> str | None:
        """What is typed for the item in this row; ``None`` where nothing more comes to mind.

        Parameters
        ----------
        chance:
            Uniform number that chooses the first query.
        attempt:
            Queries of the visit that have served this need before.
        """
        options = self._options.get(item)
        if options is None:
            options = self._options[item] = self._made(item)
        queries, sums = options
        if attempt >= len(queries):
            return None
        wanted = chance * sums[-1]
        first = next(place for place, total in enumerate(sums) if wanted < total)
        return queries[(first + attempt) % len(queries)]

    def _made(self, item: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
        told = list(self._of_item.get(item, ()))
        if not told:
            words = distinctive_words(self._texts[item], self._seen)
            told = [(query, 1.0) for query in words]
            told += self._of_group.get(int(self._group[item]), [])
        weights: dict[str, float] = {}
        for query, weight in told:
            weights[query] = weights.get(query, 0.0) + weight
        return tuple(weights), tuple(accumulate(weights.values()))


def distinctive_words(text: str, seen: Counter[str]) -> list[str]:
    """Two or three words of ``text`` that few items have, in reading order, in several choices.

    Words of scripts without spaces overlap (:mod:`footfall.personas.tokens`), and what overlaps is
    typed as one: ``纯牛`` and ``牛奶`` as ``纯牛奶``. Numbers are typed only where there is
    nothing else. Empty where the text has no words.

    Parameters
    ----------
    seen:
        How many items have each word.
    """
    words = list(dict.fromkeys(tokenize(text)))
    # Single characters of such scripts are in the pairs around them.
    pairs = [word for word in words if len(word) > 1 or word.isascii()]
    telling = [word for word in pairs if not word.replace(".", "").isdigit()] or pairs or words
    rarest = sorted(telling, key=lambda word: (seen[word], telling.index(word)))[:_WORDS]
    choices = [rarest[:3], rarest[:2], [rarest[0], *rarest[2:3]]] if rarest else []
    made = (_typed([word for word in telling if word in choice]) for choice in choices)
    return list(dict.fromkeys(made))


def _typed(words: Sequence[str]) -> str:
    typed, before = "", ""
    for word in words:
        # A pair of characters of a script without spaces goes on where the one before ended.
        pairs = len(before) == len(word) == 2 and not before.isascii() and not word.isascii()
        typed = typed + word[1:] if pairs and before[1] == word[0] else f"{typed} {word}".strip()
        before = word
    return typed
