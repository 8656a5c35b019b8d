"""A simulated run: shoppers go through the shop of a log, whole sessions are committed to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic

import pyarrow as pa

from footfall.errors import EngineAnswerError, PersonaError
from footfall.personas.persona import Persona
from footfall.progress import console, track
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd import Crowd, FinishedVisit, VisitSource
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.engines.shared_answers import SharedAnswers
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part
from footfall.simulator.memory import PastVisit, past_visits
from footfall.simulator.model_knowledge import check_model_knowledge
from footfall.simulator.persona_knowledge import check_persona_knowledge
from footfall.simulator.schedule import Schedule
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.session_rows import session_key, session_number, visit_rows
from footfall.simulator.shop_opening import OpenedShop, open_shop, read_run_configuration
from footfall.simulator.shopper import Shop
from footfall.simulator.simulation_cost import cost_line
from footfall.simulator.simulation_settings import SimulationSettings, SimulationSummary
from footfall.simulator.writer import LogWriter, committed_sessions

__all__ = ["Simulation", "SimulationSettings", "SimulationSummary", "user_rows"]

#: After this many answers the share of unusable ones decides whether to go on.
_ANSWERS_BEFORE_JUDGING = 100
#: Personas that are written in one piece: memory stays flat with the population.
_USERS_AT_ONCE = 1000


class Simulation:
    """Sends personas through the shop of a log and appends what they do to it.

    Parameters
    ----------
    log_path:
        The log with catalogue and real rows; synthetic rows are added to it.
    personas:
        Shoppers; they come as often as their activity says.
    engine:
        The language model.
    catalog:
        The shop's items; read from the log when not given.
    crowd_of:
        Makes what leads the shoppers through the opened shop: all of them here, against
        ``engine``, when not given.
    """

    def __init__(
        self,
        log_path: str | Path,
        personas: Sequence[Persona],
        engine: Engine,
        settings: SimulationSettings | None = None,
        *,
        catalog: Catalog | None = None,
        crowd_of: Callable[[Shop], VisitSource] | None = None,
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
        self._crowd_of = crowd_of
        self._shared = SharedAnswers(engine)
        self.run_id = self._identify()

    def run(self) -> SimulationSummary:
        """Simulate every session that the log does not hold yet.

        Interrupting keeps all committed sessions; calling again continues.

        Raises
        ------
        NoResponseError
            If the behaviour is to be fitted and the log has no response.
        DataError
            If the model was tuned, or a persona fitted, on more than the shoppers may know.
        EngineUnavailableError
            If the engine dies; everything committed so far is kept.
        EngineAnswerError
            If too many of the engine's answers are unusable.
        LogFullError
            If the disk is full; everything committed so far is kept.
        """
        began = monotonic()
        settings = self.settings
        # A run that was broken off leaves requests behind that this one knows nothing of.
        self._shared = SharedAnswers(self.engine)
        with Log.open(self.log_path, read_only=False) as log:
            part = log_part(log)
            check_model_knowledge(self.engine.identity, until=settings.until, part=part)
            check_persona_knowledge(self.personas, until=settings.until, part=part)
            catalog = self._catalog or Catalog.from_log(log, until=settings.until)
            arrivals = Arrivals.from_log(log, until=settings.until, weeks=settings.weeks)
            begun = read_run_configuration(log, self.run_id)
            opened = open_shop(
                log, catalog, self.personas, self._shared, settings, arrivals, begun=begun
            )
            self._start_run(log, opened)
            keys = committed_sessions(log, self.run_id)
            done = {session_number(key) for key in keys}
            summary = SimulationSummary(
                self.run_id,
                "running",
                settings.sessions,
                len(done),
                behaviour=opened.fit.behaviour,
            )
            schedule = Schedule.plan(
                self.personas, arrivals, sessions=settings.sessions, seed=settings.seed
            )
            self._announce(opened, len(done))
            self._simulate(log, opened.shop, schedule, done, summary)
            self._count(log, summary)
        summary.seconds = monotonic() - began
        return summary

    def _identify(self) -> str:
        """Run id from everything that decides what the run does."""
        identity = self.engine.identity
        digest = hashlib.sha256(
            "\n".join([self.settings.identity(), identity.model, identity.model_hash]).encode()
        )
        for persona in self.personas:
            digest.update(f"\n{persona.model_dump_json()}".encode())
        return f"sim-{digest.hexdigest()[:12]}"

    def _start_run(self, log: Log, opened: OpenedShop) -> None:
        identity = self.engine.identity
        until = self.settings.until
        log.start_run(
            self.run_id,
            "simulate",
            {
                "settings": json.loads(self.settings.identity()),
                "engine": opened.engine_kind,
                "fit": opened.fit.model_dump(mode="json"),
                "knowledge_until": until.isoformat() if until else None,
                "knowledge_part": log_part(log),
            },
            seed=self.settings.seed,
            model=identity.model,
            model_hash=identity.model_hash,
        )
        for first in range(0, len(self.personas), _USERS_AT_ONCE):
            block = self.personas[first : first + _USERS_AT_ONCE]
            log.append("users", user_rows(self.run_id, block))

    def _announce(self, opened: OpenedShop, done: int) -> None:
        todo = self.settings.sessions - done
        resumed = f" ({done:,} are in the log already)" if done else ""
        console.print(
            f"Run [bold]{self.run_id}[/bold]: {todo:,} sessions to simulate{resumed} with "
            f"{self.engine.identity.model}."
        )
        console.print(cost_line(todo, opened.fit.pilot, opened.shop))

    def _simulate(
        self,
        log: Log,
        shop: Shop,
        schedule: Schedule,
        done: set[int],
        summary: SimulationSummary,
    ) -> None:
        state = "failed"
        past = self._past(log) if done else {}
        writer = LogWriter(log, sessions_per_commit=self.settings.sessions_per_commit)
        todo = self.settings.sessions - len(done)
        try:
            crowd = self._crowd_of(shop) if self._crowd_of else self._crowd(shop)
            visits = crowd.run(schedule.itineraries(done), lambda shopper: past.get(shopper, ()))
            with track("Simulating sessions", total=todo) as progress, closing(visits):
                for finished in visits:
                    self._commit(writer, finished, summary)
                    progress.advance()
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
                summary.shared_answers = self._shared.shared
                log.end_run(self.run_id, state)

    def _crowd(self, shop: Shop) -> Crowd:
        return Crowd(
            shop,
            self.personas,
            self._shared,
            seed=self.settings.seed,
            concurrency=self.settings.concurrency,
        )

    def _past(self, log: Log) -> dict[int, Iterable[PastVisit]]:
        """Committed visits by the persona's index: what the shoppers remember of this run."""
        index = {
            f"{self.run_id}/{persona.persona_id}": number
            for number, persona in enumerate(self.personas)
        }
        return {
            index[user_id]: [visit for _, visit in visits]
            for user_id, visits in past_visits(log, self.run_id).items()
        }

    def _commit(
        self, writer: LogWriter, finished: FinishedVisit, summary: SimulationSummary
    ) -> None:
        visit = finished.visit
        summary.answers += visit.asked
        summary.unusable_answers += visit.unusable
        summary.vanished_items += visit.vanished
        summary.prompt_tokens += visit.prompt_tokens
        summary.output_tokens += visit.output_tokens
        writer.submit(
            visit_rows(
                visit,
                session_id=session_key(self.run_id, finished.number),
                user_id=f"{self.run_id}/{self.personas[finished.shopper].persona_id}",
                origin=self.run_id,
            )
        )
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
        summary.searches = log.count("searches", self.run_id)
        counts = log.response_counts(self.run_id)
        summary.impressions = counts["impressions"]
        summary.clicks = counts["clicks"]
        summary.purchases = counts["purchases"]


def user_rows(run_id: str, personas: Sequence[Persona]) -> pa.Table:
    """Personas as rows of the table ``users``, under ids of the run's own."""
    rows = [
        {
            "user_id": f"{run_id}/{persona.persona_id}",
            "locale": persona.locale,
            "demographics": json.dumps(persona.demographics, ensure_ascii=False),
            "persona": persona.model_copy(
                update={"persona_id": f"{run_id}/{persona.persona_id}"}
            ).model_dump_json(),
            "origin": run_id,
        }
        for persona in personas
    ]
    return pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS["users"])
