"""From typed rows to sessions, searches, impressions and purchases."""

from __future__ import annotations

from footfall.errors import DataError
from footfall.simulator.ingest.mapping import Candidates, ImpressionSource, Mapping
from footfall.simulator.ingest.sampling import draw_others
from footfall.simulator.ingest.sources import literal
from footfall.simulator.log import Log

__all__ = ["fill_impressions", "fill_purchases"]


def fill_impressions(log: Log, mapping: Mapping, source: ImpressionSource, seed: int) -> int:
    """Fill sessions, searches and impressions from ``rows_impressions``.

    Clicks on the same item of the same page are one impression; returns how many rows were folded
    into another.

    Raises
    ------
    DataError
        If a page belongs to more than one user or session, or a session to more than one user.
    """
    _number_searches(log, mapping.name, source)
    _collect_searches(log, source)
    _number_sessions(log, mapping.name, source)
    _insert_sessions_and_searches(log, mapping.candidates)
    _insert_shown(log, source)
    folded = int(log.scalar("SELECT count(*) FROM shown")) - log.count("impressions")
    if mapping.candidates.kind == "reconstructed":
        _insert_reconstructed(log, mapping.candidates, seed)
    return folded


def fill_purchases(log: Log) -> None:
    """Fill ``purchases`` from ``rows_purchases``."""
    log.execute(
        "INSERT INTO purchases SELECT user_id, item_id, session_id, place, quantity, amount, "
        "purchased_at, 'real' FROM rows_purchases ORDER BY source_row"
    )


def _number_searches(log: Log, name: str, source: ImpressionSource) -> None:
    """Make ``shown``: the rows with the page that each belongs to."""
    keys = [f"same_search_{number}" for number in range(len(source.same_search))]
    first_row = "source_row"
    before = "rows_impressions"
    if keys and source.same_search_rows == "consecutive":
        changed = " OR ".join(f"{key} IS DISTINCT FROM lag({key}) OVER rows" for key in keys)
        runs = (
            f"SELECT *, ({changed} OR row_number() OVER rows = 1)::INTEGER AS begins "
            "FROM rows_impressions WINDOW rows AS (ORDER BY source_row)"
        )
        before = f"(SELECT *, sum(begins) OVER (ORDER BY source_row) AS run FROM ({runs}))"
        keys = ["run"]
    if keys:
        if source.rows == "shown":
            # A page shows an item once: when it comes again, the page was shown again.
            showing = f"PARTITION BY {', '.join(keys)}, item_id ORDER BY source_row"
            before = f"(SELECT *, row_number() OVER ({showing}) AS showing FROM {before})"
            keys = [*keys, "showing"]
        first_row = f"min(source_row) OVER (PARTITION BY {', '.join(keys)})"
    made = f"{literal(name + '-search-')} || {first_row}"
    log.execute(
        "CREATE OR REPLACE TEMP TABLE shown AS SELECT * REPLACE "
        f"({'search_id' if source.search_id else made} AS search_id) FROM {before}"
    )


def _collect_searches(log: Log, source: ImpressionSource) -> None:
    """Make ``pages``: one row per page, with the user."""
    user = "min_by(user_id, source_row)"
    if source.user_id is None:
        per = "search_id" if source.anonymous_user == "search" else "min_by(query, source_row)"
        user = f"'anonymous-' || md5(coalesce({per}, search_id))"
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE pages AS SELECT search_id, {user} AS user_id, "
        "min_by(session_id, source_row) AS given_session, min_by(query, source_row) AS query, "
        "min_by(answered_by, source_row) AS answered_by, min_by(page, source_row) AS page, "
        "min_by(place, source_row) AS place, min(shown_at) AS searched_at, "
        "greatest(max(shown_at), max(clicked_at), max(purchased_at)) AS ended_at, "
        "min(source_row) AS source_row, count(DISTINCT user_id) AS users, "
        "count(DISTINCT session_id) AS sessions FROM shown GROUP BY search_id"
    )
    _check_one(log, "pages WHERE users > 1", "search_id", "page", "user")
    _check_one(log, "pages WHERE sessions > 1", "search_id", "page", "session")


