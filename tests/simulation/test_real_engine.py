"""Shoppers driven by the real language model, through the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from log_rows import synthetic_rows

from footfall.personas.persona import write_personas
from footfall.simulator.log import Log

FOOTFALL = Path(sys.executable).parent / "footfall"


def simulate(log, people, folder, engine, sessions=6):
    settings = folder / "settings.toml"
    settings.write_text("[simulation]\nscored_slates = 2\nbrowsing_share = 0.0\n")
    command = [
        FOOTFALL,
        "simulate",
        log,
        people,
        "--sessions",
        str(sessions),
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


@pytest.mark.engine
def test_the_real_model_writes_queries_and_its_recording_gives_the_same_log(
    tmp_path, make_log, people
):
    write_personas(people, tmp_path / "people.jsonl")
    live, replayed = make_log(tmp_path / "live.duckdb"), make_log(tmp_path / "replayed.duckdb")
    run_id = simulate(live, tmp_path / "people.jsonl", tmp_path, "vllm")
    rows = synthetic_rows(live, run_id)
    assert len(rows["sessions"]) == 6
    queries = {row["query"] for row in rows["searches"]}
    assert None not in queries
    assert len(queries) > 1
    scores = {row["score"] for row in rows["impressions"]}
    assert None not in scores
    assert len(scores) > 5
    with Log.open(live) as log:
        run = log.query("SELECT * FROM runs WHERE run_id = $run", {"run": run_id}).to_pylist()[0]
    assert run["model"] == "smollm2-135m-instruct"
    assert len(run["model_hash"]) == 64
    assert json.loads(run["configuration"])["engine"] == "vllm"
    assert simulate(replayed, tmp_path / "people.jsonl", tmp_path, "replay") == run_id
    assert synthetic_rows(replayed, run_id) == rows
