"""What may stand beside a response on a made slate."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Beside", "Negatives"]

#: ``popularity``: as the ingest reconstructs them. ``similar``: what BM25 finds for the query.
#: ``mixed``: half and half. ``random``: any item. ``balanced``: by how often the made responses
#: take an item, so that each is shown in vain as often for a response as any other: what is learned
#: is by whom and after which words it is taken, not how often. Where the log says itself what was
#: shown, these answer the query as far as any do.
Negatives: TypeAlias = Literal["popularity", "similar", "mixed", "random", "balanced"]

#: ``page``: what the simulated page showed; else :data:`Negatives`.
Beside: TypeAlias = Literal["page", "popularity", "similar", "mixed", "random", "balanced"]
