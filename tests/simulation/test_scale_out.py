"""Shoppers over a local Ray cluster with two workers: the log of one process, whatever dies."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from log_rows import synthetic_rows
from scale_out_parts import Interrupt, Meet, Trap, die
from typer.testing import CliRunner

from footfall import steps
from footfall.cli import app
from footfall.errors import EngineUnavailableError, MissingPartError, SettingError
from footfall.personas import write_personas
from footfall.simulator.engines import EngineSettings, ScriptedEngine
from footfall.simulator.scale_out import RayCrowd, RaySettings, require_scalable
from footfall.simulator.simulation import Simulation, SimulationSettings

ray = pytest.importorskip("ray")

UNTIL = datetime(2024, 3, 1)
SCRIPTED = EngineSettings(kind="scripted")
#: Two shoppers a shard and one visit a batch: a death falls between visits of one shopper.
SMALL = RaySettings(workers=2, shard_size=2, batch_visits=1)


@pytest.fixture(scope="module")
def cluster():
    """Two processors on this machine; runs find it initialised and leave it."""
    with pytest.MonkeyPatch.context() as environment:
        folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    assert ray.is_initialized()
    ray.shutdown()


def settings(**changes):
    given = {"sessions": 40, "until": UNTIL, "behaviour": "prior", "pilot_sessions": 0, **changes}
    return SimulationSettings(**given)


def run(path, people, *, trap=None, engine=SCRIPTED, scale=SMALL, **changes):
    """Simulate with Ray; ``trap`` makes a search engine of the shop's own."""
    chosen = settings(**changes)
    simulation = None

    def spread(shop):
        if trap is not None:
            shop = replace(shop, search=trap(shop.search))
        return RayCrowd(
            shop,
            people,
            engine,
            identity=simulation.engine.identity,
            settings=scale,
            seed=chosen.seed,
            concurrency=chosen.concurrency,
            search=chosen.search,
        )

    simulation = Simulation(path, people, ScriptedEngine(), chosen, crowd_of=spread)
    return simulation, simulation.run


def undisturbed(path, people, **changes):
    summary = Simulation(path, people, ScriptedEngine(), settings(**changes)).run()
    return summary.run_id, synthetic_rows(path, summary.run_id)


def processes(folder):
    """Workers that have searched and are still there."""
    numbers = [int(path.name.removeprefix("process-")) for path in folder.glob("process-*")]
    return [number for number in numbers if _alive(number)]


