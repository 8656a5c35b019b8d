"""Named, append-only steps that bring an older log up to the present schema version.

A new schema version appends one :class:`Migration` to :data:`MIGRATIONS` and never edits an earlier
one: files in the wild may have stopped at any step. Version 1 is the first, so there is none yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from footfall.errors import LogVersionError
from footfall.simulator.schema import SCHEMA_VERSION

__all__ = ["MIGRATIONS", "Migration", "migrate", "plan"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from schema version ``to_version - 1`` to ``to_version``.

    Parameters
    ----------
    name:
        Unique and permanent; stored in the file as ``migration:<name>``.
    to_version:
        Schema version that the file has afterwards.
    statements:
        SQL, run in order inside one transaction.
    """

    name: str
    to_version: int
    statements: tuple[str, ...]


#: In ascending order of ``to_version``.
MIGRATIONS: tuple[Migration, ...] = ()


def plan(
    version: int,
    *,
    target: int = SCHEMA_VERSION,
    registry: Sequence[Migration] | None = None,
) -> tuple[Migration, ...]:
    """Return the steps from ``version`` to ``target``, in order.

    Raises
    ------
    LogVersionError
        If the file is newer than ``target`` or a step is missing.
    """
    if version > target:
        raise LogVersionError(
            f"The log has schema version {version}; this Footfall knows versions up to {target}.",
            hint="Upgrade with `pip install --upgrade footfall`.",
        )
    known = {step.to_version: step for step in (MIGRATIONS if registry is None else registry)}
    missing = [number for number in range(version + 1, target + 1) if number not in known]
    if missing:
        raise LogVersionError(
            f"The log has schema version {version} and cannot be migrated to {target}: "
            f"there is no step to version {missing[0]}.",
            hint="Make the log again from its sources with `footfall ingest`.",
        )
    return tuple(known[number] for number in range(version + 1, target + 1))


def migrate(
    connection: duckdb.DuckDBPyConnection,
    version: int,
    *,
    target: int = SCHEMA_VERSION,
    registry: Sequence[Migration] | None = None,
) -> tuple[str, ...]:
    """Run the missing steps, all in one transaction; return their names.

    Raises
    ------
    LogVersionError
        As :func:`plan` does, or if a step fails; the file is then as it was.
    """
    steps = plan(version, target=target, registry=registry)
    if not steps:
        return ()
    connection.execute("BEGIN TRANSACTION")
    try:
        for step in steps:
            _apply(connection, step)
        connection.execute("COMMIT")
    except duckdb.Error as error:
        connection.execute("ROLLBACK")
        raise LogVersionError(
            f"Migrating the log from schema version {version} to {target} failed: {error}.",
            hint="The file is unchanged. Make the log again from its sources.",
        ) from error
    return tuple(step.name for step in steps)


def _apply(connection: duckdb.DuckDBPyConnection, step: Migration) -> None:
    for statement in step.statements:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO footfall_meta VALUES ('migration:' || ?, strftime(now()::TIMESTAMP, '%c'))",
        [step.name],
    )
    connection.execute(
        "UPDATE footfall_meta SET value = ? WHERE key = 'schema_version'", [str(step.to_version)]
    )
