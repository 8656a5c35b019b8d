"""A run without a language model in the log, in the tables of every other simulated run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import PersonaError
from footfall.personas.persona import Persona
from footfall.progress import console, print_lines
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.fast.baseline import BaselineClient
from footfall.simulator.fast.crowd import FastCrowd
from footfall.simulator.fast.plan import SHOPPER, VisitPlan
from footfall.simulator.fast.settings import FastSettings, FastSummary
from footfall.simulator.fast.shop import FastShop
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part
from footfall.simulator.persona_knowledge import check_persona_knowledge
from footfall.simulator.schedule import Schedule
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.session_rows import session_key
from footfall.simulator.simulation import user_rows

__all__ = ["FAST_MODEL", "FastSimulation", "log_rows"]

#: The model's name in the table of runs.
FAST_MODEL: Final = "fast"


class FastSimulation:
    """Sends personas through the shop of a log without a language model.

    A run is written in one transaction when all its sessions are there: the log has it whole, or
    nothing of it but its row among the runs. The same call on a finished run only reads it.

    Parameters
    ----------
    log_path:
        The log with catalogue and real rows.
    personas:
        Shoppers; they come as often as their activity says.
    settings:
        What to simulate.

    Attributes
    ----------
    run_id:
        A hash of settings and personas: the same call finds its own run.
    """

    def __init__(
        self,
        log_path: str | Path,
        personas: Sequence[Persona],
        settings: FastSettings | None = None,
    ) -> None:
        if not personas:
            raise PersonaError(
                "There are no personas to simulate.", hint="Make some with `footfall personas`."
            )
        self.log_path = Path(log_path)
        self.personas = list(personas)
        self.settings = settings or FastSettings()
        self.run_id = self._identify()

    def run(self) -> FastSummary:
        """Simulate all sessions and write them; or read the run that the log has already.

        Raises
        ------
        DataError
            If a persona was fitted on more than the run may know.
        NoResponseError
            If the log records neither clicks nor purchases before ``until``.
        SettingError
            If a search engine or recommender cannot be opened.
        """
        began = monotonic()
        with Log.open(self.log_path, read_only=False) as log:
            found = log.scalar("SELECT state FROM runs WHERE run_id = ?", [self.run_id])
            if found == "finished":
                console.print(f"Run [bold]{self.run_id}[/bold] is in the log already.")
                return self._summary(log, began, 0.0)
            until, part = self.settings.until, log_part(log)
            check_persona_knowledge(self.personas, until=until, part=part)
            console.print(
                f"Run [bold]{self.run_id}[/bold]: {self.settings.sessions:,} sessions to simulate "
                "without a language model."
            )
            log.start_run(
                self.run_id,
                "simulate",
                self._configuration(log),
                seed=self.settings.seed,
                model=FAST_MODEL,
            )
            state = "failed"
            try:
                seconds = self._simulate(log)
                state = "finished"
            except KeyboardInterrupt:
                state = "interrupted"
                raise
            finally:
                log.end_run(self.run_id, state)
            return self._summary(log, began, self.settings.sessions / max(seconds, 1e-9))

    def _identify(self) -> str:
        """Run id from everything that decides what the run does."""
        settings = json.dumps(self.settings.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(f"{FAST_MODEL}\n{settings}".encode())
        for persona in self.personas:
            digest.update(f"\n{persona.model_dump_json()}".encode())
        return f"fast-{digest.hexdigest()[:12]}"

    def _configuration(self, log: Log) -> dict[str, Any]:
        until = self.settings.until
        return {
            "settings": self.settings.model_dump(mode="json"),
            "engine": FAST_MODEL,
            "knowledge_until": until.isoformat() if until else None,
            "knowledge_part": log_part(log),
        }

    def _simulate(self, log: Log) -> float:
        """Fit, simulate and write; the seconds that the crowd took."""
        settings = self.settings
        arrivals = Arrivals.from_log(log, until=settings.until, weeks=settings.weeks)
        catalog = Catalog.from_log(log, until=settings.until)
        client = BaselineClient(
            open_search(settings.search, catalog), open_recommender(settings.recommender, catalog)
        )
        shop = FastShop.open(
            log,
            self.personas,
            until=settings.until,
            page_size=settings.page_size,
            most_pages=settings.most_pages,
            weeks=settings.weeks,
            encoder=settings.encoder,
            baseline=client,
            pilot_sessions=settings.pilot_sessions,
            seed=settings.seed,
        )
        print_lines("Fitted on the real log:", list(shop.notes))
        plan = scheduled_plan(self.personas, arrivals, settings.sessions, settings.seed)
        began = monotonic()
        crowd = FastCrowd(
            shop,
            client,
            seed=settings.seed,
            browse_share=settings.browsing_share,
            ideal=False,
        )
        events = crowd.run(plan)
        seconds = monotonic() - began
        with log.transaction():
            log.append("users", user_rows(self.run_id, self.personas))
            for name, rows in log_rows(events, self.run_id).items():
                log.append(name, rows)
        return seconds

    def _summary(self, log: Log, began: float, sessions_per_second: float) -> FastSummary:
        return FastSummary(
            run_id=self.run_id,
            state="finished",
            sessions=log.count("sessions", self.run_id),
            searches=log.count("searches", self.run_id),
            seconds=monotonic() - began,
            sessions_per_second=sessions_per_second,
            **log.response_counts(self.run_id),
        )


def scheduled_plan(
    personas: Sequence[Persona], arrivals: Arrivals, sessions: int, seed: int
) -> VisitPlan:
    """The visits that a simulation with a language model has, in the weeks before `until`."""
    schedule = Schedule.plan(personas, arrivals, sessions=sessions, seed=seed)
    visits = [
        (visit.number, itinerary.shopper, visit.started_at)
        for itinerary in schedule.itineraries()
        for visit in itinerary.visits
    ]
    started = np.array([moment for _, _, moment in visits], dtype="datetime64[us]")
    first = started.min().astype("datetime64[D]")
    return VisitPlan(
        number=np.array([number for number, _, _ in visits], dtype=np.int64),
        shopper=np.array([shopper for _, shopper, _ in visits], dtype=np.int64),
        started_at=started,
        day=(started.astype("datetime64[D]") - first).astype(np.int32),
        role=np.full(len(visits), SHOPPER, dtype=np.int8),
    )


def log_rows(events: CrowdEvents, run_id: str) -> dict[str, pa.Table]:
    """Events as rows of the tables ``sessions``, ``searches`` and ``impressions``."""
    visits, pages, shown = events.visits, events.pages, events.impressions
    numbers = visits["session_id"].to_pylist()
    named = {old: session_key(run_id, int(old)) for old in numbers}
    of_page = pa.array([named[old] for old in pages["session_id"].to_pylist()], pa.string())
    steps = pc.utf8_lpad(pages["step"].cast(pa.string()), 2, "0")
    search = pc.binary_join_element_wise(of_page, steps.combine_chunks(), "/")
    place = pc.index_in(shown["search_id"], value_set=pages["search_id"].combine_chunks())
    place = place.combine_chunks()
    moment = pages["searched_at"].take(place)

    def when(happened: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.if_else(happened, moment, pa.scalar(None, moment.type))

    return {
        "sessions": _table(
            "sessions",
            run_id,
            session_id=pa.array([named[old] for old in numbers], pa.string()),
            user_id=pc.binary_join_element_wise(run_id, visits["shopper_id"], "/"),
            started_at=visits["started_at"],
            ended_at=visits["ended_at"],
            ended_by=visits["ended_by"],
        ),
        "searches": _table(
            "searches",
            run_id,
            search_id=search,
            session_id=of_page,
            step=pages["step"],
            query=pages["query"],
            answered_by=pages["answered_by"],
            page=pages["page"],
            candidates=pa.repeat("simulated", len(pages)),
            searched_at=pages["searched_at"],
        ),
        "impressions": _table(
            "impressions",
            run_id,
            search_id=search.take(place),
            position=shown["position"],
            item_id=shown["item_id"],
            price=shown["price"],
            clicked=shown["clicked"],
            carted=shown["carted"],
            purchased=shown["purchased"],
            shown_at=moment,
            clicked_at=when(shown["clicked"]),
            purchased_at=when(shown["purchased"]),
            sample_rate=pa.repeat(1.0, len(shown)),
        ),
    }


def _table(name: str, run_id: str, **columns: Any) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table(
        [
            pa.repeat(run_id, count)
            if field.name == "origin"
            else columns.get(field.name, pa.nulls(count, field.type)).cast(field.type)
            for field in ARROW_SCHEMAS[name]
        ],
        schema=ARROW_SCHEMAS[name],
    )
