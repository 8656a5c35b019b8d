"""From the texts of a source to typed values: identifiers, times, numbers and flags.

Turns the values of a mapping into SQL, sets aside the rows in which one cannot be read, and leaves
the temporary table ``rows_<section>``.
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from footfall.errors import DataError, SettingError, TooManyRejectsError
from footfall.simulator.ingest.mapping import Source
from footfall.simulator.ingest.sources import Stage, literal, set_aside
from footfall.simulator.log import Log

__all__ = ["Typed", "check_reject_share", "read_values"]

Kind = Literal["id", "text", "time", "number", "count", "flag"]

_TRUE = "('1', 'true', 't', 'yes', 'y', '1.0')"
_FALSE = "('0', 'false', 'f', 'no', 'n', '0.0')"
_WHAT = {
    "time": "unparsable time",
    "number": "unparsable number",
    "count": "unparsable whole number",
    "flag": "unparsable label",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """One column of ``rows_<section>``: what it is called, what it is, and where it comes from."""

    name: str
    kind: Kind
    value: str | None
    required: bool = False


def read_values(
    log: Log, section: str, source: Source, stage_: Stage, wanted: Sequence[Typed], *, run_id: str
) -> None:
    """Make ``rows_<section>``: source_row and one column per wanted value, null where unmapped.

    Raises
    ------
    SettingError
        If the mapping names a column that the file lacks.
    DataError
        If a column of times has values and none can be read.
    """
    mapped = [typed for typed in wanted if typed.value is not None]
    texts = "".join(
        f", {_text(typed, section, source, stage_)} AS {typed.name}_text" for typed in mapped
    )
    values = "".join(
        f", {_parsed(typed, source) if typed.value else _null(typed)} AS {typed.name}"
        for typed in wanted
    )
    reasons = "".join(f" {_reason(typed)}" for typed in mapped)
    kept = "".join(f", {typed.name}_text" for typed in mapped if typed.kind == "time")
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE typed_{section} AS "
        f"WITH texts AS (SELECT source_row{texts} FROM {stage_.table}), "
        f"parsed AS (SELECT *{values} FROM texts) "
        f"SELECT source_row, {', '.join(typed.name for typed in wanted)}{kept}, "
        f"{f'CASE{reasons} END' if reasons else 'NULL::VARCHAR'} AS reason FROM parsed"
    )
    for typed in mapped:
        if typed.kind == "time":
            _check_times(log, section, source, stage_, typed)
    set_aside(
        log,
        stage_,
        run_id,
        f"SELECT source_row, reason FROM typed_{section} WHERE reason IS NOT NULL",
    )
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE rows_{section} AS SELECT source_row, "
        f"{', '.join(typed.name for typed in wanted)} FROM typed_{section} WHERE reason IS NULL"
    )
    log.execute(f"DROP TABLE typed_{section}")


def check_reject_share(log: Log, stage_: Stage, allowed: float) -> None:
    """Stop where a source has more malformed rows than allowed.

    Raises
    ------
    TooManyRejectsError
        With the counts per reason and the first rows.
    """
    reasons = log.query(
        "SELECT reason, count(*) AS rows FROM rejects WHERE source = ? "
        "GROUP BY reason ORDER BY rows DESC, reason",
        [stage_.label],
    ).to_pylist()
    rejected = sum(row["rows"] for row in reasons)
    if rejected <= allowed * stage_.rows:
        return
    examples = log.query(
        "SELECT row_number, reason, content FROM rejects WHERE source = ? "
        "ORDER BY row_number LIMIT 3",
        [stage_.label],
    ).to_pylist()
    counts = ", ".join(f"{row['reason']}: {row['rows']:,}" for row in reasons)
    shown = "; ".join(
        f"row {row['row_number']} ({row['reason']}): {row['content'][:160]}" for row in examples
    )
    raise TooManyRejectsError(
        f"{stage_.label}: {rejected:,} of {stage_.rows:,} rows are malformed ({counts}). "
        f"First: {shown}.",
        hint=f"Mend the file or the mapping, or allow a reject share above {allowed:g}.",
    )


def _text(typed: Typed, section: str, source: Source, stage_: Stage) -> str:
    """SQL for the text that a mapping's value stands for; null where missing."""
    value = typed.value or ""
    if value.startswith("="):
        return literal(value[1:])
    if "{" not in value:
        return _present(_column(value, typed, section, stage_), source)
    pieces, columns = [], []
    try:
        parts = list(string.Formatter().parse(value))
    except ValueError as error:
        raise SettingError(f"{section}.{typed.name}: {value!r} is no template: {error}.") from error
    for fixed, name, _, _ in parts:
        if fixed:
            pieces.append(literal(fixed))
        if name is not None:
            columns.append(_present(_column(name, typed, section, stage_), source))
            pieces.append(columns[-1])
    if not columns:
        return literal("".join(fixed for fixed, *_ in parts))
    # An identifier with a hole in it would make two things one.
    if typed.kind == "id":
        return f"({' || '.join(pieces)})"
    whole = " || ".join(f"coalesce({piece}, '')" for piece in pieces)
    return f"CASE WHEN coalesce({', '.join(columns)}) IS NULL THEN NULL ELSE {whole} END"


