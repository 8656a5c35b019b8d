"""Requests and tables as the JSON of the HTTP contract (docs/target-openapi.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from footfall.simulator.targets.protocol import PageRequest

__all__ = ["JSON_BATCH", "batches", "encoded", "request_json"]

#: Rows of one HTTP request, of items and of events.
JSON_BATCH: Final = 5_000


def request_json(request: PageRequest) -> dict[str, Any]:
    """One request as a JSON object; times in RFC 3339, UTC."""
    at = request.at if request.at.tzinfo is None else request.at.astimezone(UTC)
    return {
        "shopper_id": request.shopper_id,
        "at": at.replace(tzinfo=None).isoformat() + "Z",
        "query": request.query,
        "history": list(request.history),
        "locale": request.locale,
        "demographics": dict(request.demographics),
        "limit": request.limit,
        "offset": request.offset,
    }


def batches(table: pa.Table, name: str) -> Iterator[dict[str, Any]]:
    """Bodies that carry a table, ``{"first": ..., name: [...]}``; one of no rows if it has none.

    ``first`` is true in the first body only: what was sent before is forgotten then.
    """
    readable = pa.table({column: _readable(table[column]) for column in table.column_names})
    for start in range(0, max(1, table.num_rows), JSON_BATCH):
        rows = readable.slice(start, JSON_BATCH).to_pylist()
        yield {"first": start == 0, name: rows}


def encoded(body: Any) -> bytes:
    """JSON text. Lone surrogates stay escaped, as JSON allows."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as RFC 3339 text; numbers that JSON does not have as null."""
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), column, None)
    return column
