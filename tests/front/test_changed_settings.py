"""Work that was begun with other settings starts anew; the same work goes on."""

from __future__ import annotations

import pytest
from test_lift import load, recipe_file

from footfall import lift, steps
from footfall.stages import begun_before


def test_only_the_same_work_goes_on(tmp_path):
    mark = tmp_path / "models" / "real-0.begun"
    assert not begun_before(mark, "one")
    assert begun_before(mark, "one")
    assert not begun_before(mark, "two")
    assert begun_before(mark, "two")
    assert not begun_before(mark, "one")


def test_a_tuning_of_other_settings_is_thrown_away(tmp_path, monkeypatch):
    recipe = load(recipe_file(tmp_path, tmp_path))
    asked = []

    def interrupted(log, folder, *, until, settings, resume):
        asked.append((settings.queries, resume, (folder / "checkpoint").exists()))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "tune", interrupted)
    for queries in (3, 3, 4):
        tuning = recipe.tuning.model_copy(update={"queries": queries})
        proof = lift._Lift(recipe.model_copy(update={"tuning": tuning}))
        proof.folder.mkdir(exist_ok=True)
        with pytest.raises(KeyboardInterrupt):
            proof.stages.run("tune", tuning, proof.tuned / "card", proof._tune)
    assert asked == [(3, False, False), (3, True, True), (4, False, False)]
