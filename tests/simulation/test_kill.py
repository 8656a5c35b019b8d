"""A simulation that is killed a hundred times is the same simulation in the end."""

import json
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from log_rows import kept_sessions, synthetic_rows

from footfall.personas.persona import write_personas
from footfall.simulator.engines.replay import RecordingEngine
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.simulation import Simulation, SimulationSettings

KILLS = 100
SETTINGS = SimulationSettings(
    sessions=400,
    until="2024-03-01",
    scored_slates=2,
    pilot_sessions=2,
    concurrency=2,
    sessions_per_commit=2,
)


class KilledRuns:
    """The program beside this file, told what to run and when to kill it."""

    def __init__(self, recording, people, complaints):
        command = [sys.executable, Path(__file__).with_name("killed_runs.py"), recording, people]
        self.complaints = complaints
        self.file = complaints.open("w")
        self.process = subprocess.Popen(
            [str(part) for part in [*command, SETTINGS.model_dump_json()]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.file,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self.process.stdout.readline() == "ready\n", complaints.read_text()

    def run(self, log, *, shopping=True, seconds=None):
        order = {"log": str(log), "shopping": shopping, "seconds": seconds}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.complaints.read_text()[-3000:]
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.file.close()


@pytest.fixture
def recorded(tmp_path, make_log, people):
    """The run's id, and what runs it on recorded answers."""
    write_personas(people, tmp_path / "people.jsonl")
    engine = RecordingEngine(ScriptedEngine(), tmp_path / "answers.jsonl")
    log = make_log(tmp_path / "recorded.duckdb", sessions=80)
    run_id = Simulation(log, people, engine, SETTINGS).run().run_id
    engine.close()
    runs = KilledRuns(
        tmp_path / "answers.jsonl", tmp_path / "people.jsonl", tmp_path / "complaints.txt"
    )
    yield run_id, runs
    runs.close()


def test_a_hundred_kills_end_in_the_sessions_of_an_undisturbed_run(tmp_path, make_log, recorded):
    run_id, runs = recorded
    whole, killed = (
        make_log(tmp_path / f"{name}.duckdb", sessions=80) for name in ("whole", "killed")
    )
    undisturbed = runs.run(whole)
    opening = undisturbed["opened"]
    per_session = (undisturbed["seconds"] - opening) / SETTINGS.sessions
    rng = random.Random(11)
    kept = [0]
    for number in range(KILLS):
        # One kill in four, and the first ones, come while the shop is being opened or fitted; the
        # others, on average, let three quarters of what is left be done by the last of them.
        shopping = number >= 5 and rng.random() < 0.75
        left = (SETTINGS.sessions - kept[-1]) / (KILLS - number + 10)
        longest = 2 * left * per_session if shopping else opening
        died = runs.run(killed, shopping=shopping, seconds=rng.uniform(0, longest))
        assert died["killed"], (number, shopping, longest, died, kept)
        opening = died["opened"] or opening  # much less than at first once the rates are fitted
        kept.append(kept_sessions(killed, run_id))
    assert kept == sorted(kept)
    assert kept[-1] < SETTINGS.sessions
    # Many of the kills came between the first session and the last, and lost none.
    assert sum(later > earlier for earlier, later in pairwise(kept)) >= KILLS / 10
    assert not runs.run(killed)["killed"]
    assert kept_sessions(killed, run_id) == SETTINGS.sessions
    assert synthetic_rows(killed, run_id) == synthetic_rows(whole, run_id)
    assert synthetic_rows(killed, "real") == synthetic_rows(whole, "real")
