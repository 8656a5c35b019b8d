"""Rows of one run as plain records, in an order of their own, so that logs can be compared."""

from footfall.simulator.log import Log

TABLES = ("sessions", "searches", "impressions", "users")


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
