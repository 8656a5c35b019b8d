"""From typed rows to the tables ``items`` and ``users``."""

from __future__ import annotations

from footfall.errors import CatalogueError, EmptyLogError
from footfall.simulator.ingest.sources import literal
from footfall.simulator.log import Log

__all__ = ["fill_items", "fill_known_users", "fill_other_users"]


def fill_items(log: Log, label: str) -> int:
    """Fill ``items`` from ``rows_items``; return how many rows repeated another.

    Raises
    ------
    CatalogueError
        If rows with the same id differ.
    EmptyLogError
        If no row is left.
    """
    columns = "item_id, text, category, brand, price, first_seen"
    before = int(log.scalar("SELECT count(*) FROM rows_items"))
    if not before:
        raise EmptyLogError(
            f"{label}: the catalogue has no usable row.", hint="Check the mapping of [items]."
        )
    log.execute(
        "CREATE OR REPLACE TEMP TABLE catalogue AS "
        f"SELECT {columns}, min(source_row) AS source_row "
        f"FROM rows_items GROUP BY {columns}"
    )
    repeated = log.query(
        "SELECT item_id, count(*) OVER () AS ids FROM catalogue GROUP BY item_id "
        "HAVING count(*) > 1 ORDER BY min(source_row) LIMIT 5"
    ).to_pylist()
    if repeated:
        ids = ", ".join(repr(row["item_id"]) for row in repeated)
        raise CatalogueError(
            f"{label}: {repeated[0]['ids']:,} item ids have rows that differ, such as {ids}.",
            hint="Keep one row per item, or map only columns in which they agree.",
        )
    log.execute(f"INSERT INTO items SELECT {columns}, 'real' FROM catalogue ORDER BY source_row")
    return before - log.count("items")


def fill_known_users(log: Log, locale: str, attributes: list[str]) -> int:
    """Fill ``users`` from ``rows_users``, first row first; return the rows not used."""
    pairs = ", ".join(
        f"{literal(name)}, attribute_{number}" for number, name in enumerate(attributes)
    )
    # json_merge_patch drops the attributes that are missing.
    demographics = f"json_merge_patch('{{}}', json_object({pairs}))" if pairs else "NULL"
    log.execute(
        f"INSERT INTO users SELECT user_id, {literal(locale)}, nullif({demographics}::VARCHAR, "
        "'{}'), NULL, 'real' FROM rows_users "
        "QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY source_row) = 1 "
        "ORDER BY source_row"
    )
    return int(log.scalar("SELECT count(*) FROM rows_users")) - log.count("users")


def fill_other_users(log: Log, locale: str) -> None:
    """Add the users who are known from events only."""
    log.execute(
        f"INSERT INTO users SELECT user_id, {literal(locale)}, NULL, NULL, 'real' FROM "
        "(SELECT user_id FROM sessions UNION SELECT user_id FROM purchases) "
        "ANTI JOIN users USING (user_id) ORDER BY user_id"
    )
