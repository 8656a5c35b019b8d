"""What may stand beside a response on a made slate."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Beside", "Negatives"]

#: ``popularity``: as the ingest reconstructs them. ``similar``: what BM25 finds for the query.
#: ``mixed``: half and half. ``random``: any item.
Negatives: TypeAlias = Literal["popularity", "similar", "mixed", "random"]

#: ``page``: what the simulated page showed; else :data:`Negatives`.
Beside: TypeAlias = Literal["page", "popularity", "similar", "mixed", "random"]
