"""Shoppers driven by the real language model: killed at work, continued, and replayed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from log_rows import kept_sessions, synthetic_rows

from footfall.errors import EngineUnavailableError
from footfall.personas.persona import write_personas
from footfall.simulator.engines import EngineSettings, RecordingEngine, open_engine
from footfall.simulator.log import Log
from footfall.simulator.simulation import Simulation, SimulationSettings

FOOTFALL = Path(sys.executable).parent / "footfall"
SESSIONS = 8
CHANGED = {"scored_slates": 2, "pilot_sessions": 2, "browsing_share": 0.0}


def simulate(log, people, folder, engine):
    settings = folder / "settings.toml"
    lines = "".join(f"{name} = {value}\n" for name, value in CHANGED.items())
    settings.write_text(f"[simulation]\n{lines}")
    command = [
        FOOTFALL,
        "simulate",
        log,
        people,
        "--sessions",
        str(SESSIONS),
        "--until",
        "2024-03-01",
        "--engine",
        engine,
        "--recording",
        folder / "answers.jsonl",
        "--settings",
        settings,
    ]
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=500
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.split()[1]


def processes_below(parent):
    """Processes that ``parent`` started, directly or not, but Python's own bookkeeping."""
    parents = {}
    for folder in Path("/proc").iterdir():
        try:
            parent_of = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"resource_tracker" not in (folder / "cmdline").read_bytes():
                parents[int(folder.name)] = parent_of
        except (OSError, ValueError, IndexError):
            continue
    found, new = set(), {parent}
    while new:
        new = {process for process, above in parents.items() if above in new} - found
        found |= new
    return found


class Killed:
    """A model in a process of its own, killed when the last session but one begins."""

    def __init__(self, recording):
        before = processes_below(os.getpid())
        self.inner = RecordingEngine(
            open_engine(EngineSettings(separate_process=True, kv_cache_gb=0.5)), recording
        )
        self.processes = processes_below(os.getpid()) - before
        self.killed = False

    @property
    def identity(self):
        return self.inner.identity

    def submit(self, request):
        # The draw of a query begins with the number of its session.
        draw = getattr(request, "draw", "")
        if draw.startswith(f"{SESSIONS - 2}/") and not self.killed:
            self.killed = True
            for process in self.processes:
                os.kill(process, signal.SIGKILL)
        return self.inner.submit(request)

    def collect(self):
        return self.inner.collect()

    def close(self):
        self.inner.close()


@pytest.mark.engine
def test_a_killed_model_leaves_whole_sessions_and_another_one_finishes_the_run(
    tmp_path, make_log, people
):
    pytest.importorskip("vllm")
    write_personas(people, tmp_path / "people.jsonl")
    live, replayed = make_log(tmp_path / "live.duckdb"), make_log(tmp_path / "replayed.duckdb")
    settings = SimulationSettings(
        sessions=SESSIONS, until="2024-03-01", concurrency=2, sessions_per_commit=1, **CHANGED
    )
    engine = Killed(tmp_path / "answers.jsonl")
    try:
        assert engine.processes
        simulation = Simulation(live, people, engine, settings)
        with pytest.raises(EngineUnavailableError, match="stopped working"):
            simulation.run()
    finally:
        engine.close()
    assert engine.killed
    kept = kept_sessions(live, simulation.run_id)
    assert 0 < kept < SESSIONS
    before = synthetic_rows(live, simulation.run_id)

    run_id = simulate(live, tmp_path / "people.jsonl", tmp_path, "vllm")
    assert run_id == simulation.run_id
    assert kept_sessions(live, run_id) == SESSIONS
    rows = synthetic_rows(live, run_id)
    for table, earlier in before.items():
        assert all(row in rows[table] for row in earlier)
    queries = {row["query"] for row in rows["searches"]}
    assert queries - {None}
    scores = {row["score"] for row in rows["impressions"]}
    assert None not in scores
    assert len(scores) > 5
    with Log.open(live) as log:
        run = log.query("SELECT * FROM runs WHERE run_id = $run", {"run": run_id}).to_pylist()[0]
    assert run["state"] == "finished"
    assert run["model"] == "smollm2-135m-instruct"
    assert len(run["model_hash"]) == 64
    assert json.loads(run["configuration"])["engine"] == "vllm"

    # The answers of both parts were recorded: without any model they give the same log.
    assert simulate(replayed, tmp_path / "people.jsonl", tmp_path, "replay") == run_id
    assert synthetic_rows(replayed, run_id) == rows