def _number_sessions(log: Log, name: str, source: ImpressionSource) -> None:
    """Make ``visits``: the pages with the session and the step in it."""
    if source.session_id is not None:
        session = "given_session"
        before = "pages"
    elif source.shown_at is None:
        # Nothing says which pages belong together, so each stands alone.
        session = f"{literal(name + '-session-')} || source_row"
        before = "pages"
    else:
        gap = f"INTERVAL {round(source.session_gap_minutes * 60)} SECONDS"
        pauses = (
            f"SELECT *, (searched_at - lag(searched_at) OVER visit > {gap} "
            "OR row_number() OVER visit = 1)::INTEGER AS begins FROM pages "
            "WINDOW visit AS (PARTITION BY user_id ORDER BY searched_at, source_row)"
        )
        before = (
            "(SELECT *, sum(begins) OVER (PARTITION BY user_id ORDER BY searched_at, source_row) "
            f"AS run FROM ({pauses}))"
        )
        session = (
            f"{literal(name + '-session-')} || min(source_row) OVER (PARTITION BY user_id, run)"
        )
    log.execute(
        "CREATE OR REPLACE TEMP TABLE visits AS SELECT *, (row_number() OVER (PARTITION BY "
        "session_id ORDER BY searched_at, source_row))::INTEGER AS step "
        f"FROM (SELECT *, {session} AS session_id FROM {before})"
    )
    shared = "(SELECT session_id FROM visits GROUP BY ALL HAVING count(DISTINCT user_id) > 1)"
    _check_one(log, shared, "session_id", "session", "user")


def _check_one(log: Log, bad: str, key: str, thing: str, owner: str) -> None:
    example = log.scalar(f"SELECT min({key}) FROM {bad}")
    if example is not None:
        raise DataError(
            f"The {thing} {example!r} belongs to more than one {owner}.",
            hint=f"Map {key} to a value that is unique to a {thing}, such as a template.",
        )


def _insert_sessions_and_searches(log: Log, candidates: Candidates) -> None:
    log.execute(
        "INSERT INTO sessions SELECT session_id, min_by(user_id, step), min_by(place, step), "
        "min(searched_at), max(ended_at), NULL, 'real' FROM visits "
        "GROUP BY session_id ORDER BY min(source_row)"
    )
    log.execute(
        "INSERT INTO searches SELECT search_id, session_id, step, query, answered_by, "
        f"coalesce(page, 1), {literal(candidates.kind)}, searched_at, 'real' FROM visits "
        "ORDER BY source_row"
    )


def _insert_shown(log: Log, source: ImpressionSource) -> None:
    clicked = "bool_or(clicked)"
    if source.rows == "clicks" and source.clicked is None:
        clicked = "true"
    log.execute(
        "INSERT INTO impressions SELECT search_id, min(position), item_id, "
        f"min_by(price, source_row), {clicked}, bool_or(carted), bool_or(purchased), "
        "min(shown_at), min(clicked_at), min(purchased_at), NULL, 1.0, 'real' FROM shown "
        "GROUP BY search_id, item_id ORDER BY min(source_row)"
    )


def _insert_reconstructed(log: Log, candidates: Candidates, seed: int) -> None:
    """Add items drawn from the catalogue to every page; none of them was responded to."""
    by_category = candidates.pool == "same category"
    exponent = 0.0 if candidates.pool == "uniform" else candidates.popularity_exponent
    # One is added so that items nobody clicked are shown too; whole numbers add up exactly.
    log.execute(
        "CREATE OR REPLACE TEMP TABLE pool_items AS SELECT "
        f"{'coalesce(category, chr(0))' if by_category else chr(39) * 2} AS pool, item_id, "
        "greatest(1, round(1000 * (1 + coalesce(clicks, 0)) ** $exponent))::BIGINT AS weight "
        "FROM items LEFT JOIN "
        "(SELECT item_id, count(*) AS clicks FROM impressions GROUP BY item_id) "
        "USING (item_id)",
        {"exponent": exponent},
    )
    pool = "coalesce(min_by(category, source_row), chr(0))" if by_category else "''"
    log.execute(
        f"CREATE OR REPLACE TEMP TABLE targets AS SELECT search_id AS target, {pool} AS pool "
        "FROM shown JOIN items USING (item_id) GROUP BY search_id"
    )
    log.execute(
        "CREATE OR REPLACE TEMP TABLE taken AS "
        "SELECT DISTINCT search_id AS target, item_id FROM impressions"
    )
    draw_others(log, count=candidates.per_search, seed=seed, weighted=exponent > 0)
    log.execute(
        "INSERT INTO impressions SELECT target, NULL, drawn.item_id, NULL, false, "
        "CASE WHEN carts THEN false END, CASE WHEN buys THEN false END, searched_at, NULL, NULL, "
        "NULL, sample_rate, 'real' FROM drawn JOIN pages ON search_id = target, "
        "(SELECT count(carted) > 0 AS carts, count(purchased) > 0 AS buys FROM shown) "
        "ORDER BY source_row, draw"
    )
