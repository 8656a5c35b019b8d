"""Several search engines as one: reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

from footfall.errors import SettingError
from footfall.simulator.search.protocol import SearchEngine
from footfall.simulator.search.ranking import check_page

__all__ = ["HybridSearch"]


class HybridSearch:
    """Reciprocal rank fusion of search engines.

    An item's score is the sum of ``1 / (constant + rank)`` over the engines that found it, the
    first rank being 1 (Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms
    Condorcet and individual Rank Learning Methods", SIGIR 2009, with their constant of 60). Equal
    scores keep the order of the engines.

    Parameters
    ----------
    engines:
        The engines, at least one.
    constant:
        The larger, the less the first ranks stand out.
    depth:
        Ranks taken from each engine, at least as many as a page needs.
    """

    name = "hybrid"

    def __init__(
        self, engines: Sequence[SearchEngine], *, constant: float = 60.0, depth: int = 200
    ) -> None:
        if not engines:
            raise SettingError("Hybrid search has no engines.", hint="Give it one or more.")
        if constant <= 0.0 or depth < 1:
            raise SettingError(
                f"Hybrid search has constant = {constant} and depth = {depth}.",
                hint="Use a positive constant and a depth of 1 or more.",
            )
        self.engines = tuple(engines)
        self.constant = constant
        self.depth = depth

    def search(self, queries: Sequence[str], *, limit: int, offset: int = 0) -> list[list[str]]:
        """Item ids for each query, best first."""
        check_page(limit, offset)
        # One fixed depth for all pages: a deeper look would reshuffle what was shown before.
        depth = max(self.depth, limit + offset)
        answers = [engine.search(queries, limit=depth) for engine in self.engines]
        return [
            self._fuse([answer[place] for answer in answers])[offset : offset + limit]
            for place in range(len(queries))
        ]

    def _fuse(self, rankings: list[list[str]]) -> list[str]:
        scores: dict[str, float] = {}
        for ranking in rankings:
            for rank, item_id in enumerate(ranking, start=1):
                scores[item_id] = scores.get(item_id, 0.0) + 1.0 / (self.constant + rank)
        return sorted(scores, key=lambda item_id: -scores[item_id])
