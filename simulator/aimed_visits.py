"""Shoppers who come for a named item: who they are, what they type, what stands beside it.

A simulated crowd meets a new item rarely, because few need what nobody has bought. To fill a gap
the other way round is cheaper: take the item, ask who would come for it and with which words. A
visit is one request then, and no page has to be weighed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from footfall.errors import CatalogueError, PersonaError
from footfall.personas.persona import Persona
from footfall.progress import console, track
from footfall.simulator.aimed_response import bare
from footfall.simulator.aimed_settings import AimedSettings, AimedSummary
from footfall.simulator.aimed_shop import AimedShop, PlannedMeeting
from footfall.simulator.engines.metered import MeteredEngine
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part
from footfall.simulator.model_knowledge import check_model_knowledge
from footfall.simulator.persona_knowledge import check_persona_knowledge
from footfall.simulator.session_rows import session_key, session_number, visit_rows
from footfall.simulator.simulation import user_rows
from footfall.simulator.writer import LogWriter, committed_sessions

__all__ = ["AimedVisits"]


class AimedVisits:
    """Writes visits to the log in which a shopper meets one of ``items``.

    They are aimed at the items, or at the personas (``aim`` of the settings).

    Parameters
    ----------
    log_path:
        The log with catalogue and real rows (its training part); visits are added to it.
    personas:
        Who may come.
    engine:
        The language model.
    items:
        Item ids to aim at, or that people aimed at may come for.
    settings:
        How they come.
    learned_elsewhere:
        Accept a model and personas that do not come from this very training part.
    """

    def __init__(
        self,
        log_path: str | Path,
        personas: Sequence[Persona],
        engine: Engine,
        items: Sequence[str],
        settings: AimedSettings | None = None,
        *,
        learned_elsewhere: bool = False,
    ) -> None:
        if not personas:
            raise PersonaError("There are no personas.", hint="Make some with `footfall personas`.")
        if not items:
            raise CatalogueError("There is no item to aim at.", hint="Name at least one.")
        self.log_path = Path(log_path)
        self.personas = list(personas)
        self.engine = engine
        self.items = sorted(set(items))
        self.settings = settings or AimedSettings()
        self.learned_elsewhere = learned_elsewhere
        self.run_id = self._identify()

    def run(self) -> AimedSummary:
        """Make every visit that the log does not hold yet.

        Raises
        ------
        CatalogueError
            If an item is not in the log.
        EmptyLogError
            If real queries are to be taken over and there are none.
        DataError
            If the model was tuned, or a persona fitted, on more than the visits may know.
        EngineUnavailableError
            If the engine dies; everything committed so far is kept.
        """
        began = monotonic()
        settings = self.settings
        with Log.open(self.log_path, read_only=False) as log:
            part, elsewhere = log_part(log), self.learned_elsewhere
            check_model_knowledge(
                self.engine.identity, until=settings.until, part=part, tuned_elsewhere=elsewhere
            )
            check_persona_knowledge(
                self.personas, until=settings.until, part=part, fitted_elsewhere=elsewhere
            )
            engine = MeteredEngine(self.engine)
            shop = AimedShop.open(log, self.personas, engine, self.items, settings)
            self._start_run(log, shop)
            plan = shop.plan(self.items)
            keys = committed_sessions(log, self.run_id)
            done = {session_number(key) for key in keys}
            todo = [visit for visit in plan if visit.number not in done]
            aimed = f"{len(self.items):,} items"
            if settings.aim == "people":
                aimed = f"{len(self.personas):,} people"
            console.print(
                f"Run [bold]{self.run_id}[/bold]: {len(todo):,} visits aimed at {aimed} with "
                f"{self.engine.identity.model}."
            )
            self._visit(log, shop, todo)
            responses = log.scalar(
                f"SELECT count(*) FROM impressions WHERE origin = $run AND {settings.label}",
                {"run": self.run_id},
            )
        return AimedSummary(
            run_id=self.run_id,
            state="finished",
            visits=len(plan),
            already_done=len(done),
            without_query=shop.left_out,
            responses=int(responses),
            prompt_tokens=engine.prompt_tokens,
            output_tokens=engine.output_tokens,
            seconds=monotonic() - began,
            weight=shop.curve.slope if shop.curve else None,
            appeal_weight=shop.curve.appeal_slope if shop.curve else None,
        )

    def _visit(self, log: Log, shop: AimedShop, todo: list[PlannedMeeting]) -> None:
        settings = self.settings
        state = "failed"
        writer = LogWriter(log, sessions_per_commit=settings.visits_per_commit)
        try:
            with track("Aimed visits", total=len(todo)) as progress:
                for block in _blocks(todo, settings.visits_per_commit):
                    for planned, visit in shop.visits(block):
                        writer.submit(
                            visit_rows(
                                visit,
                                session_id=session_key(self.run_id, planned.number),
                                user_id=self._user(planned.shopper),
                                origin=self.run_id,
                            )
                        )
                    progress.advance(len(block))
            writer.flush()
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            try:
                writer.close()
            finally:
                log.end_run(self.run_id, state)

    def _user(self, shopper: int) -> str:
        return f"{self.run_id}/{self.personas[shopper].persona_id}"

    def _identify(self) -> str:
        identity = self.engine.identity
        told = [
            self.settings.model_dump_json(exclude={"visits_per_commit"}),
            identity.model,
            identity.model_hash,
            *self.items,
        ]
        digest = hashlib.sha256("\n".join(told).encode())
        for persona in self.personas:
            digest.update(f"\n{persona.model_dump_json()}".encode())
        return f"aimed-{digest.hexdigest()[:12]}"

    def _start_run(self, log: Log, shop: AimedShop) -> None:
        identity, until = self.engine.identity, self.settings.until
        log.start_run(
            self.run_id,
            "aimed",
            {
                "settings": json.loads(self.settings.model_dump_json()),
                "engine": identity.kind,
                "items": self.items,
                "curve": None if shop.curve is None else shop.curve.model_dump(mode="json"),
                "knowledge_until": until.isoformat() if until else None,
                "knowledge_part": shop.part,
            },
            seed=self.settings.seed,
            model=identity.model,
            model_hash=identity.model_hash,
        )
        people = self.personas
        if self.settings.aim == "people":
            # Their interests are borrowed; what learns from the run may know of them what is known.
            people = [bare(person) for person in people]
        log.append("users", user_rows(self.run_id, people))


def _blocks(visits: list[PlannedMeeting], size: int) -> Iterator[list[PlannedMeeting]]:
    for start in range(0, len(visits), size):
        yield [replace(visit) for visit in visits[start : start + size]]
