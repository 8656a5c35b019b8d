"""A simulation on a disk that fills up keeps what was committed, and goes on with more room."""

import os
import shutil
import subprocess

import pytest

from footfall.errors import LogFullError
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.log import Log
from footfall.simulator.simulation import Simulation, SimulationSettings


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_loses_no_committed_session(small_disk, tmp_path, make_log, people):
    path = make_log(small_disk / "shop.duckdb", sessions=50)
    settings = SimulationSettings(
        sessions=400, until="2024-03-01", scored_slates=2, behaviour="prior", concurrency=4
    )
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(b"x" * max(0, free - 300_000))
    simulation = Simulation(path, people, ScriptedEngine(), settings)
    with pytest.raises(LogFullError) as caught:
        simulation.run()
    assert "kept" in caught.value.hint
    (small_disk / "ballast").unlink()
    with Log.open(path) as log:
        kept = log.count("sessions", simulation.run_id)
    assert kept < 400
    summary = Simulation(path, people, ScriptedEngine(), settings).run()
    assert summary.already_done == kept
    with Log.open(path) as log:
        assert log.count("sessions", simulation.run_id) == 400
        assert log.count("sessions", "real") == 50
