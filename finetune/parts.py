"""Parts a real log so that what learns cannot see what is tested on.

The training part is copied into a log of its own. Whatever learns (personas, behaviour, the tuned
language model, other generators) is given that file, so nothing of the validation and test part can
reach it, whichever way the parts are cut.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from footfall.errors import EmptyLogError, InputError, NoResponseError
from footfall.files import whole_file
from footfall.finetune.part_settings import PartSettings
from footfall.simulator.log import Log
from footfall.simulator.log_part import PART_KIND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PART_RUN", "Parted", "copy_training_part", "part_searches"]

#: Run of a training log that says which part of which log it is.
PART_RUN: Final = "training-part"

_UNIT = "(('0x' || substr(md5($seed || '/{what}/' || {column}), 1, 8))::UBIGINT / 4294967296.0)"

_SEARCHES = """
SELECT s.search_id, s.session_id, e.user_id,
       coalesce(s.searched_at, e.started_at, i.shown_at) AS moment
FROM searches s JOIN sessions e USING (session_id)
JOIN (SELECT search_id, min(shown_at) AS shown_at FROM impressions
      WHERE origin = 'real' AND {label} IS NOT NULL GROUP BY search_id) i USING (search_id)
WHERE s.origin = 'real'
"""

_BY_TIME = """
SELECT *, CASE WHEN moment < $train_until THEN 'train'
               WHEN moment < $validation_until THEN 'validation'
               WHEN $test_until::TIMESTAMP IS NULL OR moment < $test_until::TIMESTAMP
               THEN 'test' END AS part
FROM searches_read WHERE moment IS NOT NULL
"""

_BY_PERSON = f"""
SELECT *, CASE WHEN place < $test_share THEN 'test'
               WHEN place < $test_share + $validation_share THEN 'validation' ELSE 'train' END
          AS part
FROM (SELECT *, {_UNIT.format(what="person", column="user_id")} AS place FROM searches_read)
"""

# Items in the order of a seeded hash: the first are the test part's, the next the validation's.
_HELD_ITEMS = """
WITH answered AS (
    SELECT DISTINCT item_id FROM impressions WHERE origin = 'real' AND {label}
    UNION SELECT DISTINCT item_id FROM purchases WHERE origin = 'real'
), ranked AS (
    SELECT item_id,
           (row_number() OVER (ORDER BY md5($seed || '/item/' || item_id), item_id) - 1)
           / count(*) OVER () AS place
    FROM answered
)
SELECT item_id, CASE WHEN place < $cold_items THEN 'test' ELSE 'validation' END AS part
FROM ranked WHERE place < $cold_items + $cold_validation_items
  AND item_id NOT IN (SELECT item_id FROM of_category)
UNION ALL SELECT item_id, part FROM of_category
"""

_OF_CATEGORY = """
SELECT item_id, min(part) AS part FROM items JOIN cold_paths
  ON category = path OR starts_with(category, path || ' > ') GROUP BY item_id
"""

# People with a response there, in the order of a seeded hash: first the test part's.
_HELD_USERS = f"""
SELECT user_id, part FROM (
    SELECT DISTINCT user_id, part, {_UNIT.format(what="user", column="user_id")} AS place
    FROM parted SEMI JOIN (
        SELECT search_id FROM impressions WHERE origin = 'real' AND {{label}}) USING (search_id)
) WHERE (part = 'test' AND place < $cold_users)
     OR (part = 'validation' AND place >= $cold_users
         AND place < $cold_users + $cold_validation_users)
