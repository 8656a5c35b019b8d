from __future__ import annotations

from datetime import datetime

import pytest

from footfall import steps
from footfall.finetune import FusionSettings
from footfall.personas import Persona
from footfall.simulator import Log
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.aimed_visits import AimedVisits
from footfall.simulator.engines.scripted import ScriptedEngine

SPLIT = steps.Split(
    train_until=datetime(2024, 3, 1), validation_until=datetime(2024, 3, 20), label="clicked"
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, small_source):
    path = tmp_path_factory.mktemp("fused") / "shop.duckdb"
    steps.ingest(str(small_source / "mapping.toml"), path, folder=small_source)
    settings = AimedSettings(visits_per_item=5, until=SPLIT.train_until, label="clicked")
    people = [Persona(persona_id="p", interests={"food > soup": 1.0})]
    run = AimedVisits(path, people, ScriptedEngine(), ["i1", "i13"], settings).run()
    return path, run.run_id


def test_each_kind_of_neighbours_is_drawn_by_its_own_rule(simulated, tmp_path, monkeypatch):
    from footfall.finetune import arms

    path, run = simulated
    kinds = []

    class Seen(arms.SlateMaker):
        def __init__(self, *arguments, kind, **options):
            kinds.append(kind)
            super().__init__(*arguments, kind=kind, **options)

    monkeypatch.setattr(arms, "SlateMaker", Seen)
    with Log.open(path) as log:
        logged = arms.logged_candidates(log)
    for beside in ("popularity", "similar", "mixed", "random", "balanced"):
        settings = FusionSettings(beside=beside, strategy="none")
        steps.fuse(path, tmp_path / beside, run_ids=[run], split=SPLIT, settings=settings)
    assert kinds == [
        "similar" if logged else "popularity",
        "similar",
        "mixed",
        "random",
        "balanced",
    ]


@pytest.mark.parametrize("beside", ["page", "popularity", "similar", "mixed", "random", "balanced"])
def test_responses_stay_and_what_stands_beside_them_changes(simulated, tmp_path, beside):
    path, run = simulated
    settings = FusionSettings(beside=beside, drop_duplicates=False, strategy="by_feature")
    fused = steps.fuse(path, tmp_path / "sets", run_ids=[run], split=SPLIT, settings=settings)
    added = fused["synthetic"].take(fused["synthetic"].synthetic)
    taken = added.column("item_id")[added.labels].tolist()
    assert (taken.count("i1"), taken.count("i13")) == (5, 5)
    assert set(added.column("origin").tolist()) == {run}
    with Log.open(path) as log:
        shown = log.query(
            "SELECT search_id, item_id FROM impressions WHERE origin = $run", {"run": run}
        )
    pairs = set(zip(*shown.to_pydict().values(), strict=True))
    found = set(
        zip(added.column("search_id").tolist(), added.column("item_id").tolist(), strict=True)
    )
    assert (found == pairs) == (beside == "page")
    with Log.open(path) as log:
        visits = log.query(
            "SELECT s.session_id, i.search_id || '/' || i.item_id AS response FROM impressions i "
            "JOIN searches s USING (search_id) WHERE i.origin = $run AND i.clicked",
            {"run": run},
        ).to_pylist()
    if beside != "page":
        # Every made slate says which response of which visit it is.
        of = {visit["response"]: visit["session_id"] for visit in visits}
        made = [added.column(name).tolist() for name in ("search_id", "session_id")]
        assert all(of[search] == session for search, session in zip(*made, strict=True))
        assert set(added.column("search_id").tolist()) == set(of)
