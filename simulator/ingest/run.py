"""Ingest of any log through a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from footfall.errors import EmptyLogError, NoResponseError, SettingError
from footfall.simulator.ingest.catalogue import fill_items, fill_known_users, fill_other_users
from footfall.simulator.ingest.events import fill_impressions, fill_purchases
from footfall.simulator.ingest.mapping import (
    ImpressionSource,
    ItemSource,
    Mapping,
    PurchaseSource,
    Source,
    UserSource,
    load_mapping,
)
from footfall.simulator.ingest.partial import building
from footfall.simulator.ingest.report import IngestReport, report_on
from footfall.simulator.ingest.sources import Stage, set_aside, stage
from footfall.simulator.ingest.values import Typed, check_reject_share, read_values
from footfall.simulator.log import Log

__all__ = ["ingest_mapping"]


def ingest_mapping(
    mapping: Mapping | str | Path,
    source_folder: str | Path,
    log_path: str | Path,
    *,
    max_reject_share: float = 0.01,
    seed: int = 0,
    memory_limit: str = "2GB",
    threads: int = 2,
) -> IngestReport:
    """Make a log from files, as a mapping says.

    Parameters
    ----------
    mapping:
        A mapping, the name of a packaged one, or the path of a TOML file.
    source_folder:
        Folder that the mapping's files are in.
    log_path:
        The new log. It appears when it is complete, or not at all.
    max_reject_share:
        Share of a source's rows, 0 to 1, that may be malformed.
    seed:
        Of the draw of reconstructed candidates.
    memory_limit, threads:
        What DuckDB may use.

    Raises
    ------
    SettingError
        If the mapping is wrong: an unknown field, a column that the file lacks.
    DataError
        If a file is missing or unreadable, or a column of times has none.
    EmptyLogError, NoResponseError, CatalogueError, TooManyRejectsError
        If there are no rows, no positive responses, contradicting items, or too many bad rows.
    LogError
        If ``log_path`` exists.
    """
    started = perf_counter()
    if not isinstance(mapping, Mapping):
        mapping = load_mapping(mapping)
    if not 0 <= max_reject_share <= 1:
        raise SettingError(f"max_reject_share is {max_reject_share}; it must be from 0 to 1.")
    log_path = Path(log_path)
    with building(log_path, memory_limit=memory_limit, threads=threads) as log:
        ingest = _Ingest(log, mapping, Path(source_folder), max_reject_share, seed)
        ingest.run()
        report = report_on(
            log,
            log_path,
            ingest.run_id,
            collapsed=ingest.collapsed,
            source_rows=ingest.source_rows,
            seconds=0.0,
        )
    return replace(report, seconds=perf_counter() - started)


class _Ingest:
    """One ingest: the log being built and what is known about it so far."""

    def __init__(
        self, log: Log, mapping: Mapping, folder: Path, max_reject_share: float, seed: int
    ) -> None:
        self.log = log
        self.mapping = mapping
        self.folder = folder
        self.allowed = max_reject_share
        self.seed = seed
        self.run_id = f"ingest-{mapping.name}"
        self.collapsed: dict[str, int] = {}
        self.source_rows: dict[str, int] = {}

    def run(self) -> None:
        configuration = self.mapping.model_dump(mode="json", by_alias=True)
        self.log.start_run(self.run_id, "ingest", configuration, seed=self.seed)
        self._items(self.mapping.items)
        if self.mapping.users is not None:
            self._users(self.mapping.users)
        if self.mapping.impressions is not None:
            self._impressions(self.mapping.impressions)
        if self.mapping.purchases is not None:
            self._purchases(self.mapping.purchases)
        fill_other_users(self.log, self.mapping.locale)
        self._check_responses()
        self.log.end_run(self.run_id, "finished")

    def _items(self, source: ItemSource) -> None:
        stage_ = self._read("items", source, _ITEM_VALUES)
        check_reject_share(self.log, stage_, self.allowed)
        self.collapsed["items"] = fill_items(self.log, stage_.label)

    def _users(self, source: UserSource) -> None:
        attributes = list(source.demographics)
        extra = [
            Typed(f"attribute_{number}", "text", source.demographics[name])
            for number, name in enumerate(attributes)
        ]
        stage_ = self._read("users", source, _USER_VALUES, extra)
        check_reject_share(self.log, stage_, self.allowed)
        self.collapsed["users"] = fill_known_users(self.log, self.mapping.locale, attributes)

    def _impressions(self, source: ImpressionSource) -> None:
        keys = [
            Typed(f"same_search_{number}", "text", value)
            for number, value in enumerate(source.same_search)
        ]
        stage_ = self._read("impressions", source, _IMPRESSION_VALUES, keys)
        self._set_aside_unknown_items("impressions", stage_)
        check_reject_share(self.log, stage_, self.allowed)
        self.collapsed["impressions"] = fill_impressions(self.log, self.mapping, source, self.seed)

    def _purchases(self, source: PurchaseSource) -> None:
        stage_ = self._read("purchases", source, _PURCHASE_VALUES)
        self._set_aside_unknown_items("purchases", stage_)
        check_reject_share(self.log, stage_, self.allowed)
        fill_purchases(self.log)

    def _read(
        self,
        section: str,
        source: Source,
        values: Sequence[Typed],
        extra: Sequence[Typed] = (),
    ) -> Stage:
        stage_ = stage(self.log, section, source, self.folder, self.run_id)
        self.source_rows[section] = stage_.rows
        mapped = [
            Typed(typed.name, typed.kind, getattr(source, typed.name), typed.required)
            for typed in values
        ]
        read_values(self.log, section, source, stage_, [*mapped, *extra], run_id=self.run_id)
        return stage_

    def _set_aside_unknown_items(self, section: str, stage_: Stage) -> None:
        unknown = f"FROM rows_{section} ANTI JOIN items USING (item_id)"
        set_aside(
            self.log,
            stage_,
            self.run_id,
            f"SELECT source_row, 'item_id is not in the catalogue' AS reason {unknown}",
        )
        self.log.execute(
            f"CREATE OR REPLACE TEMP TABLE rows_{section} AS "
            f"SELECT * FROM rows_{section} SEMI JOIN items USING (item_id)"
        )

    def _check_responses(self) -> None:
        if not self.log.count("impressions") and not self.log.count("purchases"):
            raise EmptyLogError(
                "No row of the log is usable: there are neither impressions nor purchases.",
                hint="Check the mapping, or that the files are the right ones.",
            )
        positive = self.log.scalar(
            "SELECT EXISTS (FROM impressions WHERE clicked OR carted OR purchased)"
        )
        if not positive and not self.log.count("purchases"):
            raise NoResponseError(
                "The log has no positive response: nothing was clicked, carted or bought.",
                hint="Map clicked, carted, purchased or [purchases] to the column that says so.",
            )


_ITEM_VALUES = (
    Typed("item_id", "id", None, required=True),
    Typed("text", "text", None, required=True),
    Typed("category", "text", None),
    Typed("brand", "text", None),
    Typed("price", "number", None),
    Typed("first_seen", "time", None),
)
_USER_VALUES = (Typed("user_id", "id", None, required=True),)
_IMPRESSION_VALUES = (
    Typed("item_id", "id", None, required=True),
    Typed("user_id", "id", None, required=True),
    Typed("session_id", "id", None, required=True),
    Typed("search_id", "id", None, required=True),
    Typed("query", "text", None),
    Typed("answered_by", "text", None),
    Typed("page", "count", None),
    Typed("place", "text", None),
    Typed("position", "count", None),
    Typed("price", "number", None),
    Typed("shown_at", "time", None, required=True),
    Typed("clicked", "flag", None, required=True),
    Typed("clicked_at", "time", None),
    Typed("carted", "flag", None, required=True),
    Typed("purchased", "flag", None, required=True),
    Typed("purchased_at", "time", None),
)
_PURCHASE_VALUES = (
    Typed("user_id", "id", None, required=True),
    Typed("item_id", "id", None, required=True),
    Typed("session_id", "id", None),
    Typed("place", "text", None),
    Typed("quantity", "number", None),
    Typed("amount", "number", None),
    Typed("purchased_at", "time", None, required=True),
)
