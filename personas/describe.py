"""Real users as personas, and personas as one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError
from footfall.personas.arrow_sql import select
from footfall.personas.habits import HISTORY_COLUMNS, check_histories, measure_habits
from footfall.personas.persona import Persona

__all__ = [
    "HABITS",
    "demographic_records",
    "describe_users",
    "persona_profile",
    "persona_text",
    "shopper_line",
]

#: Numbers of a persona that are habits, in one order everywhere.
HABITS: Final = ("price_sensitivity", "brand_loyalty", "exploration", "patience", "activity")


def describe_users(
    histories: pa.Table,
    demographics: pa.Table | None = None,
    *,
    locale: str = "en_US",
    history_length: int = 8,
    pages: pa.Table | None = None,
) -> list[Persona]:
    """The real users as personas, ``persona_id`` being the ``user_id``, in sorted order.

    These are private: they are the users' own habits and history. Publish personas of
    :class:`footfall.personas.fit.PersonaModel` instead. Users who appear in ``demographics`` only
    get the population's habits and an empty history.

    Parameters
    ----------
    histories:
        One row per purchase or click: ``user_id``, ``text``, ``category``, ``brand``, ``price``,
        ``occurred_at``, ``session_id``.
    demographics:
        ``user_id`` and text columns; empty and null values are left out.
    locale:
        Locale of every persona, such as ``zh_CN``.
    history_length:
        How many of the latest distinct item texts are kept, newest last.
    pages:
        Optional result pages per user, see :func:`footfall.personas.habits.measure_habits`.

    Raises
    ------
    DataError
        If a column is missing or a user appears twice in ``demographics``.
    EmptyLogError
        If there is no history at all.
    """
    habits = measure_habits(histories, pages)
    records = demographic_records(demographics)
    interests = _group(habits.interests, "category", "weight")
    latest = _latest_texts(histories, history_length)
    measured = {row["user_id"]: row for row in habits.users.to_pylist()}
    personas = []
    for user_id in sorted(measured.keys() | records.keys()):
        numbers = measured.get(user_id, habits.population)
        personas.append(
            Persona(
                persona_id=user_id,
                locale=locale,
                demographics=records.get(user_id, {}),
                interests=dict(interests.get(user_id) or habits.population_interests),
                history=tuple(latest.get(user_id, ())),
                source="log",
                **{name: numbers[name] for name in HABITS},
            )
        )
    return personas


def _group(table: pa.Table, key: str, value: str) -> dict[str, list[tuple[str, float]]]:
    """Pairs ``(key, value)`` per user, in the table's order."""
    groups: dict[str, list[tuple[str, float]]] = {}
    columns = (table["user_id"].to_pylist(), table[key].to_pylist(), table[value].to_pylist())
    for user_id, name, number in zip(*columns, strict=True):
        groups.setdefault(user_id, []).append((name, number))
    return groups


def _latest_texts(histories: pa.Table, length: int) -> dict[str, list[str]]:
    check_histories(histories)
    rows = select(
        "SELECT user_id, list(text ORDER BY last, text) AS texts FROM ("
        " SELECT user_id, text, coalesce(max(occurred_at), TIMESTAMP '-infinity') AS last"
        " FROM histories WHERE user_id IS NOT NULL AND text IS NOT NULL GROUP BY user_id, text"
        " QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY last DESC, text DESC)"
        f" <= {int(length)}) GROUP BY user_id",
        histories=histories.select(list(HISTORY_COLUMNS)),
    )
    return dict(zip(rows["user_id"].to_pylist(), rows["texts"].to_pylist(), strict=True))


def demographic_records(demographics: pa.Table | None) -> dict[str, dict[str, str]]:
    """Known attributes per user, in the order of the table's columns.

    Raises
    ------
    DataError
        If there is no column ``user_id`` or a user appears twice.
    """
    if demographics is None:
        return {}
    if "user_id" not in demographics.column_names:
        raise DataError(
            "The demographics lack the column user_id.", hint="Needed: user_id and text columns."
        )
    demographics = demographics.filter(pc.is_valid(demographics["user_id"]))
    users = demographics["user_id"].cast(pa.string()).to_pylist()
    records: dict[str, dict[str, str]] = {user_id: {} for user_id in users}
    if len(records) < len(users):
        raise DataError(
            "A user appears twice in the demographics.", hint="Keep one row for each user_id."
        )
    for name in demographics.column_names:
        if name != "user_id":
            values = demographics[name].cast(pa.string()).to_pylist()
            for user_id, value in zip(users, values, strict=True):
                if value:
                    records[user_id][name] = value
    return records


def persona_text(persona: Persona, *, interests: int = 5, history: int = 6) -> str:
    """One line that tells a classifier who the shopper is: values only, in the log's own words.

    Demographic values, the heaviest interests (last level of the path) and the latest items,
    parted by ``;``. No word of any language is added, so it reads the same in all of them.

    Examples
    --------
    >>> persona_text(Persona(persona_id="1", demographics={"age": "25-34", "income": "50-74K"},
    ...     interests={"GROCERY > SOUP": 0.6, "BAKERY > BREAD": 0.4}, history=("rye bread",)))
    '25-34 | 50-74K ; SOUP, BREAD ; rye bread'
    """
    return shopper_line(
        persona_profile(persona, interests=interests),
        persona.history[-history:] if history > 0 else (),
    )


def persona_profile(persona: Persona, *, interests: int = 5) -> str:
    """The first parts of :func:`persona_text`: demographic values and heaviest interests."""
    heaviest = sorted(persona.interests.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = (
        " | ".join(value for value in persona.demographics.values() if value),
        ", ".join(path.rsplit(" > ", 1)[-1] for path, _ in heaviest[:interests]),
    )
    return " ".join(" ; ".join(part for part in parts if part).split())


def shopper_line(profile: str, history: Sequence[str]) -> str:
    """A profile and the latest item texts, oldest first, as the one line of a shopper."""
    parts = (profile, ", ".join(history))
    return " ".join(" ; ".join(part for part in parts if part).split())
