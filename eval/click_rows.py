"""Impressions of real and synthetic pages as rows of a light click model.

Features are as of one moment inside the training part, ``cut``: real training rows lie after it, so
no row's own response is in its item's popularity or its shopper's interests, and training and test
rows are described alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["ClickRows", "Label", "read_click_rows", "text_overlap"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Label: TypeAlias = Literal["clicked", "purchased"]

#: Share of the real sessions of the training part that come before ``cut``.
_BEFORE_CUT: Final = 0.6
_ITEM_FEATURES: Final = (
    "price_log",
    "price_vs_category",
    "popularity_log",
    "category_popularity_log",
)

_CUT: Final = f"""
    SELECT quantile_disc(started_at, {_BEFORE_CUT}) AS cut FROM sessions
    WHERE origin = '{ORIGIN_REAL}' AND started_at < $until"""

# A seeded hash of the session chooses, so that sessions stay whole but for the last one.
_SLATES: Final = f"""
    WITH slates AS (
        SELECT q.search_id, q.session_id, e.user_id, nullif(trim(q.query), '') AS query,
            CASE WHEN q.origin <> '{ORIGIN_REAL}' THEN q.origin
                WHEN coalesce(q.searched_at, e.started_at) >= $until::TIMESTAMP THEN 'test'
                WHEN coalesce(q.searched_at, e.started_at) >= $cut::TIMESTAMP THEN 'real' END
                AS part
        FROM searches q JOIN sessions e USING (session_id)
        WHERE (q.origin = '{ORIGIN_REAL}' OR q.origin IN (SELECT origin FROM chosen_origins))
            AND ($end::TIMESTAMP IS NULL OR q.origin <> '{ORIGIN_REAL}'
                OR coalesce(q.searched_at, e.started_at) < $end::TIMESTAMP))
    SELECT * FROM slates WHERE part IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY part ORDER BY md5($seed || '/' || session_id), search_id) <= $most
    ORDER BY part, search_id"""

_ROWS: Final = """
    SELECT s.part, s.user_id, s.query, s.search_id, i.item_id, i.{label} AS label,
        1 / i.sample_rate AS weight, i.position, 0 AS snapshot
    FROM slates s JOIN impressions i USING (search_id) JOIN items USING (item_id)
    WHERE i.{label} IS NOT NULL
    ORDER BY s.part, s.search_id, i.position, i.item_id"""

_REAL_INTERESTS: Final = """
    WITH responses AS ({responses})
    SELECT 0 AS snapshot, user_id, category,
        count(*) / sum(count(*)) OVER (PARTITION BY user_id) AS weight
    FROM responses r JOIN items USING (item_id)
    WHERE r.at < $cut AND category IS NOT NULL
        AND user_id IN (SELECT user_id FROM wanted_users)
    GROUP BY user_id, category ORDER BY user_id, category"""


@dataclass(frozen=True, slots=True)
class ClickRows:
    """Rows of one part. Shapes: ``values`` ``(rows, features)``, the others ``(rows,)``.

    ``values`` is ``nan`` where a part does not record a feature; ``slate`` and ``user`` are indices
    within the part.
    """

    names: tuple[str, ...]
    values: Floats
    label: npt.NDArray[np.bool_]
    weight: Floats
    slate: Integers
    user: Integers

    def take(self, chosen: npt.NDArray[Any]) -> ClickRows:
        """The chosen rows; indices of slates and users stay."""
        return ClickRows(
            self.names,
            self.values[chosen],
            self.label[chosen],
            self.weight[chosen],
            self.slate[chosen],
            self.user[chosen],
        )

    @property
    def slates(self) -> int:
        """How many slates there are."""
        return len(np.unique(self.slate))


def text_overlap(queries: pa.Array, texts: pa.Array) -> Floats:
    """Share of each query's words that its item's text has, shape ``(rows,)``; 0 without a query.

    In scripts without spaces characters and pairs of characters are words, as in the search index.
    """
    from scipy.sparse import csr_array

    from footfall.personas.tokens import tokenize

    numbers: dict[str, int] = {}

    def bags(column: pa.Array) -> tuple[Any, Integers]:
        encoded = pc.fill_null(column.cast(pa.string()), "").dictionary_encode()
        words = [
            sorted({numbers.setdefault(word, len(numbers)) for word in tokenize(text)})
            for text in encoded.dictionary.to_pylist()
        ]
        bounds = np.cumsum([0, *(len(each) for each in words)])
        flat = np.array([word for each in words for word in each], dtype=np.int64)
        cells = (np.ones(len(flat)), flat, bounds)
        return cells, encoded.indices.to_numpy().astype(np.int64)

    (asked, query_of), (shown, text_of) = bags(queries), bags(texts)
    width = max(len(numbers), 1)
    query_bags = csr_array(asked, shape=(len(asked[2]) - 1, width))
    text_bags = csr_array(shown, shape=(len(shown[2]) - 1, width))
    if not len(query_of):
        return np.zeros(0)
    common = np.asarray(query_bags[query_of].multiply(text_bags[text_of]).sum(axis=1)).reshape(-1)
    length = np.diff(asked[2])[query_of]
    return np.asarray(np.divide(common, length, out=np.zeros(len(common)), where=length > 0))


def _persona_interests(log: Log, users: pa.Table) -> pa.Table:
    """Interests that synthetic users were given, as shares by category."""
    rows = log.query(
        """SELECT user_id, persona FROM users
        WHERE persona IS NOT NULL AND user_id IN (SELECT user_id FROM wanted_users)""",
        wanted_users=users,
    ).to_pylist()
    found: list[dict[str, Any]] = []
    for row in rows:
        interests: Mapping[str, float] = json.loads(row["persona"]).get("interests") or {}
        found += [
            {"snapshot": 0, "user_id": row["user_id"], "category": name, "weight": float(weight)}
            for name, weight in interests.items()
        ]
    schema = pa.schema(
        [
            ("snapshot", pa.int32()),
            ("user_id", pa.string()),
            ("category", pa.string()),
            ("weight", pa.float64()),
        ]
    )
    return pa.Table.from_pylist(found, schema=schema)


def _affinity(log: Log, rows: pa.Table, cut: datetime) -> Floats:
    from footfall.finetune.item_features import REAL_RESPONSES
    from footfall.finetune.shopper_features import category_affinity

    users = pa.table({"user_id": pc.unique(rows["user_id"].combine_chunks())})
    made = _persona_interests(log, users)
    real = log.query(
        _REAL_INTERESTS.format(responses=REAL_RESPONSES), {"cut": cut}, wanted_users=users
    )
    described = set(made["user_id"].to_pylist())
    keep = pa.array([user not in described for user in real["user_id"].to_pylist()], pa.bool_())
    interests = pa.concat_tables([made, real.filter(keep).cast(made.schema)])
    found = category_affinity(log, rows, interests)
    joined = log.query(
        """SELECT coalesce(category_affinity, 0) AS affinity
        FROM numbered LEFT JOIN found USING (user_id, item_id) ORDER BY number""",
        numbered=rows.append_column("number", pa.array(np.arange(rows.num_rows))),
        found=found.drop_columns(["snapshot"]),
    )
    return np.asarray(joined["affinity"].to_numpy(), dtype=np.float64)


def _item_columns(log: Log, rows: pa.Table, cut: datetime) -> tuple[dict[str, Floats], pa.Array]:
    from footfall.finetune.item_features import item_features

    snapshots = pa.table(
        {
            "snapshot": pa.array([0], pa.int32()),
            "known_at": pa.array([cut], pa.timestamp("us")),
        }
    )
    items = item_features(log, rows, snapshots, cut)
    place = pc.index_in(rows["item_id"].combine_chunks(), items["item_id"].combine_chunks())
    columns = {
        name: items[name].combine_chunks().take(place).cast(pa.float64()).to_numpy()
        for name in _ITEM_FEATURES
    }
    return columns, items["item_text"].combine_chunks().take(place)


def read_click_rows(
    log: Log,
    origins: Sequence[str],
    *,
    label: Label,
    until: datetime,
    end: datetime | None,
    most: int,
    seed: int,
) -> dict[str, ClickRows]:
    """Rows by part: ``real`` (training), ``test`` (real, from ``until`` on), and each origin.

    ``most`` is the largest number of slates of a part; a part without rows is left out.
    """
    cut = log.query(_CUT, {"until": until})["cut"][0].as_py()
    if cut is None:
        return {}
    slates = log.query(
        _SLATES,
        {"until": until, "end": end, "cut": cut, "most": most, "seed": str(seed)},
        chosen_origins=pa.table({"origin": pa.array(list(origins), pa.string())}),
    )
    rows = log.query(_ROWS.format(label=label), slates=slates)
    if not rows.num_rows:
        return {}
    columns, texts = _item_columns(log, rows, cut)
    columns["category_affinity"] = _affinity(log, rows, cut)
    columns["text_overlap"] = text_overlap(rows["query"].combine_chunks(), texts)
    position = rows["position"].cast(pa.float64()).combine_chunks()
    columns["position_log"] = np.log(pc.fill_null(position, np.nan).to_numpy())
    values = np.column_stack(list(columns.values()))
    part = rows["part"].to_numpy()
    index = {
        name: rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("search_id", "user_id")
    }
    labels, weight = rows["label"].to_numpy(), rows["weight"].to_numpy()
    return {
        str(name): ClickRows(
            tuple(columns),
            values[chosen],
            labels[chosen].astype(bool),
            weight[chosen],
            np.unique(index["search_id"][chosen], return_inverse=True)[1],
            np.unique(index["user_id"][chosen], return_inverse=True)[1],
        )
        for name in np.unique(part)
        if (chosen := part == name).any()
    }
