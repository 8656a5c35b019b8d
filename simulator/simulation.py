"""Many shoppers at once: the engine stays full, whole sessions are committed, runs resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from footfall.errors import EngineAnswerError, PersonaError
from footfall.personas.persona import Persona
from footfall.progress import ProgressTask, console, track
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Behaviour
from footfall.simulator.calibration import calibrate
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.engines.protocol import Answer, Engine, Request
from footfall.simulator.log import Log
from footfall.simulator.needs import NeedBook
from footfall.simulator.prompt_examples import read_query_examples
from footfall.simulator.prompts import PromptBook
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.session_rows import session_key, visit_rows
from footfall.simulator.shopper import Shop, Steps, Visit, visit
from footfall.simulator.writer import LogWriter, committed_sessions

__all__ = ["Simulation", "SimulationSettings", "SimulationSummary"]

#: After this many answers the share of unusable ones decides whether to go on.
_ANSWERS_BEFORE_JUDGING = 100


class SimulationSettings(BaseModel):
    """What to simulate. The same settings, personas and model are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sessions: int = Field(200, ge=1, description="Sessions to simulate.")
    until: datetime | None = Field(
        None,
        description="Nothing in the log after this time is used: the end of the training part. "
        "UTC where it names no zone.",
    )
    weeks: float = Field(
        8.0,
        gt=0,
        description="Sessions happen, and rates are fitted, in these weeks before `until`.",
    )
    page_size: int = Field(10, ge=1, le=100, description="Items on a page of results.")
    most_pages: int = Field(4, ge=1, description="A session ends after this many pages.")
    browsing_share: float = Field(
        0.1, ge=0, le=1, description="Share of sessions that begin without a query."
    )
    search: str = Field("bm25", description="Search engine: bm25, dense, hybrid or a plug-in.")
    recommender: str = Field("popularity", description="What is shown to those who browse.")
    concurrency: int = Field(48, ge=1, description="Shoppers in the shop at the same time.")
    scored_slates: int = Field(
        40, ge=0, description="Real slates that the engine scores to fit the click curve."
    )
    behaviour: Literal["fit", "prior"] = Field(
        "fit", description="Fit the rates on the real log, or use the documented priors."
    )
    largest_unusable_share: float = Field(
        0.5, gt=0, le=1, description="Stop when more of the engine's answers are unusable."
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @field_validator("until")
    @classmethod
    def _as_the_log(cls, until: datetime | None) -> datetime | None:
        return utc_moment(until)


@dataclass(slots=True)
class SimulationSummary:
    """What a run did. Token counts are of this call only, not of resumed parts."""

    run_id: str
    state: str
    sessions: int
    already_done: int
    searches: int = 0
    impressions: int = 0
    clicks: int = 0
    purchases: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    answers: int = 0
    unusable_answers: int = 0
    seconds: float = 0.0
    behaviour: Behaviour = field(default_factory=Behaviour)


@dataclass(slots=True)
class _Active:
    """A visit in progress and the answers that it waits for."""

    number: int
    persona: Persona
    steps: Steps
    tickets: list[int] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)


