"""Reading a source file into a temporary table of texts, and setting aside what is no row.

Every value is read as text: what it means is decided later, so that one bad value costs one row and
not the file. Columns are called c0, c1, ... there because DuckDB does not tell ``Age`` from
``age``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from footfall.errors import DataError, EmptyLogError, LogError, SettingError
from footfall.simulator.ingest.mapping import Source
from footfall.simulator.log import Log

__all__ = ["Stage", "literal", "set_aside", "stage"]

_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "tsv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_LONGEST_LINE: Final = 16_000_000
_REJECT_REASONS: Final = """CASE error_type::VARCHAR
    WHEN 'MISSING COLUMNS' THEN 'too few columns'
    WHEN 'TOO MANY COLUMNS' THEN 'too many columns'
    WHEN 'UNQUOTED VALUE' THEN 'malformed quotes'
    WHEN 'INVALID ENCODING' THEN 'not UTF-8'
    WHEN 'LINE SIZE OVER MAXIMUM' THEN 'line too long'
    ELSE lower(error_type::VARCHAR) END"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A source as a temporary table: ``source_row`` (1 is the first data row) and texts.

    Attributes
    ----------
    table:
        Name of the temporary table.
    label:
        Name of the file, for messages and rejects.
    columns:
        Name of a column in the file to its SQL name.
    rows:
        Data rows in the file, with those set aside.
    """

    table: str
    label: str
    columns: dict[str, str]
    rows: int

    def content(self) -> str:
        """SQL for the whole row as a JSON object."""
        pairs = ", ".join(f"{literal(name)}, {sql}" for name, sql in self.columns.items())
        return f"json_object({pairs})"


def stage(log: Log, section: str, source: Source, folder: Path, run_id: str) -> Stage:
    """Read the file of one part of a mapping into the temporary table ``stage_<section>``.

    Raises
    ------
    DataError
        If the file is missing or cannot be read as its format.
    EmptyLogError
        If it has no data row.
    SettingError
        If its format is not known.
    """
    paths = _matching(folder, source.file)
    written = _format(source, paths, section)
    if all(path.stat().st_size == 0 for path in paths):
        raise EmptyLogError(f"{source.file}: the file is empty.", hint="Name a file with rows.")
    table = f"stage_{section}"
    try:
        if written == "parquet":
            columns = _stage_parquet(log, table, paths)
        elif written == "jsonl":
            columns = _stage_json(log, table, source.file, paths, section)
        else:
            columns = _stage_text(log, table, source, paths, section=section)
    except LogError as error:
        if error.retryable:
            raise
        raise DataError(
            f"{source.file} cannot be read as {written}: {error.message}",
            hint=f"Check the file, or set {section}.format.",
        ) from error
    rows = int(log.scalar(f"SELECT count(*) FROM {table}")) + int(
        log.scalar(
            "SELECT count(*) FROM rejects WHERE source = ? AND run_id = ?", [source.file, section]
        )
    )
    # Until here the rejects carried the section in place of the run, to be counted apart.
    log.execute("UPDATE rejects SET run_id = ? WHERE run_id = ?", [run_id, section])
    if not rows:
        raise EmptyLogError(f"{source.file}: the file has no data row.", hint="Name another file.")
    return Stage(table, source.file, columns, rows)


def set_aside(log: Log, stage_: Stage, run_id: str, bad: str) -> None:
    """Copy rows to ``rejects``; ``bad`` is SQL that yields source_row and reason."""
    log.execute(
        f"INSERT INTO rejects SELECT {literal(run_id)}, {literal(stage_.label)}, source_row, "
        f"reason, {stage_.content()} FROM {stage_.table} JOIN ({bad}) USING (source_row) "
        "ORDER BY source_row"
    )


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _format(source: Source, paths: list[Path], section: str) -> str:
    written = source.format or _FORMATS.get(paths[0].suffix.lower())
    if written is None:
        raise SettingError(
            f"{paths[0].name}: the ending does not say how the file is written.",
            hint=f"Set {section}.format to csv, tsv, parquet or jsonl.",
        )
    return written


def _matching(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.", hint="Name the source folder.")
    paths = sorted(folder.glob(pattern)) if "*" in pattern else [folder / pattern]
    if not paths or not all(path.is_file() for path in paths):
        present = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
        raise DataError(
            f"{folder / pattern}: there is no such file.", hint=f"The folder has {present}."
        )
    return paths


def _list(paths: list[Path]) -> str:
    return "[" + ", ".join(literal(str(path)) for path in paths) + "]"


def _stage_parquet(log: Log, table: str, paths: list[Path]) -> dict[str, str]:
    read = f"read_parquet({_list(paths)}, union_by_name = true)"
    names = log.query(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {read})")[0].to_pylist()
    columns = {name: f"c{number}" for number, name in enumerate(names)}
    chosen = ", ".join(
        f"CAST({_identifier(name)} AS VARCHAR) AS {sql}" for name, sql in columns.items()
    )
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS "
        f"SELECT row_number() OVER () AS source_row, {chosen} FROM {read}"
    )
    return columns


def _stage_text(
    log: Log, table: str, source: Source, paths: list[Path], *, section: str
) -> dict[str, str]:
    commas = _format(source, paths, section) == "csv"
    delimiter = source.delimiter or ("," if commas else "\t")
    quote = source.quote if source.quote is not None else ('"' if commas else "")
    names = (
        _header(paths[0], delimiter, quote) if source.header else _distinct(source.columns, source)
    )
    columns = {name: f"c{number}" for number, name in enumerate(names)}
    options = (
        f"delim = {literal(delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}, "
        f"header = {str(source.header).lower()}"
    )
    _read_text(log, table, list(columns.values()), paths, options)
    _keep_text_rejects(log, table, source.file, header=source.header, section=section)
    return columns


def _read_text(log: Log, table: str, columns: list[str], paths: list[Path], options: str) -> None:
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in columns)
    log.execute("DROP TABLE IF EXISTS text_rejects")
    log.execute("DROP TABLE IF EXISTS text_scans")
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT row_number() OVER () AS source_row, * "
        f"FROM read_csv({_list(paths)}, columns = {{{types}}}, auto_detect = false, {options}, "
        f"max_line_size = {_LONGEST_LINE}, store_rejects = true, rejects_limit = 0, "
        "rejects_table = 'text_rejects', rejects_scan = 'text_scans')"
    )


def _keep_text_rejects(log: Log, table: str, label: str, *, header: bool, section: str) -> None:
    """Store what the reader could not split, and number the other rows around it."""
    shift = 1 if header else 0
    log.execute(
        "CREATE OR REPLACE TEMP TABLE unreadable AS "
        f"SELECT (line - {shift})::BIGINT AS source_row, "
        f"any_value({_REJECT_REASONS}) AS reason, "
        "any_value(trim(csv_line, chr(10) || chr(13))) AS line FROM text_rejects GROUP BY ALL"
    )
    if not log.scalar("SELECT count(*) FROM unreadable"):
        return
    log.execute(
        f"INSERT INTO rejects SELECT {literal(section)}, {literal(label)}, source_row, reason, "
        "to_json(line)::VARCHAR FROM unreadable ORDER BY source_row"
    )
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS "
        "WITH free AS (SELECT number, row_number() OVER (ORDER BY number) AS source_row "
        f"FROM range(1, 1 + (SELECT count(*) FROM {table}) + (SELECT count(*) FROM unreadable)) "
        "AS numbers(number) ANTI JOIN unreadable ON number = unreadable.source_row) "
        f"SELECT number AS source_row, {table}.* EXCLUDE (source_row) "
        f"FROM {table} JOIN free USING (source_row) ORDER BY number"
    )


def _header(path: Path, delimiter: str, quote: str) -> list[str]:
    # What is not UTF-8 may be in a row further down, which is then set aside.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            if quote:
                names = next(csv.reader(lines, delimiter=delimiter[0], quotechar=quote))
            else:
                names = next(lines).rstrip("\r\n").split(delimiter)
        except (StopIteration, csv.Error) as error:
            raise DataError(f"{path.name}: the header cannot be read: {error}.") from error
    return _distinct([name.strip() for name in names], path)


def _distinct(names: list[str], source: Source | Path) -> list[str]:
    label = source.name if isinstance(source, Path) else source.file
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{label}: the column name {repeated[0]!r} occurs more than once.",
            hint="Give every column its own name.",
        )
    return names


def _stage_json(
    log: Log, table: str, label: str, paths: list[Path], section: str
) -> dict[str, str]:
    # A control character as the delimiter: JSON does not allow one in a line.
    _read_text(
        log,
        "json_lines",
        ["line"],
        paths,
        "delim = '\x01', quote = '', escape = '', header = false",
    )
    _keep_text_rejects(log, "json_lines", label, header=False, section=section)
    log.execute(
        f"INSERT INTO rejects SELECT {literal(section)}, {literal(label)}, source_row, "
        "CASE WHEN json_valid(line) THEN 'not a JSON object' ELSE 'malformed JSON' END, "
        f"to_json(line)::VARCHAR FROM json_lines WHERE NOT ({_IS_OBJECT}) AND line IS NOT NULL "
        "ORDER BY source_row"
    )
    names = log.query(
        "SELECT name FROM (SELECT unnest(json_keys(line)) AS name, source_row FROM json_lines "
        f"WHERE {_IS_OBJECT}) GROUP BY name ORDER BY min(source_row), name"
    )["name"].to_pylist()
    columns = {name: f"c{number}" for number, name in enumerate(names)}
    chosen = "".join(
        f", json_extract_string(line, {literal(_pointer(name))}) AS {sql}"
        for name, sql in columns.items()
    )
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT source_row{chosen} FROM json_lines "
        f"WHERE {_IS_OBJECT} ORDER BY source_row"
    )
    return columns


_IS_OBJECT: Final = (
    "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END IS TRUE"
)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
