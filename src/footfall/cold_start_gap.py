"""The two kinds of gap that aimed visits fill: items, and people, without history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from footfall.cold_start_settings import ColdStart
from footfall.errors import CatalogueError
from footfall.eval.item_changes import item_changes
from footfall.eval.user_changes import user_changes
from footfall.finetune import ClickModel, Examples
from footfall.finetune.parts import Parted
from footfall.personas import Persona
from footfall.simulator import Engine, Log
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.aimed_visits import AimedVisits
from footfall.simulator.people_without_history import people_without_history

__all__ = ["Gap", "ItemGap", "UserGap", "open_gap"]

_FEW_ITEMS = """
WITH answered AS (
    SELECT item_id, count(*) AS n FROM impressions WHERE origin = 'real' AND {label} GROUP BY 1
    UNION ALL SELECT item_id, count(*) FROM purchases WHERE origin = 'real' GROUP BY 1
), known AS (SELECT item_id, max(n) AS n FROM answered GROUP BY 1),
shown AS (SELECT item_id, count(*) AS times FROM later GROUP BY 1)
SELECT items.item_id AS found FROM items
LEFT JOIN known USING (item_id) LEFT JOIN shown USING (item_id)
WHERE coalesce(known.n, 0) <= $most
ORDER BY coalesce(times, 0) DESC, items.item_id LIMIT $limit
"""

_FEW_USERS = """
WITH answered AS (
    SELECT e.user_id, count(*) AS n FROM impressions i JOIN searches s USING (search_id)
    JOIN sessions e USING (session_id) WHERE i.origin = 'real' AND i.{label} GROUP BY 1
    UNION ALL SELECT user_id, count(*) FROM purchases WHERE origin = 'real' GROUP BY 1
), known AS (SELECT user_id, max(n) AS n FROM answered GROUP BY 1),
here AS (SELECT user_id, count(DISTINCT search_id) AS times FROM later GROUP BY 1)
SELECT user_id AS found FROM here LEFT JOIN known USING (user_id)
WHERE coalesce(known.n, 0) <= $most ORDER BY times DESC, user_id LIMIT $limit
"""

_USERS = """
SELECT user_id FROM users WHERE origin = 'real'
UNION SELECT user_id FROM sessions WHERE origin = 'real'
"""

_SHOWN = """
SELECT DISTINCT item_id FROM impressions JOIN items USING (item_id)
WHERE impressions.origin = 'real' ORDER BY item_id
"""


class Gap(Protocol):
    """What is aimed at: items or people of whom the log has little."""

    @property
    def one(self) -> Literal["item", "person"]:
        """What one of them is called."""

    @property
    def column(self) -> Literal["item_id", "user_id"]:
        """Column of the examples that names them."""

    @property
    def of(self) -> Literal["items", "users"]:
        """What they are in the settings."""

    @property
    def kind(self) -> Literal["item", "user"]:
        """What they are in the names of columns."""

    def require_known(self, log: Log) -> None:
        """Refuse named ones that the whole log lacks.

        Raises
        ------
        CatalogueError
            Naming the first of them.
        """

    def held(self, parted: Parted) -> list[str]:
        """Those that are held out of a training part."""

    def few(self, training: Log, later: Examples) -> list[str]:
        """Those of few responses, the ones met most often in the ``later`` rows first."""

    def visits(
        self,
        training: Path,
        people: Sequence[Persona],
        engine: Engine,
        aimed: Sequence[str],
        settings: AimedSettings,
        each: int,
    ) -> AimedVisits:
        """``each`` visits at every one of ``aimed``, to be run on the training log."""

    def beside(self, aimed: Sequence[str]) -> list[str] | None:
        """Items that may stand beside a response though they have none; all when not given."""

    def changes(
        self,
        training: Log,
        run: str,
        aimed: Sequence[str],
        probes: Examples,
        models: tuple[ClickModel, ClickModel],
    ) -> pa.Table:
        """What the visits of a run changed, one row each."""


class ItemGap:
    """Items with few responses."""

    one: Literal["item", "person"] = "item"
    column: Literal["item_id", "user_id"] = "item_id"
    of: Literal["items", "users"] = "items"
    kind: Literal["item", "user"] = "item"

    def __init__(self, told: ColdStart) -> None:
        self._told = told

    def require_known(self, log: Log) -> None:
        """Items are of the catalogue."""
        _require_known(log, "SELECT item_id FROM items", self._told.items, "item")

    def held(self, parted: Parted) -> list[str]:
        """Items held out."""
        return sorted(parted.held_items["item_id"].to_pylist())

    def few(self, training: Log, later: Examples) -> list[str]:
        """Items of the catalogue, shown later or not."""
        return _few(training, _FEW_ITEMS, later, ["item_id"], self._told)

    def visits(
        self,
        training: Path,
        people: Sequence[Persona],
        engine: Engine,
        aimed: Sequence[str],
        settings: AimedSettings,
        each: int,
    ) -> AimedVisits:
        """Shoppers who come for the items."""
        told = settings.model_copy(update={"aim": "items", "visits_per_item": each})
        return AimedVisits(training, people, engine, aimed, told, learned_elsewhere=True)

    def beside(self, aimed: Sequence[str]) -> list[str] | None:
        """The items themselves: new ones are shown in vain as well."""
        return list(aimed)

    def changes(
        self,
        training: Log,
        run: str,
        aimed: Sequence[str],
        probes: Examples,
        models: tuple[ClickModel, ClickModel],
    ) -> pa.Table:
        """See :func:`footfall.eval.item_changes.item_changes`."""
        return item_changes(training, run, aimed, probes, *models)


class UserGap:
    """People with few responses; what is known of them is in the table ``users`` of ``log``."""

    one: Literal["item", "person"] = "person"
    column: Literal["item_id", "user_id"] = "user_id"
    of: Literal["items", "users"] = "users"
    kind: Literal["item", "user"] = "user"

    def __init__(self, told: ColdStart, log: Path) -> None:
        self._told = told
        self._log = log

    def require_known(self, log: Log) -> None:
        """People have a row of their own, or came at least once."""
        _require_known(log, _USERS, self._told.users, "person")

    def held(self, parted: Parted) -> list[str]:
        """People held out."""
        return sorted(parted.held_users["user_id"].to_pylist())

    def few(self, training: Log, later: Examples) -> list[str]:
        """People who came later; of nobody else a visit would be asked for."""
        return _few(training, _FEW_USERS, later, ["user_id", "search_id"], self._told)

    def visits(
        self,
        training: Path,
        people: Sequence[Persona],
        engine: Engine,
        aimed: Sequence[str],
        settings: AimedSettings,
        each: int,
    ) -> AimedVisits:
        """The people themselves, who come for items that the training part has shown."""
        with Log.open(self._log) as log:
            strangers = people_without_history(log, aimed, people, seed=self._told.seed)
        with Log.open(training) as log:
            items = log.query(_SHOWN)["item_id"].to_pylist()
        told = settings.model_copy(update={"aim": "people", "visits_per_person": each})
        return AimedVisits(training, strangers, engine, items, told, learned_elsewhere=True)

    def beside(self, aimed: Sequence[str]) -> list[str] | None:
        """Nothing is aimed at among items."""
        del aimed
        return None

    def changes(
        self,
        training: Log,
        run: str,
        aimed: Sequence[str],
        probes: Examples,
        models: tuple[ClickModel, ClickModel],
    ) -> pa.Table:
        """See :func:`footfall.eval.user_changes.user_changes`."""
        return user_changes(training, run, aimed, probes, *models)


def open_gap(told: ColdStart, log: Path) -> Gap:
    """The gap that the settings ask for."""
    return UserGap(told, log) if told.of == "users" else ItemGap(told)


def _require_known(log: Log, known: str, named: Sequence[str], one: str) -> None:
    missing: list[str] = log.query(
        f"SELECT wanted.name FROM wanted LEFT JOIN ({known}) AS k(name) USING (name) "
        "WHERE k.name IS NULL ORDER BY 1",
        wanted=pa.table({"name": pa.array(sorted(set(named)), pa.string())}),
    )["name"].to_pylist()
    if missing:
        raise CatalogueError(
            f"The log has no {one} {missing[0]!r} ({len(missing)} of {len(set(named))} named).",
            hint=f"Name the id of the {one} as the log has it.",
        )


def _few(log: Log, sql: str, later: Examples, columns: list[str], told: ColdStart) -> list[str]:
    found: list[str] = log.query(
        sql.format(label=told.label),
        {"most": told.most_responses, "limit": told.most_aimed},
        later=later.table.select(columns),
    )["found"].to_pylist()
    return found
