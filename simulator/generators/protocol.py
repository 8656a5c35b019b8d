"""What a generator of sessions is, and the rows that it gives.

A generator learns from the real log before a moment and then gives whole sessions as one flat
table, in blocks. It knows nothing of runs, users or identifiers: :mod:`.run` writes what it gives
into the log in the same tables as a simulation.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, Self, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["GENERATED_SCHEMA", "SessionGenerator", "checked_block"]

#: Columns of a block: one row an item shown. Rows of a page and pages of a session lie together.
#:
#: ``session`` counts from 0 over all blocks; ``step`` is the page's place in the session and
#: ``page`` its place in the list of results, both from 1; ``query`` is null when browsing.
#: ``item_id`` is null in the only row of a page that shows nothing. A response is null where the
#: log records none. May be left out or null: ``position`` (no order), ``price`` (the catalogue's),
#: ``sample_rate`` (1), ``hour`` (0 to 23, of the session's start; drawn by the runner).
GENERATED_SCHEMA: Final = pa.schema(
    [
        ("session", pa.int64()),
        ("step", pa.int32()),
        ("page", pa.int32()),
        ("query", pa.string()),
        ("position", pa.int32()),
        ("item_id", pa.string()),
        ("clicked", pa.bool_()),
        ("carted", pa.bool_()),
        ("purchased", pa.bool_()),
        ("price", pa.float64()),
        ("sample_rate", pa.float64()),
        ("hour", pa.int32()),
    ]
)
_NEEDED: Final = ("session", "step", "page", "query", "item_id")


@runtime_checkable
class SessionGenerator(Protocol):
    """A model of sessions, fitted on a log.

    Attributes
    ----------
    name:
        Short and stable; part of the run.
    """

    name: str

    def fit(self, log: Log, *, until: datetime | None, seed: int) -> Self:
        """Learn from the real rows before ``until`` (all of them where it is none).

        The same log, moment and seed give the same generator.

        Raises
        ------
        EmptyLogError
            If there is nothing to learn from.
        """

    def sessions(self, count: int, *, seed: int, cold_items: float = 0.0) -> Iterator[pa.Table]:
        """Sessions 0 to ``count - 1`` as tables of :data:`GENERATED_SCHEMA`, some at a time.

        Every table holds whole sessions. The same count and seed give the same tables.

        Parameters
        ----------
        cold_items:
            Chance that a shown item is replaced by one of its category without any response
            before ``until``, with the response drawn for the category.
        """


def checked_block(block: pa.Table, *, name: str, first: int, count: int) -> pa.Table:
    """A generator's block in the columns and types of :data:`GENERATED_SCHEMA`.

    Parameters
    ----------
    name:
        The generator's, for messages.
    first, count:
        The block holds sessions ``first`` and later, below ``count``.

    Raises
    ------
    DataError
        If a column is missing, unknown or of a wrong type, or sessions are out of order.
    """
    missing = [column for column in _NEEDED if column not in block.column_names]
    unknown = [column for column in block.column_names if column not in GENERATED_SCHEMA.names]
    if missing or unknown:
        wrong = f"lack {missing[0]}" if missing else f"have the unknown column {unknown[0]}"
        raise DataError(
            f"The sessions of the generator {name!r} {wrong}.",
            hint=f"Its tables have the columns {', '.join(GENERATED_SCHEMA.names)}.",
        )
    try:
        table = pa.table(
            [
                block[field.name].cast(field.type)
                if field.name in block.column_names
                else pa.nulls(block.num_rows, field.type)
                for field in GENERATED_SCHEMA
            ],
            schema=GENERATED_SCHEMA,
        ).combine_chunks()
    except pa.ArrowException as error:
        raise DataError(
            f"The sessions of the generator {name!r} have a column of a wrong type: {error}."
        ) from error
    for column in ("session", "step", "page"):
        if table[column].null_count:
            raise DataError(f"The sessions of the generator {name!r} have no {column} in some row.")
    if table.num_rows:
        numbers = table["session"].to_numpy()
        bounds = pc.min_max(table["session"]).as_py()
        in_order = bool((numbers[1:] >= numbers[:-1]).all())
        if bounds["min"] < first or bounds["max"] >= count or not in_order:
            raise DataError(
                f"The generator {name!r} gave the sessions {bounds['min']} to {bounds['max']} "
                f"where {first} to {count - 1} were to come, in order.",
                hint="Number the sessions from 0 over all tables, and keep each in one table.",
            )
    return table
