"""Runs without a language model in the log."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from fast_shops import UNTIL, personas_of

from footfall.errors import PersonaError
from footfall.eval import fidelity
from footfall.simulator.fast import FastCrowd, FastSettings, FastSimulation
from footfall.simulator.fast.block import ENDS
from footfall.simulator.fast.pilot import expected_sessions
from footfall.simulator.log import Log

SETTINGS = FastSettings(
    sessions=120, until=UNTIL, weeks=4.0, page_size=6, pilot_sessions=100, seed=3
)


@pytest.fixture
def copied(tmp_path, log_path):
    return shutil.copy(log_path, tmp_path / "copy.duckdb")


@pytest.fixture
def people(log_path):
    with Log.open(log_path) as log:
        return personas_of(log)


class Lengths:
    """Stands for the text encoder, which takes longer to load than all else here."""

    def encode(self, texts):
        return np.array([[len(text), text.count(" ")] for text in texts], dtype=float)


def rows_of(path, run_id):
    with Log.open(path) as log:
        return {
            table: log.query(f"SELECT * FROM {table} WHERE origin = ? ORDER BY ALL", [run_id])
            for table in ("users", "sessions", "searches", "impressions")
        }


def test_a_run_is_written_whole_found_again_and_can_be_compared(copied, people, monkeypatch):
    def breaks(crowd, plan):
        raise RuntimeError("out of order")

    simulation = FastSimulation(copied, people, SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(FastCrowd, "run", breaks)
        with pytest.raises(RuntimeError, match="out of order"):
            simulation.run()
    assert not any(len(rows) for rows in rows_of(copied, simulation.run_id).values())
    with Log.open(copied) as log:
        assert (
            log.scalar("SELECT state FROM runs WHERE run_id = ?", [simulation.run_id]) == "failed"
        )

    first = simulation.run()
    rows = rows_of(copied, first.run_id)
    assert (first.state, first.sessions) == ("finished", 120)
    assert first.sessions_per_second > 0
    assert len(rows["sessions"]) == 120
    assert len(rows["searches"]) == first.searches
    assert len(rows["impressions"]) == first.impressions
    assert len(rows["users"]) == len(people)
    assert sum(rows["impressions"]["clicked"].to_pylist()) == first.clicks > 0
    for row in rows["impressions"].to_pylist():
        assert (row["clicked_at"] is not None) == row["clicked"]
        assert (row["purchased_at"] is not None) == row["purchased"]
        assert row["search_id"].startswith(f"{first.run_id}/")
    starts = rows["sessions"]["started_at"].to_numpy()
    assert starts.max() < np.datetime64(UNTIL)
    with Log.open(copied) as log:
        (run,) = log.query("SELECT * FROM runs WHERE run_id = ?", [first.run_id]).to_pylist()
        orphans = log.scalar(
            "SELECT count(*) FROM impressions ANTI JOIN searches USING (search_id)"
            " WHERE impressions.origin = ?",
            [first.run_id],
        )
    assert orphans == 0
    assert (run["kind"], run["model"], run["state"]) == ("simulate", "fast", "finished")
    assert json.loads(run["configuration"])["knowledge_until"] == UNTIL.isoformat()

    again = FastSimulation(copied, people, SETTINGS).run()
    assert again.run_id == first.run_id
    assert again.sessions_per_second == 0.0
    assert rows_of(copied, first.run_id) == rows

    with Log.open(copied) as log:
        found = fidelity(log, first.run_id, until=UNTIL, splits=4, resamples=20, encoder=Lengths())
    assert found.rows


def test_other_settings_or_people_are_another_run(copied, people):
    run_id = FastSimulation(copied, people, SETTINGS).run_id
    assert FastSimulation(copied, people[1:], SETTINGS).run_id != run_id
    other = SETTINGS.model_copy(update={"seed": 4})
    assert FastSimulation(copied, people, other).run_id != run_id
    with pytest.raises(PersonaError, match="no personas"):
        FastSimulation(copied, [])


def test_sessions_on_tried_out_pages_are_expected_to_do_as_the_crowd_does(shop):
    from fast_shops import listing, visits

    ids = shop.catalog.item_ids.tolist()
    behaviour = shop.behaviour.model_copy(
        update={
            name: getattr(shop.behaviour, name).model_copy(update={"value": 0.0})
            for name in ("intent_spread",)
        }
    )
    still = shop.with_behaviour(behaviour)
    blocks = FastCrowd(still, listing(ids), seed=1, browse_share=1.0, ideal=False).blocks(
        visits(2000)
    )
    told = expected_sessions(still, blocks, "clicked").moments(0.0, 0.0)
    clicks = np.zeros(len(blocks[0].plan))
    for pages, shown in zip(blocks[0].pages, blocks[0].shown, strict=True):
        np.add.at(clicks, pages.visit[shown.page], shown.clicked)
    assert told.mean == pytest.approx(clicks.mean(), rel=0.15)
    assert told.responding == pytest.approx((clicks > 0).mean(), abs=0.1)
    # Who types nothing cannot lack words, and every page was answered.
    ends = {ENDS[how] for how in np.unique(blocks[0].ended)}
    assert {"left"} <= ends <= {"bought", "left", "out of patience"}
