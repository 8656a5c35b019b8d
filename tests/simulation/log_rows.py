"""Rows of one run: as plain records, so that logs can be compared, and what is wrong with them."""

from footfall.simulator.log import Log

TABLES = ("sessions", "searches", "impressions", "users")

# Each statement finds rows that no whole session can have.
_BROKEN = {
    "a session without an end": """
        SELECT session_id FROM sessions WHERE origin = $run
        AND (ended_at IS NULL OR ended_by IS NULL OR ended_at < started_at)
    """,
    "a session without its user": """
        SELECT session_id FROM sessions WHERE origin = $run
        AND user_id NOT IN (SELECT user_id FROM users WHERE origin = $run)
    """,
    "a session without a search": """
        SELECT session_id FROM sessions WHERE origin = $run AND ended_by <> 'no query'
        AND session_id NOT IN (SELECT session_id FROM searches WHERE origin = $run)
    """,
    "a search of no session": """
        SELECT search_id FROM searches WHERE origin = $run
        AND session_id NOT IN (SELECT session_id FROM sessions WHERE origin = $run)
    """,
    "a session whose steps have gaps": """
        SELECT session_id FROM searches WHERE origin = $run GROUP BY session_id
        HAVING min(step) <> 1 OR max(step) <> count(*) OR count(DISTINCT step) <> count(*)
    """,
    "an impression of no search": """
        SELECT search_id FROM impressions WHERE origin = $run
        AND search_id NOT IN (SELECT search_id FROM searches WHERE origin = $run)
    """,
    "a search whose positions have gaps": """
        SELECT search_id FROM impressions WHERE origin = $run GROUP BY search_id
        HAVING min(position) <> 1 OR max(position) <> count(*)
            OR count(DISTINCT position) <> count(*) OR count(DISTINCT item_id) <> count(*)
    """,
}


def synthetic_rows(path, run_id):
    with Log.open(path) as log:
        return {
            table: sorted(
                log.query(
                    f"SELECT * FROM {table} WHERE origin = $run", {"run": run_id}
                ).to_pylist(),
                key=str,
            )
            for table in TABLES
        }


def broken_rows(log, run_id):
    """What is wrong with a run's rows, each with an example; empty when all sessions are whole."""
    found = {}
    for fault, statement in _BROKEN.items():
        rows = log.query(statement, {"run": run_id})
        if len(rows):
            found[fault] = rows.column(0)[0].as_py()
    return found


def kept_sessions(path, run_id):
    """Number of committed sessions, all of which are whole."""
    with Log.open(path) as log:
        assert broken_rows(log, run_id) == {}
        return log.count("sessions", run_id)
