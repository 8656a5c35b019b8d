"""Work that was begun with other settings starts anew; the same work goes on."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from test_lift import load, recipe_file

from footfall import lift, steps
from footfall.finetune import ClickModel, ClickSettings, read_examples
from footfall.simulator import Log
from footfall.stages import clear_other_work, write_json


def test_only_other_work_is_cleared(tmp_path):
    mark, left = tmp_path / "models" / "real-0.begun", tmp_path / "left"
    there = []
    for work in ("one", "one", "two", "two", "one"):
        (left / "deep").mkdir(parents=True, exist_ok=True)
        clear_other_work(mark, work, left)
        there.append(left.exists())
        assert mark.read_text() == work
    # What nothing is known of is left to whoever resumes it.
    assert there == [True, True, False, True, False]


def test_a_training_of_other_rows_starts_anew_and_the_same_goes_on(
    tmp_path, monkeypatch, small_source
):
    def fit(self, train, validation, folder, *, resume):
        assert resume
        checkpoints = folder.with_name(folder.name + ".checkpoints")
        found.append(checkpoints.exists())
        checkpoints.mkdir(exist_ok=True)
        return self

    found = []
    monkeypatch.setattr(ClickModel, "fit", fit)
    path = tmp_path / "shop.duckdb"
    steps.ingest(str(small_source / "mapping.toml"), path, folder=small_source)
    with Log.open(path) as log:
        rows = read_examples(log, until=datetime(2024, 2, 20), label="clicked")
    settings = ClickSettings()
    for part, seed in (
        (rows, 0),
        (rows, 0),
        (rows.take(np.arange(20)), 0),
        (rows.take(np.arange(20)), 1),
    ):
        told = settings.model_copy(update={"seed": seed})
        steps.train_anew_if_changed(part, tmp_path / "model", validation=rows, settings=told)
    assert found == [False, True, False, False]


def test_a_tuning_of_other_settings_is_thrown_away(tmp_path, monkeypatch):
    recipe = load(recipe_file(tmp_path, tmp_path))
    asked = []

    def interrupted(log, folder, *, until, settings, resume):
        asked.append((settings.queries, resume, (folder / "checkpoint").exists()))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "tune", interrupted)
    for queries, count in ((3, 20), (3, 20), (3, 30), (4, 30)):
        tuning = recipe.tuning.model_copy(update={"queries": queries})
        people = recipe.personas.model_copy(update={"count": count})
        proof = lift._Lift(recipe.model_copy(update={"tuning": tuning, "personas": people}))
        proof.folder.mkdir(exist_ok=True)
        write_json(proof.folder / "stages.json", {"part": {"fingerprint": "one"}})
        proof.stages.run("personas", people, tmp_path / "people", lambda: None)
        with pytest.raises(KeyboardInterrupt):
            proof.stages.run("tune", tuning, proof.tuned / "card", proof._tune)
    # The number of personas says nothing of a tuning.
    assert asked == [(3, False, False), (3, True, True), (3, True, True), (4, False, False)]
