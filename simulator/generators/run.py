"""A run of a generator: it is fitted on the log, and its sessions are written into the same log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import pyarrow as pa

from footfall.errors import PersonaError
from footfall.personas.persona import Persona
from footfall.progress import console, track
from footfall.simulator.catalog import Catalog
from footfall.simulator.generators.protocol import SessionGenerator, checked_block
from footfall.simulator.generators.registry import open_generator
from footfall.simulator.generators.rows import log_rows
from footfall.simulator.generators.settings import GenerationSettings, GenerationSummary
from footfall.simulator.generators.shoppers import ShopperOdds, population
from footfall.simulator.generators.start_times import StartTimes
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part
from footfall.simulator.persona_knowledge import check_persona_knowledge
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.writer import LogWriter

__all__ = ["GenerationRun"]

#: Seeds of what the run draws besides the generator's own sessions.
_SHOPPERS, _TIMES = 1, 2


class GenerationRun:
    """Fits a generator on a log and appends its sessions to it.

    Parameters
    ----------
    log_path:
        The log with catalogue and real rows.
    settings:
        What to generate.
    personas:
        Who the shoppers are; fitted on the log before ``until`` when not given.

    Attributes
    ----------
    run_id:
        A hash of settings and personas: the same call finds its own run.
    """

    def __init__(
        self,
        log_path: str | Path,
        settings: GenerationSettings | None = None,
        *,
        personas: Sequence[Persona] | None = None,
    ) -> None:
        if personas is not None and not personas:
            raise PersonaError(
                "There are no personas to generate sessions of.",
                hint="Make some with `footfall personas`, or leave them out.",
            )
        self.log_path = Path(log_path)
        self.settings = settings or GenerationSettings()
        self.personas = None if personas is None else list(personas)
        self._generator = open_generator(self.settings.generator, **self.settings.options)
        self.run_id = self._identify()

    def run(self) -> GenerationSummary:
        """Generate every session that the log does not hold yet.

        Interrupting keeps all committed sessions; calling again adds the others. A run that is
        finished is only read.

        Raises
        ------
        EmptyLogError
            If there is nothing to learn from.
        MissingPartError
            If the generator needs a package that is not installed.
        DataError
            If what the generator gives does not fit its protocol, or a persona was fitted on more
            than the run may know.
        """
        began = monotonic()
        with Log.open(self.log_path, read_only=False) as log:
            found = log.scalar("SELECT state FROM runs WHERE run_id = ?", [self.run_id])
            if found == "finished":
                console.print(f"Run [bold]{self.run_id}[/bold] is in the log already.")
                return self._summary(log, "finished", began)
            until, part = self.settings.until, log_part(log)
            check_persona_knowledge(self.personas or (), until=until, part=part)
            self._announce()
            generator = self._generator.fit(log, until=self.settings.until, seed=self.settings.seed)
            people = self.personas or population(
                log, self.settings.shoppers, until=self.settings.until, seed=self.settings.seed
            )
            self._start(log, people)
            state = self._write(log, generator, people)
            return self._summary(log, state, began)

    def _identify(self) -> str:
        settings = json.dumps(self.settings.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(f"{self._generator.name}\n{settings}".encode())
        for persona in self.personas or ():
            digest.update(f"\n{persona.model_dump_json()}".encode())
        return f"gen-{digest.hexdigest()[:12]}"

    def _announce(self) -> None:
        console.print(
            f"Run [bold]{self.run_id}[/bold]: {self.settings.sessions:,} sessions to generate "
            f"with {self._generator.name}."
        )

    def _start(self, log: Log, people: Sequence[Persona]) -> None:
        until = self.settings.until
        configuration = {
            "settings": self.settings.model_dump(mode="json"),
            "generator": self._generator.name,
            "knowledge_until": until.isoformat() if until else None,
            "knowledge_part": log_part(log),
        }
        log.start_run(
            self.run_id,
            "generate",
            configuration,
            seed=self.settings.seed,
            model=self._generator.name,
        )
        rows = [
            {
                "user_id": self._user(persona),
                "locale": persona.locale,
                "demographics": json.dumps(persona.demographics, ensure_ascii=False),
                "persona": persona.model_copy(
                    update={"persona_id": self._user(persona)}
                ).model_dump_json(),
                "origin": self.run_id,
            }
            for persona in people
        ]
        log.append("users", pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS["users"]))

    def _user(self, persona: Persona) -> str:
        return f"{self.run_id}/{persona.persona_id}"

    def _write(self, log: Log, generator: SessionGenerator, people: Sequence[Persona]) -> str:
        settings = self.settings
        catalog = Catalog.from_log(log, until=settings.until)
        odds = ShopperOdds(people, catalog)
        times = StartTimes.from_log(log, until=settings.until, weeks=settings.weeks)
        who = np.random.default_rng([settings.seed, _SHOPPERS])
        when = np.random.default_rng([settings.seed, _TIMES])
        state, done = "failed", 0
        writer = LogWriter(log, sessions_per_commit=4)
        try:
            blocks = generator.sessions(
                settings.sessions, seed=settings.seed, cold_items=settings.cold_items
            )
            with track("Generating sessions", total=settings.sessions) as progress:
                for given in blocks:
                    block = checked_block(
                        given, name=generator.name, first=done, count=settings.sessions
                    )
                    if not block.num_rows:
                        continue
                    shoppers = odds.draw(block, who)
                    starts = times.draw(_hours(block), when)
                    writer.submit(
                        log_rows(
                            block,
                            run_id=self.run_id,
                            generator=generator.name,
                            users=[self._user(people[int(each)]) for each in shoppers],
                            starts=starts,
                            catalog=catalog,
                        )
                    )
                    last = int(block["session"][-1].as_py()) + 1
                    progress.advance(last - done)
                    done = last
            writer.flush()
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            console.print("Interrupted: every written session is kept; run again to continue.")
        finally:
            try:
                writer.close()
            finally:
                log.end_run(self.run_id, state)
        return state

    def _summary(self, log: Log, state: str, began: float) -> GenerationSummary:
        return GenerationSummary(
            self.run_id,
            state,
            sessions=log.count("sessions", self.run_id),
            searches=log.count("searches", self.run_id),
            seconds=monotonic() - began,
            **log.response_counts(self.run_id),
        )


def _hours(block: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Hour that each session is to start in, -1 where the generator does not say."""
    _, first = np.unique(block["session"].to_numpy(), return_index=True)
    hours: np.ndarray[tuple[int], np.dtype[np.int64]] = (
        block["hour"].fill_null(-1).to_numpy()[first].astype(np.int64)
    )
    return hours
