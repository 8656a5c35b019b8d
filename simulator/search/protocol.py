"""What the simulator asks of a search engine and of a recommender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from footfall.personas.persona import Persona

__all__ = ["Recommender", "SearchEngine"]


@runtime_checkable
class SearchEngine(Protocol):
    """Answers queries with items. Any object with these members will do."""

    @property
    def name(self) -> str:
        """Stored with every search as what answered it."""

    def search(self, queries: Sequence[str], *, limit: int, offset: int = 0) -> list[list[str]]:
        """Item ids for each query, best first, without repeats.

        Parameters
        ----------
        queries:
            Any text, the empty one included.
        limit:
            Ids per query at most; fewer where there are no more.
        offset:
            Leave out this many of the best: the next page.
        """


@runtime_checkable
class Recommender(Protocol):
    """Offers items to people who have not asked for any."""

    @property
    def name(self) -> str:
        """Stored with every search as what answered it."""

    def recommend(
        self, personas: Sequence[Persona], *, limit: int, offset: int = 0
    ) -> list[list[str]]:
        """Item ids for each persona, best first; ``limit`` and ``offset`` as in search."""
