"""What a shopper remembers from visit to visit: bounded, and rebuilt from the log alone.

A memory is a pure function of the persona, the rhythm and the sequence of visits. It keeps

* the texts of the last :data:`HISTORY_TEXTS` different items clicked or bought,
* when each of the last :data:`TAKEN_ITEMS` different items was last taken (bought; clicked too
  where the log's rhythm was fitted on clicks),
* the categories of the last visit that clicked or bought anything, the commonest
  :data:`RECENT_CATEGORIES` of them, and when that was,
* of the :data:`SHOWN_ITEMS` items shown most recently without response, how many visits in a row
  showed them in vain. A response forgets that count: the item starts anew.

What is dropped is dropped for good: nothing that is kept depends on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from footfall.personas.habits import interest_category
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.rhythm import RECENT_DAYS, Interval, Rhythm, log_normal_hazard

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "HISTORY_TEXTS",
    "RECENT_CATEGORIES",
    "SHOWN_ITEMS",
    "TAKEN_ITEMS",
    "Memory",
    "PastVisit",
    "past_visits",
]

HISTORY_TEXTS: Final = 12
TAKEN_ITEMS: Final = 200
RECENT_CATEGORIES: Final = 10
SHOWN_ITEMS: Final = 200
_SECONDS_PER_DAY: Final = 86_400.0
#: Days after which anything is due: times have an end.
_LONGEST_WAIT: Final = 36_500.0
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class PastVisit:
    """A visit as it is remembered; item ids in the order shown, repeats kept.

    ``queries`` has one entry for each page of results, so that a turned page repeats its query.
    """

    started_at: datetime
    queries: tuple[str, ...]
    shown: tuple[str, ...]
    clicked: tuple[str, ...]
    bought: tuple[str, ...]
    ended_by: str


@dataclass(frozen=True, slots=True)
class _Taken:
    """When an item was last taken, how long until it is taken again, and when it is due."""

    moment: datetime
    interval: Interval
    due_at: datetime


class Memory:
    """What one shopper remembers. Two memories are equal when they keep the same things.

    Parameters
    ----------
    persona:
        The shopper as they were before the first visit.
    catalog:
        The shop's items; of an item that it lacks, only that it was shown is remembered.
    rhythm:
        How much the past counts.
    """

    def __init__(self, persona: Persona, catalog: Catalog, rhythm: Rhythm) -> None:
        self.persona = persona
        self.rhythm = rhythm
        self._catalog = catalog
        # Dictionaries keep their order: the first entry is the one to drop.
        self._history: dict[str, None] = {}
        self._taken: dict[str, _Taken] = {}
        self._in_vain: dict[str, int] = {}
        self._recent: dict[str, float] = {}
        self._recent_since = datetime.min

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        """How many things are remembered, over all kinds."""
        return len(self._history) + len(self._taken) + len(self._in_vain) + len(self._recent)

    def remember(self, visit: PastVisit) -> None:
        """Take a visit in; visits come in time order."""
        responded = dict.fromkeys((*visit.clicked, *visit.bought))
        self._remember_shown(visit.shown, responded)
        known = [item_id for item_id in responded if item_id in self._catalog]
        if not known:
            return
        rows = self._catalog.rows(known).select(["text", "category"]).to_pylist()
        for row in rows:
            _renew(self._history, row["text"], None, HISTORY_TEXTS)
        moment = utc_moment(visit.started_at)
        self._remember_categories([row["category"] for row in rows], moment)
        taken = set(responded if self.rhythm.response == "clicks" else visit.bought)
        for item_id, row in zip(known, rows, strict=True):
            if item_id in taken:
                interval = self.rhythm.interval_of(row["category"])
                due_at = moment + timedelta(days=min(interval.due_after, _LONGEST_WAIT))
                _renew(self._taken, item_id, _Taken(moment, interval, due_at), TAKEN_ITEMS)

    def persona_at(self, moment: datetime) -> Persona:
        """The shopper on a visit at ``moment``: newer history, interests drifted.

        Interests are ``(1 - drift) * stable + drift * last visit``; their weights sum to one. A
        last visit of more than :data:`~footfall.simulator.rhythm.RECENT_DAYS` ago has no weight.
        A persona without interests wants anything, and keeps wanting anything.
        """
        if not self._history:
            return self.persona
        history = dict.fromkeys(self.persona.history)
        for text in self._history:
            history.pop(text, None)
            history[text] = None
        return self.persona.model_copy(
            update={
                "history": tuple(history)[-HISTORY_TEXTS:],
                "interests": self._interests(utc_moment(moment)),
            }
        )

    def last_bought(self, item_id: str) -> datetime | None:
        """When the item was last taken; None if never, or too long ago to be remembered."""
        known = self._taken.get(item_id)
        return known.moment if known else None

    def taken(self) -> tuple[str, ...]:
        """Ids of the items that are remembered as taken, newest last."""
        return tuple(self._taken)

    def due(self, moment: datetime) -> list[str]:
        """Items taken before that are needed again at ``moment``, longest untouched first."""
        moment = utc_moment(moment)
        return [item_id for item_id, known in self._taken.items() if known.due_at <= moment]

    def due_weights(self, moment: datetime) -> tuple[list[str], npt.NDArray[np.float64]]:
        """Items that are due, and the hazard of each in 1/day, shape (due items,)."""
        moment = utc_moment(moment)
        due = self.due(moment)
        known = [self._taken[item_id] for item_id in due]
        waits = [_days(each.moment, moment) for each in known]
        return due, log_normal_hazard(
            np.asarray(waits, dtype=np.float64),
            np.asarray([each.interval.days for each in known], dtype=np.float64),
            np.asarray([each.interval.deviation for each in known], dtype=np.float64),
        )

    def not_due(self, moment: datetime) -> frozenset[str]:
        """Items taken so lately that nobody needs them again at ``moment``."""
        return frozenset(self._taken).difference(self.due(moment))

    def exposures(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Earlier visits in a row that showed each item without response, shape of the ids."""
        return np.fromiter(
            (self._in_vain.get(item_id, 0) for item_id in item_ids), np.int64, len(item_ids)
        )

    def _content(self) -> tuple[object, ...]:
        """All that answers depend on; the order too, since it says what is dropped next."""
        kinds = (self._history, self._taken, self._in_vain, self._recent)
        kept = (tuple(kind.items()) for kind in kinds)
        return (self.persona, self.rhythm, self._recent_since, *kept)

    def _remember_shown(self, shown: Sequence[str], responded: dict[str, None]) -> None:
        for item_id in responded:
            self._in_vain.pop(item_id, None)
        for item_id in dict.fromkeys(shown):
            if item_id not in responded:
                count = self._in_vain.get(item_id, 0) + 1
                _renew(self._in_vain, item_id, count, SHOWN_ITEMS)

    def _remember_categories(self, categories: Sequence[str | None], moment: datetime) -> None:
        counts = Counter(interest_category(category) for category in categories if category)
        if not counts:
            return
        common = counts.most_common(RECENT_CATEGORIES)
        total = sum(count for _, count in common)
        self._recent = {category: count / total for category, count in common}
        self._recent_since = moment

    def _interests(self, moment: datetime) -> dict[str, float]:
        stable = self.persona.interests
        total = sum(stable.values())
        drift = self.rhythm.drift.value
        recent = self._recent and _days(self._recent_since, moment) <= RECENT_DAYS
        if total <= 0 or not recent or drift <= 0:
            return stable
        drifted = {name: (1.0 - drift) * weight / total for name, weight in stable.items()}
        for name, share in self._recent.items():
            drifted[name] = drifted.get(name, 0.0) + drift * share
        return drifted