def _column(name: str, typed: Typed, section: str, stage_: Stage) -> str:
    if name in stage_.columns:
        return stage_.columns[name]
    close = difflib.get_close_matches(name, stage_.columns, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    raise SettingError(
        f"{section}.{typed.name}: {stage_.label} has no column {name!r}.{meant}",
        hint=f"Its columns are {', '.join(stage_.columns)}.",
    )


def _present(column: str, source: Source) -> str:
    missing = ", ".join(literal(text) for text in ["", *source.null_values])
    return f"(CASE WHEN trim({column}) IN ({missing}) THEN NULL ELSE {column} END)"


def _parsed(typed: Typed, source: Source) -> str:
    text = f"{typed.name}_text"
    if typed.kind == "time":
        return _time(text, source.time_format)
    if typed.kind == "number":
        number = f"TRY_CAST({text} AS DOUBLE)"
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if typed.kind == "count":
        number = f"TRY_CAST({text} AS DOUBLE)"
        return f"CASE WHEN {number} = round({number}) THEN TRY_CAST({number} AS INTEGER) END"
    if typed.kind == "flag":
        word = f"lower(trim({text}))"
        return f"CASE WHEN {word} IN {_TRUE} THEN true WHEN {word} IN {_FALSE} THEN false END"
    return text


def _time(text: str, pattern: str | None) -> str:
    if pattern in {"epoch_s", "epoch_ms"}:
        factor = 1_000_000 if pattern == "epoch_s" else 1_000
        micros = f"TRY_CAST(TRY_CAST({text} AS DOUBLE) * {factor} AS BIGINT)"
        # Years 1 to 9999; make_timestamp fails outside instead of giving null.
        return (
            f"CASE WHEN {micros} BETWEEN -62135596800000000 AND 253402300799000000 "
            f"THEN make_timestamp({micros}) END"
        )
    if pattern is not None:
        return f"try_strptime({text}, {literal(pattern)})::TIMESTAMP"
    # Through the zoned type: the plain one ignores an offset such as +02:00.
    moment = f"(TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    return f"CASE WHEN isfinite({moment}) THEN {moment} END"


def _null(typed: Typed) -> str:
    types = {"time": "TIMESTAMP", "number": "DOUBLE", "count": "INTEGER", "flag": "BOOLEAN"}
    return f"NULL::{types.get(typed.kind, 'VARCHAR')}"


def _reason(typed: Typed) -> str:
    cases = ""
    if typed.required:
        cases += f" WHEN {typed.name}_text IS NULL THEN {literal(f'missing {typed.name}')}"
    if typed.kind in _WHAT:
        reason = literal(f"{_WHAT[typed.kind]} in {typed.name}")
        cases += f" WHEN {typed.name}_text IS NOT NULL AND {typed.name} IS NULL THEN {reason}"
    # A text is always true to itself, but CASE needs one branch.
    return cases or " WHEN false THEN ''"


def _check_times(log: Log, section: str, source: Source, stage_: Stage, typed: Typed) -> None:
    first = log.query(
        f"SELECT source_row, {typed.name}_text AS text FROM typed_{section} "
        f"WHERE {typed.name}_text IS NOT NULL AND NOT EXISTS "
        f"(FROM typed_{section} WHERE {typed.name} IS NOT NULL) ORDER BY source_row LIMIT 1"
    ).to_pylist()
    if first:
        expected = source.time_format or "ISO 8601, such as 2026-01-31 14:05:00"
        raise DataError(
            f"{stage_.label}, column {typed.value}: no time can be read; "
            f"row {first[0]['source_row']} has {first[0]['text']!r}, expected {expected}.",
            hint=f"Set {section}.time_format to a strptime pattern, epoch_s or epoch_ms.",
        )
