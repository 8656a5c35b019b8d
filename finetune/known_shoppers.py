"""Made rows tell as much of their shopper as real rows do.

A persona has a history, and so has a real person who is drawn for a made row; the people whom a
classifier meets often have none yet. Where every made row has one and hardly a real row has, the
classifier learns that what it was shown of new items holds for people with a history only.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.finetune.example_table import Examples
from footfall.finetune.row_description import RowDescriber
from footfall.personas.describe import shopper_line
from footfall.simulator.histories import read_demographics
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["describe_made_rows"]

Array = np.ndarray[Any, Any]

#: Before the id of somebody whose history is not told: no log has such a user.
_STRANGER: Final = "\x1fstranger\x1f"

_WITHOUT_PAST: Final = """
SELECT user_id FROM users JOIN made USING (user_id)
WHERE persona IS NOT NULL AND json_array_length(persona, '$.history') = 0
  AND len(json_keys(persona, '$.interests')) = 0
"""

_SLATE: Final = pa.schema(
    [
        ("search_id", pa.string()),
        ("user_id", pa.string()),
        ("slate_at", pa.timestamp("us")),
        ("origin", pa.string()),
    ]
)


def describe_made_rows(
    log: Log, rows: pa.Table, real: Examples, *, until: datetime | None, seed: int
) -> Examples:
    """Describe made rows with as much history of their shoppers as ``real`` rows have.

    Each made slate draws a real one and tells as many of the latest items. Where that has none, or
    nothing but demographics is known of the made shopper, they are described as somebody unknown
    with the same demographics is: like those real people of whom something is known, or by
    demographics alone where there is nobody.

    Parameters
    ----------
    log, rows, until:
        As for :class:`~footfall.finetune.row_description.RowDescriber`.
    real:
        Described real training rows.
    seed:
        Seed of the draws.

    Raises
    ------
    DataError
        If a row shows an item that the log lacks.
    """
    known = _drawn_lengths(rows["search_id"], real, seed)
    users = rows["user_id"].combine_chunks()
    unknown = pc.or_(pa.array(known == 0), pc.is_in(users, value_set=_without_past(log, users)))
    strangers = pc.if_else(unknown, pc.binary_join_element_wise(_STRANGER, users, ""), users)
    place = rows.schema.get_field_index("user_id")
    named = rows.set_column(place, "user_id", strangers)
    describer = RowDescriber(
        log,
        pa.concat_tables([named.select(_SLATE.names).cast(_SLATE), _population(real)]),
        until=until,
        demographics=_with_strangers(log, users.filter(unknown)),
    )
    told = describer.describe(named)
    lengths = dict(zip(rows["search_id"].to_pylist(), known.tolist(), strict=True))
    return _shortened(told, lengths).with_column(
        "user_id", pc.replace_substring(told.table["user_id"].combine_chunks(), _STRANGER, "")
    )


def _drawn_lengths(slates: pa.ChunkedArray, real: Examples, seed: int) -> Array:
    """How many items of its shopper's history each row may tell; the same for a whole slate."""
    lengths = pc.list_value_length(real.table["shopper_history"]).to_numpy()
    _, first = np.unique(real.slate_numbers(), return_index=True)
    names, slate = np.unique(slates.to_numpy(), return_inverse=True)
    rng = np.random.default_rng([seed, 17])
    drawn: Array = lengths[first][rng.integers(len(first), size=len(names))][slate.reshape(-1)]
    return drawn


def _without_past(log: Log, users: pa.Array) -> pa.Array:
    """Those of the users whose persona has neither interests nor a history."""
    found = log.query(_WITHOUT_PAST, made=pa.table({"user_id": users.unique()}))
    return found["user_id"].combine_chunks()


def _population(real: Examples) -> pa.Table:
    """A page at the end of the training part for every real person with a known history."""
    known = pc.greater(pc.list_value_length(real.table["shopper_history"]), 0)
    users = real.table["user_id"].filter(known).unique()
    empty = pa.nulls(len(users))
    columns = [users, users, empty, pa.array([ORIGIN_REAL] * len(users))]
    return pa.table(dict(zip(_SLATE.names, columns, strict=True))).cast(_SLATE)


def _with_strangers(log: Log, users: pa.Array) -> pa.Table | None:
    """What is known of real people, and of these users under the ids of strangers."""
    known = read_demographics(log)
    told = read_demographics(log, users=pa.table({"user_id": users.unique()}))
    if told is None:
        return known
    ids = pc.binary_join_element_wise(_STRANGER, told["user_id"].combine_chunks(), "")
    told = told.set_column(0, "user_id", ids)
    return told if known is None else pa.concat_tables([known, told], promote_options="default")


def _shortened(examples: Examples, lengths: dict[str, int]) -> Examples:
    texts, histories = [], []
    columns = [
        examples.table[name].to_pylist()
        for name in ("search_id", "shopper_profile", "shopper_history")
    ]
    for slate, profile, history in zip(*columns, strict=True):
        latest = history[max(0, len(history) - lengths[slate]) :]
        histories.append(latest)
        texts.append(shopper_line(profile, latest))
    return examples.with_column(
        "shopper_history", pa.array(histories, pa.list_(pa.string()))
    ).with_column("shopper_text", pa.array(texts, pa.string()))