class Simulation:
    """Sends personas through the shop of a log and appends what they do to it.

    Parameters
    ----------
    log_path:
        The log with catalogue and real rows; synthetic rows are added to it.
    personas:
        Shoppers; session number ``n`` belongs to persona ``n % len(personas)``.
    engine:
        The language model.
    catalog:
        The shop's items; read from the log when not given.
    """

    def __init__(
        self,
        log_path: str | Path,
        personas: Sequence[Persona],
        engine: Engine,
        settings: SimulationSettings | None = None,
        *,
        catalog: Catalog | None = None,
    ) -> None:
        if not personas:
            raise PersonaError(
                "There are no personas to simulate.", hint="Make some with `footfall personas`."
            )
        self.log_path = Path(log_path)
        self.personas = list(personas)
        self.engine = engine
        self.settings = settings or SimulationSettings()
        self._catalog = catalog
        self.run_id = self._identify()

    def run(self) -> SimulationSummary:
        """Simulate every session that the log does not hold yet.

        Interrupting keeps all committed sessions; calling again continues.

        Raises
        ------
        NoResponseError
            If the behaviour is to be fitted and the log has no response.
        EngineUnavailableError
            If the engine dies; everything committed so far is kept.
        EngineAnswerError
            If too many of the engine's answers are unusable.
        LogFullError
            If the disk is full; everything committed so far is kept.
        """
        began = monotonic()
        with Log.open(self.log_path, read_only=False) as log:
            catalog = self._catalog or Catalog.from_log(log, until=self.settings.until)
            arrivals = Arrivals.from_log(log, until=self.settings.until, weeks=self.settings.weeks)
            shop = self._prepare(log, catalog)
            done = committed_sessions(log, self.run_id)
            summary = SimulationSummary(
                self.run_id, "running", self.settings.sessions, len(done), behaviour=shop.behaviour
            )
            todo = [
                number
                for number in range(self.settings.sessions)
                if session_key(self.run_id, number) not in done
            ]
            self._announce(len(todo), len(done), shop)
            self._simulate(log, shop, arrivals, todo, summary)
            self._count(log, summary)
        summary.seconds = monotonic() - began
        return summary

    def _identify(self) -> str:
        """Run id from everything that decides what the run does."""
        identity = self.engine.identity
        parts = [
            self.settings.model_dump_json(exclude={"concurrency"}),
            identity.model,
            identity.model_hash,
            *(persona.model_dump_json() for persona in self.personas),
        ]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return f"sim-{digest[:12]}"

    def _prepare(self, log: Log, catalog: Catalog) -> Shop:
        """The shop, with the behaviour of an earlier part of this run or a fresh fit."""
        settings = self.settings
        prompts = PromptBook(read_query_examples(log, until=settings.until, seed=settings.seed))
        stored = log.query(
            "SELECT configuration FROM runs WHERE run_id = $run_id", {"run_id": self.run_id}
        ).to_pylist()
        kind = self.engine.identity.kind
        if stored:
            begun = json.loads(stored[0]["configuration"])
            behaviour = Behaviour.model_validate(begun["behaviour"])
            # The same model may answer in another way: a server, or a recording of it.
            kind = begun["engine"]
        elif settings.behaviour == "prior":
            behaviour = Behaviour()
        else:
            behaviour = calibrate(
                log,
                catalog,
                self.engine,
                prompts,
                until=settings.until,
                scored_slates=settings.scored_slates,
                page_size=settings.page_size,
                weeks=settings.weeks,
                seed=settings.seed,
            )
        shop = Shop(
            catalog=catalog,
            search=open_search(settings.search, catalog),
            recommender=open_recommender(settings.recommender, catalog),
            needs=NeedBook(catalog),
            prompts=prompts,
            behaviour=behaviour,
            page_size=settings.page_size,
            most_pages=settings.most_pages,
            browsing_share=settings.browsing_share,
        )
        self._start_run(log, behaviour, kind)
        return shop

    def _start_run(self, log: Log, behaviour: Behaviour, kind: str) -> None:
        identity = self.engine.identity
        until = self.settings.until
        log.start_run(
            self.run_id,
            "simulate",
            {
                "settings": self.settings.model_dump(mode="json", exclude={"concurrency"}),
                "engine": kind,
                "behaviour": behaviour.model_dump(mode="json"),
                "knowledge_until": until.isoformat() if until else None,
            },
            seed=self.settings.seed,
            model=identity.model,
            model_hash=identity.model_hash,
        )
        log.append("users", _user_rows(self.run_id, self.personas))

    def _announce(self, todo: int, done: int, shop: Shop) -> None:
        requests = int(todo * 1.5 * (shop.page_size + 1))
        resumed = f" ({done:,} are in the log already)" if done else ""
        console.print(
            f"Run [bold]{self.run_id}[/bold]: {todo:,} sessions to simulate{resumed}, "
            f"about {requests:,} requests to {self.engine.identity.model}."
        )

    def _simulate(
        self,
        log: Log,
        shop: Shop,
        arrivals: Arrivals,
        todo: list[int],
        summary: SimulationSummary,
    ) -> None:
        state = "failed"
        writer = LogWriter(log)
        try:
            with track("Simulating sessions", total=len(todo)) as progress:
                self._drive(writer, shop, arrivals, todo, summary, progress)
            writer.flush()
            self._judge(summary, fewest_answers=1)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            console.print("Interrupted: every finished session is kept; run again to continue.")
        finally:
            try:
                writer.close()
            finally:
                summary.state = state
                log.end_run(self.run_id, state)

    def _drive(
        self,
        writer: LogWriter,
        shop: Shop,
        arrivals: Arrivals,
        todo: list[int],
        summary: SimulationSummary,
        progress: ProgressTask,
    ) -> None:
        waiting: dict[int, _Active] = {}
        numbers = iter(todo)
        active = 0
        while True:
            while active < self.settings.concurrency:
                number = next(numbers, None)
                if number is None:
                    break
                active += 1
                entry = self._enter(shop, arrivals, number)
                finished = self._advance(entry, None, waiting)
                if finished:
                    active -= 1
                    self._commit(writer, entry, finished, summary, progress)
            if not waiting:
                return
            for ticket, answer in self.engine.collect():
                entry = waiting.pop(ticket)
                entry.answers[ticket] = answer
                if len(entry.answers) < len(entry.tickets):
                    continue
                answers = [entry.answers[t] for t in entry.tickets]
                finished = self._advance(entry, answers, waiting)
                if finished:
                    active -= 1
                    self._commit(writer, entry, finished, summary, progress)

    def _enter(self, shop: Shop, arrivals: Arrivals, number: int) -> _Active:
        rng = np.random.default_rng([self.settings.seed, number])
        persona = self.personas[number % len(self.personas)]
        steps = visit(shop, persona, rng, arrivals.draw(rng), str(number))
        return _Active(number, persona, steps)

    def _advance(
        self, entry: _Active, answers: list[Answer] | None, waiting: dict[int, _Active]
    ) -> Visit | None:
        """Resume a visit; return it when it has ended, else queue what it asks."""
        try:
            requests: list[Request] = (
                next(entry.steps) if answers is None else entry.steps.send(answers)
            )
        except StopIteration as end:
            finished: Visit = end.value
            return finished
        entry.answers = {}
        entry.tickets = [self.engine.submit(request) for request in requests]
        waiting.update(dict.fromkeys(entry.tickets, entry))
        return None

    def _commit(
        self,
        writer: LogWriter,
        entry: _Active,
        finished: Visit,
        summary: SimulationSummary,
        progress: ProgressTask,
    ) -> None:
        summary.answers += finished.asked
        summary.unusable_answers += finished.unusable
        summary.prompt_tokens += finished.prompt_tokens
        summary.output_tokens += finished.output_tokens
        writer.submit(
            visit_rows(
                finished,
                session_id=session_key(self.run_id, entry.number),
                user_id=f"{self.run_id}/{entry.persona.persona_id}",
                origin=self.run_id,
            )
        )
        progress.advance()
        self._judge(summary)

    def _judge(
        self, summary: SimulationSummary, *, fewest_answers: int = _ANSWERS_BEFORE_JUDGING
    ) -> None:
        if summary.answers < fewest_answers:
            return
        share = summary.unusable_answers / summary.answers
        if share > self.settings.largest_unusable_share:
            raise EngineAnswerError(
                f"{share:.0%} of {summary.answers:,} answers of {self.engine.identity.model} "
                "were empty or not among the options.",
                hint="Finished sessions are kept. Try another model, or check that the address "
                "serves a language model; raise `largest_unusable_share` to go on regardless.",
            )

    def _count(self, log: Log, summary: SimulationSummary) -> None:
        row = log.query(
            """
            SELECT count(*) AS impressions, count(*) FILTER (clicked) AS clicks,
                   count(*) FILTER (purchased) AS purchases
            FROM impressions WHERE origin = $run_id
            """,
            {"run_id": self.run_id},
        ).to_pylist()[0]
        summary.searches = log.scalar(
            "SELECT count(*) FROM searches WHERE origin = $run_id", {"run_id": self.run_id}
        )
        summary.impressions = row["impressions"]
        summary.clicks = row["clicks"]
        summary.purchases = row["purchases"]


def _user_rows(run_id: str, personas: list[Persona]) -> pa.Table:
    named = [
        persona.model_copy(update={"persona_id": f"{run_id}/{persona.persona_id}"})
        for persona in personas
    ]
    rows = [
        {
            "user_id": persona.persona_id,
            "locale": persona.locale,
            "demographics": json.dumps(persona.demographics, ensure_ascii=False),
            "persona": persona.model_dump_json(),
            "origin": run_id,
        }
        for persona in named
    ]
    return pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS["users"])
