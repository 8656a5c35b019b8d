"""Statistics of every segment, taken from histories and habits."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa

from footfall.personas.arrow_sql import select
from footfall.personas.describe import HABITS
from footfall.personas.habits import Habits, interest_category
from footfall.personas.segments import Cell, Item, SegmentProfile, fit_concentration

__all__ = ["profile_segments"]

#: Items kept per segment; the tail beyond adds size and no likeness.
_ITEM_LIMIT: Final = 500


def profile_segments(
    histories: pa.Table,
    habits: Habits,
    assignments: pa.Table,
    published: list[tuple[str, ...]],
    k: int,
) -> list[SegmentProfile]:
    """Statistics of every segment, in the order of their names.

    Parameters
    ----------
    histories:
        One row per purchase or click.
    habits:
        Habits of the same users.
    assignments:
        ``user_id`` and ``segment`` first, one row a user.
    published:
        Attributes of every row of ``assignments`` after suppression; empty where a tree draws
        them.
    k:
        An item or category is kept where this many users took it.
    """
    numbers = select(
        f"SELECT segment, {', '.join(HABITS)} FROM assignments JOIN users USING (user_id)"
        " ORDER BY segment, user_id",
        assignments=assignments,
        users=habits.users,
    )
    segment_of = numbers["segment"].to_numpy()
    items = _common_items(histories, assignments, k)
    everywhere = _common_items(
        histories, assignments.set_column(1, "segment", pa.array([""] * len(assignments))), k
    ).get("", [])
    weights = _interest_weights(histories, habits, assignments, k)
    cells = Counter(zip(assignments["segment"].to_pylist(), published, strict=True))
    profiles = []
    for name in sorted(set(segment_of)):
        members = segment_of == name
        mean, concentration = weights.get(name, ({}, 1.0))
        profiles.append(
            SegmentProfile(
                name=name,
                users=int(members.sum()),
                cells=[
                    Cell(values=values, users=users)
                    for (segment, values), users in sorted(cells.items())
                    if segment == name
                ],
                habits=SegmentProfile.fit_habits(
                    {habit: numbers[habit].to_numpy()[members] for habit in HABITS}
                ),
                interests=mean,
                concentration=concentration,
                items=items.get(name) or everywhere,
            )
        )
    return profiles


def _category_names(histories: pa.Table) -> pa.Table:
    """Every full category path beside its interest."""
    paths = histories["category"].unique().drop_null().to_pylist()
    return pa.table(
        {
            "category": pa.array(paths, pa.string()),
            "interest": pa.array([interest_category(path) for path in paths], pa.string()),
        }
    )


def _common_items(histories: pa.Table, assignments: pa.Table, k: int) -> dict[str, list[Item]]:
    """Per segment the items that ``k`` of its users bought, most bought first."""
    rows = select(
        "WITH counts AS ("
        " SELECT segment, text, interest, count(*)::DOUBLE AS rows"
        " FROM histories JOIN assignments USING (user_id) LEFT JOIN names USING (category)"
        " WHERE text IS NOT NULL GROUP BY segment, text, interest"
        f" HAVING count(DISTINCT user_id) >= {int(k)}"
        ") SELECT segment, text, coalesce(interest, '') AS category, rows FROM counts"
        " QUALIFY row_number() OVER (PARTITION BY segment ORDER BY rows DESC, text, interest)"
        f" <= {_ITEM_LIMIT} ORDER BY segment, rows DESC, text, interest",
        histories=histories.select(["user_id", "text", "category"]),
        assignments=assignments.select(["user_id", "segment"]),
        names=_category_names(histories),
    )
    items: dict[str, list[Item]] = {}
    for row in rows.to_pylist():
        items.setdefault(row.pop("segment"), []).append(Item(**row))
    return items


def _interest_weights(
    histories: pa.Table, habits: Habits, assignments: pa.Table, k: int
) -> dict[str, tuple[dict[str, float], float]]:
    """Per segment the mean interests and their concentration.

    Only categories from which ``k`` users of the segment took something are kept; where there is
    none, those with ``k`` users in the whole log.
    """
    assigned = assignments.select(["user_id", "segment"])
    weights = select(
        "WITH takers AS ("
        " SELECT DISTINCT user_id, segment, interest AS category"
        " FROM histories JOIN assignments USING (user_id) JOIN names USING (category)"
        "), near AS ("
        f" SELECT segment, category FROM takers GROUP BY ALL HAVING count(*) >= {int(k)}"
        "), anywhere AS ("
        f" SELECT category FROM takers GROUP BY category HAVING count(*) >= {int(k)}"
        "), kept AS ("
        " SELECT * FROM near UNION SELECT a.segment, b.category FROM"
        " (SELECT DISTINCT segment FROM assignments WHERE segment NOT IN"
        " (SELECT segment FROM near)) AS a, anywhere AS b"
        ") SELECT segment, user_id, category, weight FROM interests"
        " JOIN assignments USING (user_id) JOIN kept USING (segment, category)"
        " ORDER BY segment, user_id, category",
        histories=histories.select(["user_id", "category"]),
        assignments=assigned,
        names=_category_names(histories),
        interests=habits.interests,
    )
    segments = weights["segment"].to_numpy()
    result = {}
    for name in sorted(set(segments)):
        part = weights.filter(pa.array(segments == name))
        result[name] = _mean_interests(part)
    return result


def _mean_interests(weights: pa.Table) -> tuple[dict[str, float], float]:
    users, rows = np.unique(weights["user_id"].to_numpy(), return_inverse=True)
    categories, columns = np.unique(weights["category"].to_numpy(), return_inverse=True)
    matrix = np.zeros((len(users), len(categories)))
    matrix[rows, columns] = weights["weight"].to_numpy()
    matrix /= matrix.sum(axis=1, keepdims=True)
    mean = matrix.mean(axis=0)
    order = np.argsort(-mean, kind="stable")
    return (
        {str(categories[place]): float(mean[place]) for place in order},
        fit_concentration(matrix),
    )