"""

# A slate whose response was to a held-out item would be a slate without its response: it goes.
_KEPT = """
SELECT p.search_id, p.session_id, p.user_id, p.moment, p.part FROM parted p
ANTI JOIN (
    SELECT i.search_id FROM impressions i JOIN parted q USING (search_id)
    JOIN held_items h ON h.item_id = i.item_id
    WHERE i.{label} AND h.part <> q.part
) lost USING (search_id)
ANTI JOIN held_users u ON u.user_id = p.user_id AND u.part <> p.part
WHERE p.part IS NOT NULL
"""

_HELD_RESPONSES = """
SELECT p.user_id, i.item_id, nullif(trim(s.query), '') AS query, i.{label} AS label
FROM parted p JOIN searches s USING (search_id) JOIN impressions i USING (search_id)
JOIN held_items USING (item_id)
WHERE p.part = 'train' AND i.{label}
ORDER BY p.search_id, i.item_id
"""

_LABELLED = """
WITH sizes AS (
    SELECT k.search_id, md5($seed || '/labelled/' || k.search_id) AS turn, count(*) AS rows
    FROM kept k JOIN impressions i USING (search_id)
    WHERE k.part = 'train' AND i.{label} IS NOT NULL
      AND i.item_id NOT IN (SELECT item_id FROM held_items) GROUP BY ALL
), chosen AS (
    SELECT search_id FROM sizes QUALIFY sum(rows) OVER (ORDER BY turn, search_id) <= $labelled
)
SELECT * FROM kept WHERE part <> 'train' OR search_id IN (SELECT search_id FROM chosen)
"""


@dataclass(frozen=True)
class Parted:
    """Which search is in which part.

    ``searches``: ``search_id``, ``session_id``, ``user_id``, ``moment``, and ``part``: train,
    validation, test, or history (in the training log, but not trained on). ``held_items``:
    ``item_id`` and the ``part`` that may show it. ``held_users``: ``user_id`` and the ``part`` that
    may have them.
    ``held_responses``: what the training part's people did with held-out items (``user_id``,
    ``item_id``, ``query``, ``label``): what nothing may learn from but a ceiling.
    """

    searches: pa.Table
    held_items: pa.Table
    held_users: pa.Table
    held_responses: pa.Table

    def of(self, part: str) -> pa.Table:
        """The searches of one part."""
        import pyarrow.compute as pc

        return self.searches.filter(pc.equal(self.searches["part"], part))

    def hidden_from(self, part: str) -> pa.Table:
        """Items that a part must not show: ``item_id``."""
        import pyarrow.compute as pc

        return self.held_items.filter(pc.not_equal(self.held_items["part"], part)).select(
            ["item_id"]
        )


def part_searches(
    log: Log,
    settings: PartSettings,
    *,
    needed: Sequence[str] = ("train", "validation", "test"),
) -> Parted:
    """Decide which search of the real log is in which part.

    Parameters
    ----------
    log:
        The whole log.
    settings:
        How it is parted.
    needed:
        Parts that must not be empty.

    Raises
    ------
    EmptyLogError
        If a part would be empty.
    NoResponseError
        If the log records no such response.
    InputError
        If the log is parted by time and has none.
    """
    label = settings.label
    read = log.query(_SEARCHES.format(label=label))
    if not read.num_rows:
        raise NoResponseError(
            f"The real log has no impression whose `{label}` is known.",
            hint="Choose another label, or ingest a log that records what was shown.",
        )
    parted = _parted(log, read, settings)
    held = _held_items(log, settings)
    seed = str(settings.seed)
    users = log.query(
        _HELD_USERS.format(label=label),
        {
            "seed": seed,
            "cold_users": settings.cold_users,
            "cold_validation_users": settings.cold_validation_users,
        },
        parted=parted,
    )
    kept = log.query(_KEPT.format(label=label), parted=parted, held_items=held, held_users=users)
    if settings.labelled is not None:
        kept = log.query(
            _LABELLED.format(label=label),
            {"seed": seed, "labelled": settings.labelled},
            kept=kept,
            held_items=held,
        )
    responses = log.query(_HELD_RESPONSES.format(label=label), parted=parted, held_items=held)
    result = Parted(kept, held, users, responses)
    for part in needed:
        if not result.of(part).num_rows:
            raise EmptyLogError(
                f"The {part} part has no search.", hint="Move the times or shares of the split."
            )
    return result


def _parted(log: Log, read: pa.Table, settings: PartSettings) -> pa.Table:
    if settings.by == "person":
        shares = {"test_share": settings.test_share, "validation_share": settings.validation_share}
        return log.query(_BY_PERSON, {"seed": str(settings.seed), **shares}, searches_read=read)
    if not read["moment"].drop_null().__len__():
        raise InputError(
            "The log has no times, so it cannot be parted by time.",
            hint='Part it by person: by = "person" in a proof; a cold start needs times.',
        )
    names = ("train_until", "validation_until", "test_until")
    moments = {name: getattr(settings, name) for name in names}
    parted = log.query(_BY_TIME, moments, searches_read=read)
    if settings.train_from is None:
        return parted
    # Earlier searches stay in the training log as history, and are not trained on.
    return log.query(
        "SELECT * REPLACE (CASE WHEN moment < $start THEN 'history' ELSE part END AS part) "
        "FROM parted",
        {"start": settings.train_from},
        parted=parted,
    )


def _held_items(log: Log, settings: PartSettings) -> pa.Table:
    paths = [(path, "test") for path in settings.cold_categories]
    paths += [(path, "validation") for path in settings.cold_validation_categories]
    named = pa.table(
        {
            "path": pa.array([path for path, _ in paths], pa.string()),
            "part": pa.array([part for _, part in paths], pa.string()),
        }
    )
    of_category = log.query(_OF_CATEGORY, cold_paths=named)
    if paths and not of_category.num_rows:
        raise InputError(
            f"cold_categories: no item lies under {', '.join(path for path, _ in paths)}.",
            hint="Write the paths as the table items has them, steps joined by ' > '.",
        )
    return log.query(
        _HELD_ITEMS.format(label=settings.label),
        {
            "seed": str(settings.seed),
            "cold_items": settings.cold_items,
            "cold_validation_items": settings.cold_validation_items,
        },
        of_category=of_category,
    )


_COPIED: Final[Mapping[str, str]] = {
    "items": "SELECT * FROM items",
    "users": """SELECT * FROM users WHERE origin = 'real' AND user_id IN (
        SELECT user_id FROM own_searches UNION SELECT user_id FROM own_purchases)""",
    "sessions": """SELECT * FROM sessions WHERE origin = 'real' AND (
        session_id IN (SELECT session_id FROM own_searches)
        OR session_id IN (SELECT session_id FROM own_purchases))""",
    "searches": """SELECT * FROM searches SEMI JOIN own_searches USING (search_id)""",
    "impressions": """SELECT * FROM impressions SEMI JOIN own_searches USING (search_id)
        WHERE item_id NOT IN (SELECT item_id FROM hidden)""",
    "purchases": "SELECT * FROM own_purchases",
}

_OWN_PURCHASES = """
SELECT * FROM purchases WHERE origin = 'real'
  AND ($until::TIMESTAMP IS NULL OR purchased_at < $until::TIMESTAMP)
  AND item_id NOT IN (SELECT item_id FROM hidden)
  AND user_id NOT IN (SELECT user_id FROM barred)
