"""Pairs of shopper, query and item that are to become training rows, and the controls among them.

A pair says who meets which item with which words, and how they respond. Controls are pairs that
anybody could write down without a language model; a simulator has to beat them at equal volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from footfall.errors import EmptyLogError, NoResponseError, SettingError
from footfall.simulator.aimed_response import fit_appeal_curve, fit_lone_appeal, known_people
from footfall.simulator.catalog import Catalog
from footfall.simulator.language import catalog_language

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from footfall.finetune.examples import Label
    from footfall.simulator.log import Log

__all__ = [
    "PAIR_SCHEMA",
    "VISIT_SCHEMA",
    "neighbour_pairs",
    "popularity_pairs",
    "pseudo_label_pairs",
    "random_labels",
    "title_pairs",
]

Array = np.ndarray[Any, Any]

#: ``query`` is null when browsing; ``label`` whether the shopper responds.
PAIR_SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("query", pa.string()),
        ("label", pa.bool_()),
    ]
)

#: Pairs of a run: with the session and the response (search and item) that each comes from.
VISIT_SCHEMA: Final = PAIR_SCHEMA.append(pa.field("session_id", pa.string())).append(
    pa.field("search_id", pa.string())
)

#: Real items that an aimed item borrows responses from.
_NEIGHBOURS: Final = 5

_REAL_PAIRS = """
SELECT e.user_id, i.item_id, nullif(trim(s.query), '') AS query, i.{label} AS label
FROM impressions i JOIN searches s USING (search_id) JOIN sessions e USING (session_id)
WHERE i.origin = 'real' AND i.{label} IS NOT NULL
ORDER BY s.searched_at, i.search_id, i.item_id
"""


def real_pairs(log: Log, label: Label) -> pa.Table:
    """Every real impression as a pair.

    Raises
    ------
    NoResponseError
        If the log records no such response.
    """
    pairs = log.query(_REAL_PAIRS.format(label=label)).cast(PAIR_SCHEMA)
    if not pairs.num_rows or not any(pairs["label"].to_pylist()):
        raise NoResponseError(f"The log has no impression with the response `{label}`.")
    return pairs


def popularity_pairs(log: Log, label: Label, count: int, seed: int) -> pa.Table:
    """``count`` pairs of a real shopper and query with an item as often as it is responded to."""
    rng = np.random.default_rng(seed)
    taken = _taken(log, label)
    asked = taken.take(pa.array(rng.integers(taken.num_rows, size=count)))
    items = taken["item_id"].take(pa.array(rng.integers(taken.num_rows, size=count)))
    return _pairs(asked["user_id"], items, asked["query"])


def title_pairs(log: Log, label: Label, items: Sequence[str], count: int, seed: int) -> pa.Table:
    """``count`` pairs of a real shopper with one of ``items`` whose own text is the query.

    A log without queries gives browsing shoppers.
    """
    rng = np.random.default_rng(seed)
    taken = _taken(log, label)
    aimed = _evenly(items, count, rng)
    asked = taken.take(pa.array(rng.integers(taken.num_rows, size=count)))
    query = asked["query"]
    if query.null_count < len(query):
        texts = _texts(log)
        query = pa.array([texts[item] for item in aimed], pa.string())
    return _pairs(asked["user_id"], pa.array(aimed), query)


def neighbour_pairs(
    log: Log, label: Label, items: Sequence[str], count: int, seed: int
) -> pa.Table:
    """``count`` pairs of one of ``items`` with shopper, query and label of a like item's rows.

    Like items are the five whose texts share most weight of character n-grams (TF-IDF, 2 to 4
    characters, which works without blanks between words) among the items with a response;
    one is drawn by its likeness, then one of its rows. Where the log's candidates are not its
    own, only responses are taken.
    """
    rng = np.random.default_rng(seed)
    rows = real_pairs(log, label) if logged_candidates(log) else _taken(log, label)
    by_item = _places(rows["item_id"].to_pylist())
    texts = _texts(log)
    known = [item for item in by_item if item in texts]
    likeness = _likeness([texts[item] for item in items], [texts[item] for item in known])
    aimed = _evenly(range(len(items)), count, rng)
    best = np.argsort(-likeness, axis=1, kind="stable")[:, :_NEIGHBOURS]
    chosen = np.empty(count, np.int64)
    for place, number in enumerate(aimed):
        near = best[number]
        weights = likeness[number, near] + 1e-6
        item = known[int(rng.choice(near, p=weights / weights.sum()))]
        chosen[place] = rng.choice(by_item[item])
    drawn = rows.take(pa.array(chosen))
    return _pairs(
        drawn["user_id"],
        pa.array([items[number] for number in aimed]),
        drawn["query"],
        drawn["label"],
    )


def pseudo_label_pairs(
    log: Log,
    label: Label,
    items: Sequence[str],
    count: int,
    seed: int,
    *,
    until: datetime | None = None,
) -> pa.Table:
    """``count`` pairs of one of ``items`` with a real shopper and query, and a drawn label.

    It is drawn by the log's own response model (:mod:`footfall.simulator.appeal`), weighed on
    people left out as aimed visits have it, so that what such visits give beyond it is the
    language model's. Made labels of a fitted model are pseudo-labels (Lee 2013).

    Raises
    ------
    NoResponseError
        If ``label`` is not what the response model is fitted on, or has one value only.
    """
    catalog = Catalog.from_log(log, until=until)
    locale = catalog_language(log, until=until).default_locale()
    fitted = fit_lone_appeal(log, catalog, label=label, until=until, locale=locale, seed=seed)
    curve = fit_appeal_curve(fitted.rows)
    rng = np.random.default_rng([seed, 4])
    real = real_pairs(log, label)
    asked = real.take(pa.array(rng.integers(real.num_rows, size=count)))
    aimed = _evenly(items, count, rng)
    log_odds = fitted.model.log_odds_many(
        known_people(log, asked["user_id"].to_pylist(), locale),
        asked["query"].to_pylist(),
        [[row] for row in catalog.rows(aimed).to_pylist()],
    )
    chances = curve.chance(np.zeros(count), np.concatenate([np.zeros(0), *log_odds]))
    return _pairs(
        asked["user_id"], pa.array(aimed), asked["query"], pa.array(rng.random(count) < chances)
    )


def random_labels(pairs: pa.Table, rate: float, seed: int) -> pa.Table:
    """The pairs with labels drawn at ``rate``, for logs whose rows tell both responses."""
    labels = np.random.default_rng([seed, 1]).random(pairs.num_rows) < rate
    return pairs.set_column(3, PAIR_SCHEMA.field("label"), pa.array(labels))


def logged_candidates(log: Log) -> bool:
    """Whether the log's own impressions say what was shown in vain.

    False where the candidates beside a response were sampled or reconstructed.
    """
    kinds = log.query(
        "SELECT DISTINCT candidates FROM searches WHERE origin = 'real' AND candidates IS NOT NULL"
    )["candidates"].to_pylist()
    return not {"sampled", "reconstructed"} & set(kinds)


def _taken(log: Log, label: Label) -> pa.Table:
    pairs = real_pairs(log, label)
    return pairs.filter(pairs["label"])


def _texts(log: Log) -> dict[str, str]:
    rows = log.query("SELECT item_id, text FROM items")
    return dict(zip(rows["item_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def _evenly(items: Sequence[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """``count`` draws in which every item comes as often as the others, give or take one."""
    if not len(items):
        raise EmptyLogError(
            "There is no item to aim at.", hint="Hold some out, or name items without history."
        )
    if count < 0:
        raise SettingError(f"count: {count} is negative.")
    rounds = -(-count // len(items)) if count else 0
    order = [int(place) for _ in range(rounds) for place in rng.permutation(len(items))]
    return [items[place] for place in order[:count]]


def _places(values: Sequence[str]) -> dict[str, Array]:
    order = np.argsort(np.asarray(values, dtype=object).astype(str), kind="stable")
    names, starts = np.unique(np.asarray(values, dtype=str)[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _likeness(texts: Sequence[str], others: Sequence[str]) -> Array:
    """Cosine of TF-IDF vectors of character n-grams, shape (texts, others)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    vectors.fit([*texts, *others])
    product: Array = (vectors.transform(texts) @ vectors.transform(others).T).toarray()
    return product


def _pairs(users: Any, items: Any, queries: Any, labels: Any = None) -> pa.Table:
    count = len(users)
    columns = {
        "user_id": users,
        "item_id": items,
        "query": queries,
        "label": pa.array(np.ones(count, bool)) if labels is None else labels,
    }
    return pa.table(columns).cast(PAIR_SCHEMA)
