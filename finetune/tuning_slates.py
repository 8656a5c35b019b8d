"""Slates with a known choice, for tuning and for measuring: logged, or reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from footfall.finetune.reconstruction import Reconstruction
from footfall.finetune.tuning_events import Event
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.prompts import LARGEST_SLATE

__all__ = ["Slate", "candidates_kind", "make_slates"]

_RECONSTRUCTED: Final = "reconstructed"


@dataclass(frozen=True, slots=True)
class Slate:
    """What a shopper was shown, in the order shown to the model, and which of it they chose.

    ``chosen`` is an index into the items, or ``None`` where none was chosen.
    """

    search_id: str
    user_id: str
    at: datetime | None
    persona: Persona
    query: str | None
    item_ids: tuple[str, ...]
    texts: tuple[str, ...]
    chosen: int | None
    candidates: str


def candidates_kind(events: Sequence[Event]) -> str:
    """How the shown items are known: ``reconstructed`` where responses are all that is.

    Otherwise the word that most events of the log say: ``logged``, ``sampled``.
    """
    shown = [event for event in events if event.item_ids]
    if not shown or all(all(event.responses) for event in shown):
        return _RECONSTRUCTED
    words = [event.candidates for event in shown]
    return max(sorted(set(words)), key=words.count)


def make_slates(
    events: Sequence[Event],
    catalog: Catalog,
    reconstruction: Reconstruction | None,
    rng: np.random.Generator,
    *,
    page_size: int = 10,
    none_share: float = 0.0,
) -> list[Slate]:
    """One slate for each event drawn for the choice task, items in an order drawn anew.

    Parameters
    ----------
    events:
        Real searches.
    catalog:
        Where the items' texts are read; items that it lacks are left out.
    reconstruction:
        Fills slates up; ``None`` takes them as logged. With it only what was responded to is
        taken from the log, as the rest was never seen by the shopper.
    rng:
        Draws candidates, orders, and the response where there are several.
    page_size:
        Items of a reconstructed slate.
    none_share:
        Share of reconstructed slates from which the responded items are left out.
    """
    texts = dict(zip(catalog.item_ids.tolist(), catalog.texts(), strict=True))
    slates = []
    for event in events:
        if not event.chooses:
            continue
        shown = list(dict.fromkeys(item for item in event.item_ids if item in texts))
        responded = [
            item
            for item, response in zip(event.item_ids, event.responses, strict=True)
            if response and item in texts
        ]
        chosen = responded[int(rng.integers(len(responded)))] if responded else None
        if reconstruction is not None:
            if chosen is None:
                continue
            chosen = None if rng.random() < none_share else chosen
            others = reconstruction.draw(
                event.query,
                event.at,
                page_size - (chosen is not None),
                rng,
                exclude=responded,
            )
        else:
            # Other responded items are answers too: the model is not taught to pass them over.
            others = [item for item in shown if item not in responded]
        slate = _ordered(event, others, chosen, texts, rng, reconstruction is not None)
        # One item that was shown may be taken or left; one that was made up says nothing.
        if len(slate.item_ids) > (reconstruction is not None):
            slates.append(slate)
    return slates


def _ordered(
    event: Event,
    others: list[str],
    chosen: str | None,
    texts: dict[str, str],
    rng: np.random.Generator,
    reconstructed: bool,
) -> Slate:
    room = LARGEST_SLATE - (chosen is not None)
    kept = [others[int(place)] for place in rng.permutation(len(others))[:room]]
    items = kept if chosen is None else [*kept, chosen]
    order = [items[int(place)] for place in rng.permutation(len(items))]
    return Slate(
        search_id=event.search_id,
        user_id=event.user_id,
        at=event.at,
        persona=event.persona,
        query=event.query,
        item_ids=tuple(order),
        texts=tuple(texts[item] for item in order),
        chosen=None if chosen is None else order.index(chosen),
        candidates=_RECONSTRUCTED if reconstructed else event.candidates,
    )