"""


def copy_training_part(
    log: Log,
    target: str | Path,
    parted: Parted,
    *,
    until: datetime | None,
    settings: PartSettings,
    without_users: pa.Table | None = None,
) -> str:
    """Write the training part of ``log`` as a log of its own; return the part's digest.

    Items are copied whole: what a catalogue says is known before anybody responds. Promotions are
    left out. Rows of simulated runs are left out.

    Parameters
    ----------
    log:
        The whole log.
    target:
        The file to make.
    parted:
        What :func:`part_searches` decided.
    until:
        End of the training part where it is parted by time.
    settings:
        How it was parted; stored in the new log.
    without_users:
        Further people to leave out (``user_id``).
    """
    import pyarrow.compute as pc

    own = parted.searches.filter(
        pc.is_in(parted.searches["part"], value_set=pa.array(["train", "history"]))
    )
    barred = _barred(log, parted, settings)
    if without_users is not None:
        barred = pa.concat_tables([barred, without_users.select(["user_id"])])
    own = log.query(
        "SELECT search_id, session_id, user_id FROM own ANTI JOIN barred USING (user_id)",
        own=own,
        barred=barred,
    )
    hidden = parted.hidden_from("train")
    purchases = log.query(_OWN_PURCHASES, {"until": until}, hidden=hidden, barred=barred)
    digest = part_digest(log, settings)
    with whole_file(target) as partial:
        partial.unlink(missing_ok=True)
        with Log.create(partial) as made, made.transaction():
            for table, sql in _COPIED.items():
                rows = log.query(sql, own_searches=own, own_purchases=purchases, hidden=hidden)
                made.append(table, rows)
            configuration = {"part": digest, "settings": settings.model_dump(mode="json")}
            made.start_run(PART_RUN, PART_KIND, configuration, seed=settings.seed)
            made.end_run(PART_RUN, "finished")
    return digest


def part_digest(log: Log, settings: PartSettings) -> str:
    """Identifies a training part: how it was cut and from which real rows."""
    counts = log.query(
        "SELECT (SELECT count(*) FROM items) AS items, "
        "(SELECT count(*) FROM impressions WHERE origin = 'real') AS impressions, "
        "(SELECT count(*) FROM purchases WHERE origin = 'real') AS purchases, "
        "(SELECT max(search_id) FROM searches WHERE origin = 'real') AS search"
    ).to_pylist()
    text = settings.model_dump_json(exclude={"train_slates", "validation_slates", "test_slates"})
    return hashlib.sha256(f"{text}\n{counts}".encode()).hexdigest()[:16]


def _barred(log: Log, parted: Parted, settings: PartSettings) -> pa.Table:
    """People of whom the training part has nothing: by person, everybody of another part."""
    if settings.by == "time":
        return parted.held_users.select(["user_id"])
    return log.query(
        "SELECT DISTINCT user_id FROM searches_parted WHERE part IN ('validation', 'test')",
        searches_parted=parted.searches,
    )