def _renew(kept: dict[str, _Value], key: str, value: _Value, limit: int) -> None:
    """Put ``key`` last with its new value, and drop the first one of too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > limit:
        del kept[next(iter(kept))]


def _days(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds() / _SECONDS_PER_DAY


_PAST_VISITS: Final = """
WITH pages AS (
    SELECT session_id, list(query ORDER BY step) FILTER (query IS NOT NULL) AS queries
    FROM searches WHERE origin = $run_id GROUP BY session_id
), items AS (
    SELECT session_id, list(item_id ORDER BY step, position) AS shown,
           list(item_id ORDER BY step, position) FILTER (clicked) AS clicked,
           list(item_id ORDER BY step, position) FILTER (purchased) AS bought
    FROM impressions JOIN searches USING (search_id)
    WHERE impressions.origin = $run_id GROUP BY session_id
)
SELECT user_id, session_id, started_at, queries, shown, clicked, bought, ended_by
FROM sessions LEFT JOIN pages USING (session_id) LEFT JOIN items USING (session_id)
WHERE sessions.origin = $run_id ORDER BY user_id, started_at, session_id
"""


def past_visits(log: Log, run_id: str) -> dict[str, list[tuple[str, PastVisit]]]:
    """Committed visits of a run by the log's ``user_id``, each with its ``session_id``.

    Those of one user are in time order. A visit read back equals the visit as it happened.
    """
    visits: dict[str, list[tuple[str, PastVisit]]] = {}
    for row in log.query(_PAST_VISITS, {"run_id": run_id}).to_pylist():
        names = ("queries", "shown", "clicked", "bought")
        parts = {name: tuple(row[name] or ()) for name in names}
        visit = PastVisit(started_at=row["started_at"], ended_by=row["ended_by"] or "", **parts)
        visits.setdefault(row["user_id"], []).append((row["session_id"], visit))
    return visits