def _alive(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def all_gone(folder):
    end = time.monotonic() + 30
    while processes(folder) and time.monotonic() < end:
        time.sleep(0.1)
    return not processes(folder)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "marks"
    made.mkdir()
    return made


def test_two_workers_write_the_log_of_one_process(tmp_path, make_log, people, cluster, folder):
    run_id, rows = undisturbed(make_log(tmp_path / "here.duckdb"), people)
    path = make_log(tmp_path / "spread.duckdb")
    _, go = run(path, people, trap=lambda s: Trap(s, folder, Meet(folder), at=1, times=2))
    summary = go()
    assert summary.run_id == run_id
    assert summary.state == "finished"
    assert synthetic_rows(path, run_id) == rows
    assert len(rows["sessions"]) == 40
    seen = list(folder.glob("process-*"))
    assert len(seen) == 2
    assert f"process-{os.getpid()}" not in {mark.name for mark in seen}
    assert all_gone(folder)


def test_killed_workers_cost_nothing_but_time(tmp_path, make_log, people, cluster, folder):
    run_id, rows = undisturbed(make_log(tmp_path / "here.duckdb"), people)
    path = make_log(tmp_path / "spread.duckdb")
    _, go = run(path, people, trap=lambda search: Trap(search, folder, die, at=7, times=2))
    assert go().state == "finished"
    assert len(list(folder.glob("deed-*"))) == 2
    assert synthetic_rows(path, run_id) == rows


def test_an_interrupt_ends_the_workers_and_the_same_run_goes_on(
    tmp_path, make_log, people, cluster, folder, interruptible
):
    run_id, rows = undisturbed(make_log(tmp_path / "here.duckdb"), people)
    path = make_log(tmp_path / "spread.duckdb")
    _, go = run(path, people, trap=lambda search: Trap(search, folder, Interrupt(), at=8))
    assert go().state == "interrupted"
    assert all_gone(folder)
    assert 0 < len(synthetic_rows(path, run_id)["sessions"]) < 40
    _, go_on = run(path, people)
    assert go_on().state == "finished"
    assert synthetic_rows(path, run_id) == rows


def test_a_recording_is_replayed_by_all_workers(tmp_path, monkeypatch, make_log, people, cluster):
    recording = tmp_path / "answers.jsonl"
    first = make_log(tmp_path / "here.duckdb")
    recorded = steps.simulate(
        first,
        people,
        engine=EngineSettings(kind="scripted", recording=recording),
        settings=settings(),
    )
    path = make_log(tmp_path / "spread.duckdb")
    monkeypatch.chdir(tmp_path)  # Ray was started in another folder.
    recording = Path(recording.name)
    replayed = steps.simulate(
        path,
        people,
        engine=EngineSettings(kind="replay", recording=recording),
        settings=settings(),
        ray=SMALL,
    )
    assert replayed.run_id == recorded.run_id
    assert replayed.answers == recorded.answers > 0
    assert synthetic_rows(path, recorded.run_id) == synthetic_rows(first, recorded.run_id)


class Stub:
    """A server that says the same to everybody; ``meet`` lets two be asked at once before."""

    def __init__(self):
        self.meeting = None
        self.met = False

    def meet(self):
        self.meeting = threading.Barrier(2)

    def __call__(self, method, path, body):
        answer = {"object": "list", "data": [{"id": "m"}]}
        if path == "/v1/completions":
            if self.meeting is not None and not self.met:
                self.meeting.wait(60)
                self.met = True
            choice = {"text": " pizza"}
            if body.get("logprobs"):
                choice["logprobs"] = {"top_logprobs": [{" Yes": -1.0, " No": -0.5}]}
            answer = {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
        elif path != "/v1/models":
            return 404, "application/json", json.dumps({"error": {"message": "no such path"}})
        return 200, "application/json", json.dumps(answer)


def test_two_workers_share_a_server(tmp_path, monkeypatch, make_log, people, cluster, small_server):
    pytest.importorskip("openai")
    stub = Stub()
    server = small_server(stub)
    # Only one request of a worker is on its way at a time: two are those of two workers.
    engine = EngineSettings(
        kind="server",
        model="m",
        address=server.address,
        max_concurrent=1,
        api_key_env="FOOTFALL_TEST_KEY",
    )
    monkeypatch.setenv("FOOTFALL_TEST_KEY", "secret")
    first = make_log(tmp_path / "here.duckdb")
    alone = steps.simulate(first, people, engine=engine, settings=settings())
    asked = len(server.requests)
    stub.meet()
    path = make_log(tmp_path / "spread.duckdb")
    spread = steps.simulate(path, people, engine=engine, settings=settings(), ray=SMALL)
    assert stub.met
    assert len(server.requests) > asked
    assert server.keys == {"secret"}
    assert spread.run_id == alone.run_id
    rows = synthetic_rows(path, spread.run_id)
    assert rows == synthetic_rows(first, alone.run_id)
    assert len({row["session_id"] for row in rows["sessions"]}) == len(rows["sessions"]) == 40


def test_a_search_engine_that_cannot_be_sent_is_opened_by_its_name(
    tmp_path, make_log, people, cluster
):
    name = "scale_out_parts:Locked"
    run_id, rows = undisturbed(make_log(tmp_path / "here.duckdb"), people, search=name)
    path = make_log(tmp_path / "spread.duckdb")
    _, go = run(path, people, search=name)
    assert go().state == "finished"
    assert synthetic_rows(path, run_id) == rows
    assert {row["answered_by"] for row in rows["searches"]} >= {"locked"}


def test_a_recording_is_not_written_by_several(tmp_path, people, shop_log):
    engine = EngineSettings(kind="scripted", recording=tmp_path / "answers.jsonl")
    with pytest.raises(SettingError, match="several workers"):
        steps.simulate(shop_log, people, engine=engine, settings=settings(), ray=SMALL)
    assert not (tmp_path / "answers.jsonl").exists()


def test_an_address_without_a_cluster_is_found_out_before_any_work(tmp_path, monkeypatch, people):
    # Else the cluster that other tests have started would do.
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        scale = SMALL.model_copy(update={"address": address})
        with pytest.raises(EngineUnavailableError, match=address):
            steps.simulate(tmp_path / "no.duckdb", people, engine=SCRIPTED, ray=scale)


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("footfall.simulator.scale_out.requirements.find_spec", lambda _: None)
    with pytest.raises(MissingPartError) as caught:
        require_scalable(SCRIPTED, SMALL)
    extra = caught.value.hint.split("footfall[")[1].split("]")[0]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert any(part.startswith("ray") for part in project["optional-dependencies"][extra])


def arguments(path, people):
    """Of the command: twenty sessions with the scripted engine."""
    personas, settings_file = path.with_name("personas.jsonl"), path.with_name("settings.toml")
    write_personas(people, personas)
    settings_file.write_text(
        '[engine]\nkind = "scripted"\n[ray]\nshard_size = 1\n'
        '[simulation]\nbehaviour = "prior"\npilot_sessions = 0\n'
    )
    given = ["simulate", str(path), str(personas), "--settings", str(settings_file)]
    return [*given, "--sessions", "20", "--until", "2024-03-01"]


def test_the_command_leads_shoppers_through_ray_where_it_is_told_to(
    tmp_path, monkeypatch, make_log, people, cluster
):
    handed_over = []

    class Watched(RayCrowd):
        def run(self, *given):
            for finished in super().run(*given):
                handed_over.append(finished.number)
                yield finished

    monkeypatch.setattr(steps, "RayCrowd", Watched)
    here, spread = make_log(tmp_path / "here.duckdb"), make_log(tmp_path / "spread.duckdb")
    assert CliRunner().invoke(app, arguments(here, people)).exit_code == 0
    assert handed_over == []
    command = [*arguments(spread, people), "--ray", "--workers", "2"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert sorted(handed_over) == list(range(20))


def test_the_command_starts_ray_and_ends_it(tmp_path, make_log, people):
    rows = []
    for name, options in (("here", []), ("spread", ["--ray", "--workers", "2"])):
        path = make_log(tmp_path / f"{name}.duckdb")
        command = [sys.executable, "-m", "footfall", *arguments(path, people), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr
        run_id = done.stdout.split()[1]
        rows.append(synthetic_rows(path, run_id))
    assert rows[0] == rows[1]
    assert len(rows[0]["sessions"]) == 20


def test_options_of_ray_without_it_are_refused():
    for option in (["--workers", "2"], ["--ray-address", "10.0.0.1:6379"]):
        result = CliRunner().invoke(app, ["simulate", "log.duckdb", "people.jsonl", *option])
        assert isinstance(result.exception, SettingError)
        assert "--ray" in result.exception.message
