"""A search engine and a recommender of the simulator as what a crowd asks."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import pyarrow as pa

from footfall.personas.persona import Persona
from footfall.simulator.search.protocol import Recommender, SearchEngine
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest

__all__ = ["BaselineClient"]


class BaselineClient:
    """Answers queries by a search engine and browsing by a recommender.

    What they raise is not caught: these are the shop's own, not what is under test. Recommenders
    are told a shopper's id, locale and demographics; a built-in one needs no more.
    """

    def __init__(self, search: SearchEngine, recommender: Recommender) -> None:
        self._search = search
        self._recommender = recommender

    @property
    def name(self) -> str:
        """Names of both."""
        return f"{self._search.name} + {self._recommender.name}"

    def ask(self, requests: Sequence[PageRequest]) -> list[AnsweredPage]:
        """One answer a request; those that ask for the same part of a list together."""
        began = perf_counter()
        kinds: dict[tuple[bool, int, int], list[int]] = {}
        for place, request in enumerate(requests):
            kind = (request.query is None, request.limit, request.offset)
            kinds.setdefault(kind, []).append(place)
        found: dict[int, Sequence[str]] = {}
        for (browsing, limit, offset), places in kinds.items():
            asked = [requests[place] for place in places]
            if browsing:
                people = [_persona(request) for request in asked]
                answers = self._recommender.recommend(people, limit=limit, offset=offset)
            else:
                queries = [request.query or "" for request in asked]
                answers = self._search.search(queries, limit=limit, offset=offset)
            found.update(zip(places, answers, strict=True))
        seconds = (perf_counter() - began) / max(1, len(requests))
        return [AnsweredPage(tuple(found[place]), seconds) for place in range(len(requests))]

    def fit(self, items: pa.Table, events: pa.Table) -> bool:  # noqa: ARG002
        """These learn nothing more."""
        return False

    def close(self) -> None:
        """Nothing is held."""


def _persona(request: PageRequest) -> Persona:
    return Persona.model_construct(
        persona_id=request.shopper_id,
        locale=request.locale,
        demographics=dict(request.demographics),
    )
