"""Personas fitted on what a simulation must not know are refused before it begins."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from footfall import make_personas
from footfall.errors import DataError, PersonaError
from footfall.personas import Persona, read_personas
from footfall.personas.persona import WHOLE_LOG
from footfall.simulator import Log, Simulation, SimulationSettings
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.aimed_visits import AimedVisits
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.fast.settings import FastSettings
from footfall.simulator.fast.writing import FastSimulation
from footfall.simulator.generators.run import GenerationRun
from footfall.simulator.generators.settings import GenerationSettings
from footfall.simulator.persona_knowledge import check_persona_knowledge

UNTIL = datetime(2024, 3, 1)


def persona(known: str | None, part: str | None = None) -> list[Persona]:
    early = Persona(persona_id="early", fitted_until="2024-01-01T00:00:00", fitted_part=part)
    return [early, Persona(persona_id="p", fitted_until=known, fitted_part=part)]


@pytest.mark.parametrize("known", [None, "2024-03-01T00:00:00", "2024-02-01T00:00:00+00:00"])
def test_personas_may_know_as_much_as_their_run(known: str | None) -> None:
    check_persona_knowledge(persona(known), until=UNTIL, part=None)


@pytest.mark.parametrize("known", [WHOLE_LOG, "2024-03-01T00:00:01", "2024-03-01T00:00:00-02:00"])
def test_personas_that_know_later_rows_are_refused(known: str) -> None:
    with pytest.raises(DataError, match="persona p was fitted on the log until"):
        check_persona_knowledge(persona(known), until=UNTIL, part=None)
    # The run may know all of the log.
    check_persona_knowledge(persona(known), until=None, part=None)


def test_what_is_held_out_of_a_part_is_told_by_the_part_alone() -> None:
    early = "2024-01-01T00:00:00"
    with pytest.raises(DataError, match="but on a whole log"):
        check_persona_knowledge(persona(early), until=None, part="this")
    with pytest.raises(DataError, match="another"):
        check_persona_knowledge(persona(early, "another"), until=UNTIL, part="this")
    check_persona_knowledge(persona(WHOLE_LOG, "this"), until=UNTIL, part="this")
    check_persona_knowledge(
        persona(early, "another"), until=UNTIL, part="this", fitted_elsewhere=True
    )
    with pytest.raises(DataError, match="its end"):
        check_persona_knowledge(
            persona(WHOLE_LOG, "another"), until=UNTIL, part="this", fitted_elsewhere=True
        )
    check_persona_knowledge(persona(None)[1:], until=UNTIL, part="this")


@pytest.mark.parametrize(("until", "said"), [(None, WHOLE_LOG), (UNTIL, "2024-03-01T00:00:00")])
def test_a_population_says_what_it_is_fitted_on(
    shop_log: Path, tmp_path: Path, until: datetime | None, said: str
) -> None:
    made = make_personas(tmp_path / "people.jsonl", count=3, log=shop_log, until=until)
    assert {one.fitted_until for one in made} == {said}
    assert read_personas(tmp_path / "people.jsonl") == made
    invented = make_personas(tmp_path / "invented.jsonl", count=3)
    assert {one.fitted_until for one in invented} == {None}


def test_what_is_no_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"persona_id": "p", "fitted_until": "soon"}\n', encoding="utf-8")
    with pytest.raises(PersonaError, match="line 1, fitted_until"):
        read_personas(path)


def test_nothing_is_written_by_a_run_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    Log.create(path).close()
    people = persona(WHOLE_LOG)
    generation = GenerationSettings(generator="markov", sessions=1, until=UNTIL)
    runs: list[Any] = [
        AimedVisits(path, people, ScriptedEngine(), ["i1"], AimedSettings(until=UNTIL)),
        Simulation(path, people, ScriptedEngine(), SimulationSettings(sessions=1, until=UNTIL)),
        FastSimulation(path, people, FastSettings(sessions=1, until=UNTIL)),
        GenerationRun(path, generation, personas=people),
    ]
    for run in runs:
        with pytest.raises(DataError, match="persona p was fitted on the log until its end"):
            run.run()
    with Log.open(path) as log:
        assert not log.query("SELECT * FROM runs").num_rows
