"""What is known about a shopper at a moment: a line of text, interests, whether they are cold."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from footfall.errors import PersonaError
from footfall.finetune.item_features import REAL_RESPONSES

if TYPE_CHECKING:
    from footfall.personas.persona import Persona
    from footfall.simulator.log import Log

__all__ = ["category_affinity", "describe_shoppers", "user_warmth"]

_SHOPPERS = pa.schema(
    [
        ("snapshot", pa.int32()),
        ("user_id", pa.string()),
        ("shopper_text", pa.string()),
        ("shopper_profile", pa.string()),
        ("shopper_demographics", pa.string()),
        ("shopper_history", pa.list_(pa.string())),
    ]
)
_INTERESTS = pa.schema(
    [
        ("snapshot", pa.int32()),
        ("user_id", pa.string()),
        ("category", pa.string()),
        ("weight", pa.float64()),
    ]
)

#: Item texts of a shopper's history that the classifier reads.
_LATEST_ITEMS = 6

# The share of a shopper's interest that lies under each prefix of the item's category path,
# averaged over the prefixes: 1 where all interest lies in the very category, 0 where none shares
# even the first step of the path.
_AFFINITY = """
WITH pairs AS (
    SELECT DISTINCT p.snapshot, p.user_id, p.item_id, i.category
    FROM placed p JOIN items i ON i.item_id = p.item_id WHERE i.category IS NOT NULL
), categories AS (
    SELECT DISTINCT category, string_split(category, ' > ') AS steps FROM pairs
), prefixes AS (
    SELECT category, len(steps) AS depth,
           unnest([array_to_string(steps[1:n], ' > ') FOR n IN range(1, len(steps) + 1)]) AS prefix
    FROM categories
), interest_steps AS (
    SELECT snapshot, user_id, weight, string_split(category, ' > ') AS steps FROM interests
), interest_prefixes AS (
    SELECT snapshot, user_id, weight,
           unnest([array_to_string(steps[1:n], ' > ') FOR n IN range(1, len(steps) + 1)]) AS prefix
    FROM interest_steps
), mass AS (
    SELECT snapshot, user_id, prefix, sum(weight) AS weight FROM interest_prefixes GROUP BY ALL
)
SELECT p.snapshot, p.user_id, p.item_id, sum(m.weight) / any_value(x.depth) AS category_affinity
FROM pairs p
JOIN prefixes x ON x.category = p.category
JOIN mass m ON m.snapshot = p.snapshot AND m.user_id = p.user_id AND m.prefix = x.prefix
GROUP BY p.snapshot, p.user_id, p.item_id
"""

_WARMTH = f"""
WITH responses AS ({REAL_RESPONSES})
SELECT user_id, NOT EXISTS (
    SELECT 1 FROM responses r WHERE r.user_id = w.user_id
      AND ($until::TIMESTAMP IS NULL OR r.at < $until::TIMESTAMP)) AS user_cold
FROM (SELECT DISTINCT user_id FROM placed) w
"""

_SYNTHETIC = """
SELECT DISTINCT p.snapshot, p.user_id, u.persona
FROM placed p JOIN users u ON u.user_id = p.user_id
WHERE u.persona IS NOT NULL AND p.origin <> 'real'
"""

_REAL = """
SELECT DISTINCT p.snapshot, p.user_id
FROM placed p LEFT JOIN users u ON u.user_id = p.user_id
WHERE u.persona IS NULL OR p.origin = 'real'
"""

_HISTORY = """
SELECT h.* FROM histories h
WHERE coalesce(h.occurred_at, TIMESTAMP '-infinity')
      < (SELECT known_at FROM snapshots WHERE snapshot = $snapshot)
  AND h.user_id IN (SELECT user_id FROM shoppers WHERE snapshot = $snapshot)
"""


def describe_shoppers(
    log: Log,
    placed: pa.Table,
    snapshots: pa.Table,
    until: datetime | None,
    demographics: pa.Table | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Describe the shoppers of the examples at the snapshots where they appear.

    Real shoppers are described by their history before the snapshot and their demographics,
    synthetic ones by their persona. ``demographics`` replaces what the log says of people.

    Returns
    -------
    tuple of pyarrow.Table
        ``snapshot, user_id, shopper_text, shopper_profile, shopper_demographics, shopper_history``
        and ``snapshot, user_id, category, weight``.

    Raises
    ------
    PersonaError
        If a synthetic user's persona cannot be read.
    """
    # A real person whom a run simulates under their own id keeps the real description.
    described = _synthetic(log, placed) | _real(log, placed, snapshots, until, demographics)
    return _tables(described)


