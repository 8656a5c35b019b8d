"""A target as a single visit sees it: one page at a time, for a persona with a memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest, TargetClient

__all__ = ["VisitedTarget"]


class VisitedTarget:
    """Asks a target for the pages of visits, telling it what a shop knows of the shopper.

    Parameters
    ----------
    client:
        The target.
    catalog:
        Turns the texts of a persona's history into the items that the shop saw taken; of items
        with the same text, the first one.
    """

    def __init__(self, client: TargetClient, catalog: Catalog) -> None:
        self.client = client
        ids = catalog.item_ids.tolist()
        self._item_of_text = dict(zip(reversed(catalog.texts()), reversed(ids), strict=True))

    @property
    def name(self) -> str:
        """The target's name."""
        return self.client.name

    def page(
        self,
        persona: Persona,
        taken: Sequence[str],
        query: str | None,
        at: datetime,
        *,
        limit: int,
        offset: int,
    ) -> AnsweredPage:
        """One page for a shopper who took the items ``taken`` on earlier visits."""
        before = [
            self._item_of_text[text] for text in persona.history if text in self._item_of_text
        ]
        history = dict.fromkeys(before)
        for item_id in taken:
            history.pop(item_id, None)
            history[item_id] = None
        request = PageRequest(
            shopper_id=persona.persona_id,
            at=at,
            query=query,
            history=tuple(history),
            locale=persona.locale,
            demographics=persona.demographics,
            limit=limit,
            offset=offset,
        )
        return self.client.ask([request])[0]
