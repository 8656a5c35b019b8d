"""Making a target of what people have already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from footfall.errors import SettingError
from footfall.personas.persona import Persona
from footfall.simulator.search.protocol import Recommender, SearchEngine
from footfall.simulator.targets.als import ImplicitTarget
from footfall.simulator.targets.protocol import PageRequest, Target
from footfall.simulator.targets.rankers import RankerTarget

__all__ = ["EngineTarget", "as_target"]

_SCORES = ("predict_proba", "decision_function", "predict")


class EngineTarget:
    """A search engine, a recommender, or an object that is both, of :mod:`.search`'s protocols.

    One that only searches answers browsing with an empty query; one that only recommends does not
    read queries. A recommender is given personas that hold what a shop knows: id, locale,
    demographics, and the history as item ids.

    Parameters
    ----------
    engine:
        The object.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.name: str = engine.name

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """One page a request; those of one limit and offset are asked for together."""
        pages: list[list[str]] = [[] for _ in requests]
        groups: dict[tuple[bool, int, int], list[int]] = {}
        for number, request in enumerate(requests):
            searches = isinstance(self.engine, SearchEngine) and (
                request.query is not None or not isinstance(self.engine, Recommender)
            )
            groups.setdefault((searches, request.limit, request.offset), []).append(number)
        for (searches, limit, offset), numbers in groups.items():
            asked = [requests[number] for number in numbers]
            if searches:
                queries = [request.query or "" for request in asked]
                found = self.engine.search(queries, limit=limit, offset=offset)
            else:
                people = [_known(request) for request in asked]
                found = self.engine.recommend(people, limit=limit, offset=offset)
            for number, page in zip(numbers, found, strict=True):
                pages[number] = page
        return pages


def _known(request: PageRequest) -> Persona:
    """What a shop knows of a shopper, as a persona without habits."""
    return Persona(
        persona_id=request.shopper_id or "unknown",
        locale=request.locale,
        demographics=dict(request.demographics),
        history=request.history,
    )


def as_target(thing: Any) -> Target:
    """Adapt an object to be asked as a target.

    * a :class:`~footfall.simulator.targets.protocol.Target` (``name`` and ``answer``): as it is
    * a search engine or recommender of :mod:`footfall.simulator.search`
    * a model of the library ``implicit``
    * anything with ``fit(X, y)`` and ``predict_proba``, ``decision_function`` or ``predict``
      (:class:`~footfall.simulator.targets.rankers.RankerTarget`)

    Raises
    ------
    SettingError
        If it is none of these.
    """
    if isinstance(thing, type):
        raise SettingError(
            f"{thing.__name__} is a class and no object.", hint="Make an object of it."
        )
    if callable(getattr(thing, "answer", None)) and isinstance(getattr(thing, "name", None), str):
        target: Target = thing
        return target
    if isinstance(thing, SearchEngine | Recommender):
        return EngineTarget(thing)
    if type(thing).__module__.partition(".")[0] == "implicit":
        return ImplicitTarget(thing)
    if callable(getattr(thing, "fit", None)) and any(hasattr(thing, each) for each in _SCORES):
        return RankerTarget(thing)
    raise SettingError(
        f"An object of type {type(thing).__name__} cannot be asked for pages.",
        hint="Give it a text `name` and a method `answer(requests)`; docs/targets.md shows one.",
    )