def _synthetic(log: Log, placed: pa.Table) -> dict[tuple[int, str], Persona]:
    from footfall.personas.persona import Persona

    found = {}
    for row in log.query(_SYNTHETIC, placed=placed).to_pylist():
        try:
            persona = Persona.model_validate_json(row["persona"])
        except ValueError as error:
            raise PersonaError(
                f"users, user_id {row['user_id']!r}: the persona cannot be read: {error}"
            ) from error
        found[(row["snapshot"], row["user_id"])] = persona
    return found


def _real(
    log: Log,
    placed: pa.Table,
    snapshots: pa.Table,
    until: datetime | None,
    demographics: pa.Table | None,
) -> dict[tuple[int, str], Persona]:
    from footfall.personas.describe import demographic_records, describe_users
    from footfall.personas.persona import Persona
    from footfall.simulator.histories import read_demographics, read_histories

    shoppers = log.query(_REAL, placed=placed)
    if not shoppers.num_rows:
        return {}
    histories = log.query(
        "SELECT * FROM histories WHERE user_id IN (SELECT user_id FROM shoppers)",
        histories=read_histories(log, until=until),
        shoppers=shoppers,
    )
    known = read_demographics(log) if demographics is None else demographics
    found: dict[tuple[int, str], Persona] = {}
    for snapshot in snapshots["snapshot"].to_pylist():
        people = _demographics(log, shoppers, snapshot, known)
        past = log.query(
            _HISTORY,
            {"snapshot": snapshot},
            histories=histories,
            shoppers=shoppers,
            snapshots=snapshots,
        )
        if past.num_rows:
            personas = describe_users(past, people)
        else:
            # Nobody has a history yet: demographics only.
            records = demographic_records(people)
            personas = [Persona(persona_id=u, demographics=d) for u, d in records.items()]
        found |= {(snapshot, persona.persona_id): persona for persona in personas}
    return found


def _demographics(log: Log, shoppers: pa.Table, snapshot: int, known: pa.Table | None) -> pa.Table:
    """The shoppers of a snapshot with what is known of them; everybody has a row."""
    people = "SELECT user_id FROM shoppers WHERE snapshot = $snapshot"
    parameters = {"snapshot": snapshot}
    if known is None:
        return log.query(people, parameters, shoppers=shoppers)
    return log.query(
        f"SELECT * FROM ({people}) LEFT JOIN known USING (user_id)",
        parameters,
        shoppers=shoppers,
        known=known,
    )


def _tables(described: dict[tuple[int, str], Persona]) -> tuple[pa.Table, pa.Table]:
    from footfall.personas.describe import persona_profile, shopper_line

    texts: list[dict[str, Any]] = []
    interests: list[dict[str, Any]] = []
    for (snapshot, user), persona in described.items():
        key = {"snapshot": snapshot, "user_id": user}
        profile, latest = persona_profile(persona), list(persona.history[-_LATEST_ITEMS:])
        texts.append(
            {
                **key,
                "shopper_text": shopper_line(profile, latest),
                "shopper_profile": profile,
                "shopper_demographics": json.dumps(persona.demographics, ensure_ascii=False),
                "shopper_history": latest,
            }
        )
        interests += [
            {**key, "category": category, "weight": weight}
            for category, weight in persona.interests.items()
        ]
    return (
        pa.Table.from_pylist(texts, schema=_SHOPPERS),
        pa.Table.from_pylist(interests, schema=_INTERESTS),
    )


def category_affinity(log: Log, placed: pa.Table, interests: pa.Table) -> pa.Table:
    """How much of a shopper's interest lies around an item's category, in [0, 1].

    Returns
    -------
    pyarrow.Table
        ``snapshot, user_id, item_id, category_affinity``; pairs without any are absent.
    """
    return log.query(_AFFINITY, placed=placed, interests=interests)


def user_warmth(log: Log, placed: pa.Table, until: datetime | None) -> pa.Table:
    """Whether each shopper has no real purchase or click before ``until``.

    Returns
    -------
    pyarrow.Table
        ``user_id, user_cold``.
    """
    return log.query(_WARMTH, {"until": until}, placed=placed)
