"""What a crowd asks of the search engine or recommender under test, and what that may learn from.

A target knows of a shopper what a shop knows: who they say they are, what they took there before,
and what they typed. It never sees a persona, whose habits are the truth that it is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

__all__ = [
    "EVENT_SCHEMA",
    "ITEM_SCHEMA",
    "AnsweredPage",
    "Failure",
    "PageRequest",
    "Target",
    "TargetClient",
    "TrainableTarget",
]

Failure: TypeAlias = Literal["timeout", "error", "malformed"]

#: Items as a target is given them. ``first_seen`` is null where it is not known.
ITEM_SCHEMA: Final = pa.schema(
    [
        ("item_id", pa.string()),
        ("text", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("first_seen", pa.timestamp("us")),
        ("available", pa.bool_()),
    ]
)

#: What a target may learn from, one row an item shown or taken. ``query`` is null when browsing,
#: ``position`` where the log has no order; responses are null where the log does not record them.
EVENT_SCHEMA: Final = pa.schema(
    [
        ("shopper_id", pa.string()),
        ("item_id", pa.string()),
        ("at", pa.timestamp("us")),
        ("query", pa.string()),
        ("position", pa.int32()),
        ("clicked", pa.bool_()),
        ("carted", pa.bool_()),
        ("purchased", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page that a shopper asks for.

    ``query`` is null when browsing. ``history`` holds ids of items that the shop saw the shopper
    take, newest last. Times are UTC without zone.
    """

    shopper_id: str
    at: datetime
    query: str | None = None
    history: tuple[str, ...] = ()
    locale: str = "en_US"
    demographics: Mapping[str, str] = field(default_factory=dict)
    limit: int = 10
    offset: int = 0


@runtime_checkable
class Target(Protocol):
    """A search engine, a recommender, or both. Any object with these members will do."""

    @property
    def name(self) -> str:
        """Stored with every page as what answered it."""

    def answer(self, requests: Sequence[PageRequest]) -> Sequence[Sequence[str]]:
        """Item ids for each request, best first, ``limit`` at most, the first ``offset`` left out.

        Anything that it raises counts as a failed page of each request, and so do ids that the
        catalogue lacks where a page has nothing else.
        """


@runtime_checkable
class TrainableTarget(Target, Protocol):
    """A target that learns from the catalogue and what happened in the shop."""

    def fit(self, items: pa.Table, events: pa.Table) -> object:
        """Learn anew: ``items`` as in :data:`ITEM_SCHEMA`, ``events`` as in :data:`EVENT_SCHEMA`.

        Called before the first page, and again wherever the target is retrained on what it caused.
        What it returns is not looked at (a scikit-learn style ``fit`` returns itself).
        """


@dataclass(frozen=True, slots=True)
class AnsweredPage:
    """What came of one request.

    ``item_ids`` are without repeats and empty where it failed. ``seconds`` is how long the shopper
    waited: the share of its batch where requests were answered together.
    """

    item_ids: tuple[str, ...]
    seconds: float
    failure: Failure | None = None


@runtime_checkable
class TargetClient(Protocol):
    """How a crowd reaches a target: nothing that the target does is an error here."""

    @property
    def name(self) -> str:
        """The target's name."""

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        """One answer a request, in their order; failures are answers, too."""

    def fit(self, items: pa.Table, events: pa.Table) -> bool:
        """Let the target learn; false where it cannot."""

    def close(self) -> None:
        """Let go of connections. Closing twice is harmless."""
