"""A model tuned on what a simulation must not know is refused before it simulates."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from footfall.errors import DataError
from footfall.personas import Persona
from footfall.simulator import Log, Simulation, SimulationSettings
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.aimed_visits import AimedVisits
from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.model_knowledge import check_model_knowledge

UNTIL = datetime(2024, 3, 1)


def identity(until: str | None = None, part: str | None = None) -> EngineIdentity:
    return EngineIdentity("vllm", "m", "h", tuned=True, tuned_until=until, tuned_part=part)


@pytest.mark.parametrize("known", ["2024-03-01T00:00:00", "2024-02-01T00:00:00+00:00"])
def test_a_model_may_know_as_much_as_its_shoppers(known: str) -> None:
    check_model_knowledge(identity(known), until=UNTIL, part=None)


@pytest.mark.parametrize("known", [None, "2024-03-01T00:00:01", "2024-03-01T00:00:00-02:00"])
def test_a_model_that_knows_later_rows_is_refused(known: str | None) -> None:
    with pytest.raises(DataError, match="2024-03-01T00:00:00") as caught:
        check_model_knowledge(identity(known), until=UNTIL, part=None)
    assert "footfall" not in caught.value.hint.split("--until")[0]
    # Shoppers may know all of the log.
    check_model_knowledge(identity(known), until=None, part=None)


def test_what_is_held_out_of_a_part_is_told_by_the_part_alone() -> None:
    early = identity("2024-01-01T00:00:00", "another")
    with pytest.raises(DataError, match="another"):
        check_model_knowledge(early, until=UNTIL, part="this")
    with pytest.raises(DataError, match="on a whole log"):
        check_model_knowledge(identity("2024-01-01T00:00:00"), until=None, part="this")
    check_model_knowledge(identity(None, "this"), until=UNTIL, part="this")
    check_model_knowledge(early, until=UNTIL, part="this", tuned_elsewhere=True)
    with pytest.raises(DataError, match="its end"):
        check_model_knowledge(identity(), until=UNTIL, part="this", tuned_elsewhere=True)


def test_an_untuned_model_knows_nothing_of_the_log() -> None:
    check_model_knowledge(EngineIdentity("vllm", "m", "h"), until=UNTIL, part="this")


class Tuned(ScriptedEngine):
    """An engine whose model was tuned on the whole log."""

    @property
    def identity(self) -> EngineIdentity:
        return identity()


def test_nothing_is_written_by_a_run_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    Log.create(path).close()
    people = [Persona(persona_id="p")]
    runs: list[Any] = [
        AimedVisits(path, people, Tuned(), ["i1"], AimedSettings(until=UNTIL)),
        Simulation(path, people, Tuned(), SimulationSettings(sessions=1, until=UNTIL)),
    ]
    for run in runs:
        with pytest.raises(DataError, match="was tuned on the log until its end"):
            run.run()
    with Log.open(path) as log:
        assert not log.query("SELECT * FROM runs").num_rows
