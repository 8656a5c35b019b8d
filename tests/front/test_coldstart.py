from __future__ import annotations

import json
import shutil
import tomllib
from collections import Counter
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from footfall import steps
from footfall.cli import app
from footfall.cold_start import _ColdStart, coldstart
from footfall.cold_start_settings import ColdStartSettings
from footfall.errors import CatalogueError, DataError, EmptyLogError, MissingPartError
from footfall.eval.arm_training import ArmTrainer, ValidationObjective
from footfall.finetune import ClickModel, load_examples
from footfall.finetune.flattening import flattens_at
from footfall.simulator import Log
from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.log_part import log_part

UNTIL = datetime(2024, 3, 1)
NEW = ("i3", "i9")
SETTINGS = {
    "coldstart": {
        "until": UNTIL,
        "label": "clicked",
        "amounts": (2, 4),
        "rehearsed": 0.3,
        "seeds": (0,),
        "margin": 0.0,
    },
    "personas": {"count": 20, "segments": 3, "k_anonymity": 3},
    "engine": {"kind": "scripted"},
    "training": {"epochs": 1, "max_steps": 4, "max_tokens": 16, "trained_layers": 1},
}


@pytest.fixture(scope="module")
def log(tmp_path_factory, small_source):
    """A log in which two items are new after the training part."""
    path = tmp_path_factory.mktemp("cold") / "shop.duckdb"
    steps.ingest(str(small_source / "mapping.toml"), path, folder=small_source)
    with Log.open(path, read_only=False) as opened:
        opened.execute(
            "DELETE FROM impressions WHERE item_id IN ('i3', 'i9') AND shown_at < $until",
            {"until": UNTIL},
        )
    return path


def settings(*, fusion=None, **changes):
    told = SETTINGS | {"coldstart": SETTINGS["coldstart"] | changes}
    if fusion is not None:
        told["fusion"] = fusion
    return ColdStartSettings.model_validate(told)


def with_curve(monkeypatch, enough, *, margin=0.0):
    """Decide the rehearsal: what a real one finds on so small a log is chance."""
    from footfall import cold_start as module

    def decided(scores, *, harms, **options):
        assert options == {"margin": margin, "most_harm": 0.002}
        curve = flattens_at(scores, harms=harms, **options)
        return type(curve)(curve.amounts, curve.scores, enough, curve.harms)

    monkeypatch.setattr(module, "flattens_at", decided)


@pytest.fixture(scope="module")
def filled(log, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        with_curve(patch, 4)
        folder = tmp_path_factory.mktemp("filled")
        return folder, coldstart(log, folder, settings())


@pytest.mark.train
def test_items_without_history_are_found_and_met(filled):
    _, result = filled
    rows = {row["item_id"]: row for row in result.changes.to_pylist()}
    assert set(rows) == set(NEW)
    for row in rows.values():
        # One further visit in four is kept out of training, to look at.
        assert row["visits"] == 5
        assert row["probes"] == 1
        assert row["typed"]
        assert row["shown_beside"]
        assert 0 < row["probability_before"] < 1
        assert 1 <= row["rank_after"] <= 9


@pytest.mark.train
def test_the_fused_set_holds_all_real_rows_and_the_visits_that_are_enough(filled):
    folder, result = filled
    fused = load_examples(result.fused)
    real = load_examples(folder / "filled-train.parquet")
    assert fused.take(~fused.synthetic).table.equals(real.table)
    added = fused.take(fused.synthetic)
    taken = added.column("item_id")[added.labels].tolist()
    assert {item: taken.count(item) for item in NEW} == dict.fromkeys(NEW, 4)
    assert real.column("shown_at").max() < np.datetime64(UNTIL)


@pytest.mark.train
def test_the_model_scores_and_says_what_it_was_trained_on(filled):
    folder, result = filled
    model = ClickModel.load(result.model)
    scores = model.predict_proba(load_examples(folder / "filled-validation.parquet"))
    assert np.isfinite(scores).all()
    fused = load_examples(result.fused)
    assert model.card["training_rows"]["rows"] == len(fused)


@pytest.mark.train
def test_the_rehearsal_holds_out_items_with_history(filled, log):
    folder, result = filled
    held = json.loads((folder / "rehearsal-held.json").read_text())
    train = load_examples(folder / "rehearsal-train.parquet")
    assert held
    assert not set(held) & set(train.column("item_id").tolist())
    assert set(held) & set(
        load_examples(folder / "rehearsal-validation.parquet").column("item_id").tolist()
    )
    assert result.curve.amounts == (0, 2, 4)
    with Log.open(log) as opened:
        assert opened.count("runs", "training-part") == 0


@pytest.mark.train
def test_personas_are_fitted_without_what_is_held_out(filled, log, tmp_path):
    folder, _ = filled
    people = ColdStartSettings.model_validate(SETTINGS).personas
    made = {}
    for name, source in (("own", folder / "rehearsal.duckdb"), ("whole", log)):
        steps.make_personas(tmp_path / name, count=20, log=source, until=UNTIL, settings=people)
        made[name] = (tmp_path / name).read_text(encoding="utf-8").splitlines()[1:]
    found = (folder / "personas.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    assert found == made["own"]
    assert found != made["whole"]


@pytest.mark.train
def test_a_second_call_does_nothing_again(filled, log, monkeypatch):
    folder, result = filled
    monkeypatch.setattr(
        "footfall.finetune.click_model.ClickModel.fit", lambda *_, **__: pytest.fail("trained")
    )
    assert coldstart(log, folder, settings()).changes.equals(result.changes)


@pytest.mark.train
def test_where_nothing_gains_the_real_rows_are_all(log, tmp_path, monkeypatch):
    with_curve(monkeypatch, 0)
    result = coldstart(log, tmp_path / "cold", settings(items=("i3",)))
    assert result.enough == 0
    assert not load_examples(result.fused).synthetic.any()
    assert result.changes.num_rows == 0
    assert ClickModel.load(result.model).card


@pytest.mark.train
def test_every_seed_of_the_rehearsal_draws_other_visits(rehearsed):
    _, drawn, _ = rehearsed
    assert set(drawn) == {(amount, seed) for amount in (0, 2, 4) for seed in (0, 1)}
    visits = {key: set(rows.column("session_id")) for key, rows in drawn.items() if key[0]}
    assert not visits[2, 0] & visits[2, 1]
    # All there are: the same visits, other items beside them.
    assert visits[4, 0] == visits[4, 1]
    beside = [set(zip(*pairs_in_vain(drawn[4, seed]), strict=True)) for seed in (0, 1)]
    assert beside[0] != beside[1]


@pytest.mark.train
def test_the_rehearsal_measures_what_was_held_out_and_aimed_at(rehearsed):
    result, drawn, made = rehearsed
    held = json.loads((result.folder / "rehearsal-held.json").read_text())
    validation = load_examples(result.folder / "rehearsal-validation.parquet")
    items = validation.column("item_id").tolist()
    met = Counter(item for item in items if item in held)
    # Four are rehearsed, of more: those that are shown most.
    most = sorted(met, key=lambda item: (-met[item], item))[:4]
    assert len(met) > 4
    for amount in (2, 4):
        rows = drawn[amount, 0]
        assert set(rows.column("item_id")[rows.labels].tolist()) == set(most)
    rows = np.isin(items, most)
    assert validation.labels[rows].sum() >= ValidationObjective().fewest
    assert result.measured == "held out"
    for place, amount in enumerate(result.curve.amounts):
        for seed in (0, 1):
            tables = [
                made[n, seed].set_column(
                    made[n, seed].schema.get_field_index("item_cold"), "item_cold", pa.array(rows)
                )
                for n in (amount, 0)
            ]
            objective = ValidationObjective(cold=True)
            assert result.curve.scores[place][seed] == pytest.approx(objective.score(tables[0]))
            assert result.curve.harms[place][seed] == pytest.approx(objective.harm(*tables))


@pytest.mark.train
def test_few_responses_of_the_held_out_are_told(log, tmp_path, monkeypatch, capsys):
    with_curve(monkeypatch, 0)
    monkeypatch.setattr(ValidationObjective, "uses_cold", lambda *_: False)
    assert coldstart(log, tmp_path / "cold", settings(amounts=(2,))).measured == "all"
    assert "all rows are measured instead" in " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def rehearsed(log, tmp_path_factory):
    """A rehearsal with two seeds, the rows that each training added, and their scores."""
    drawn, made = {}, {}
    train = ArmTrainer.train

    def seen(trainer, arm, added, alpha, seed, **options):
        # Four items are aimed at.
        amount = 0 if added is None else round(added.labels.sum() / 4)
        assert alpha == 1.0
        drawn[amount, seed] = added
        scores = train(trainer, arm, added, alpha, seed, **options)
        made[amount, seed] = scores.validation
        return scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArmTrainer, "train", seen)
        with_curve(patch, 0)
        folder = tmp_path_factory.mktemp("rehearsed")
        result = coldstart(log, folder, settings(seeds=(0, 1), most_rehearsed=4))
    return result, drawn, made


def pairs_in_vain(rows):
    vain = ~rows.labels
    return rows.column("search_id")[vain].tolist(), rows.column("item_id")[vain].tolist()


@pytest.mark.train
def test_the_simulated_rows_are_fused_as_told(filled, log, tmp_path, monkeypatch):
    with_curve(monkeypatch, 4)
    fusion = {"strategy": "by_diversity", "keep_share": 0.5, "drop_duplicates": False}
    added, train = [], ArmTrainer.train

    def seen(trainer, arm, rows, alpha, seed, **options):
        if rows is not None:
            assert set((rows.weights * alpha).tolist()) == {0.5}
            added.append(len(set(rows.column("search_id").tolist())))
        return train(trainer, arm, rows, alpha, seed, **options)

    monkeypatch.setattr(ArmTrainer, "train", seen)
    result = coldstart(log, tmp_path / "cold", settings(alpha=0.5, most_rehearsed=2, fusion=fusion))
    # Half of two and of four visits at two items.
    assert added == [2, 4]
    fused = load_examples(result.fused)
    added = fused.take(fused.synthetic)
    whole = load_examples(filled[1].fused)
    slates = len(set(whole.column("search_id")[whole.synthetic].tolist()))
    assert len(set(added.column("search_id").tolist())) == slates / 2
    assert set(added.weights.tolist()) == {0.5}
    provenance = pq.read_table(tmp_path / "cold" / "provenance.parquet")
    kept = provenance.filter(pc.equal(provenance["outcome"], "kept"))
    assert kept["example_id"].to_pylist() == added.column("example_id").tolist()
    assert provenance.num_rows == int(whole.synthetic.sum())


def test_what_the_table_of_cold_starts_sets_is_refused_elsewhere():
    with pytest.raises(ValueError, match=r"coldstart\.alpha"):
        settings(fusion={"alpha": 0.1})
    with pytest.raises(ValueError, match=r"coldstart\.beside"):
        settings(fusion={"beside": "random"})


@pytest.mark.train
def test_the_command_takes_settings_and_says_what_came_out(log, tmp_path, monkeypatch):
    with_curve(monkeypatch, 2, margin=1.0)
    path = tmp_path / "cold.toml"
    path.write_text(
        "[coldstart]\namounts = [2]\nrehearsed = 0.3\nseeds = [0]\n"
        "[personas]\ncount = 20\nsegments = 3\nk_anonymity = 3\n"
        "[training]\nmax_steps = 2\nmax_tokens = 16\ntrained_layers = 1\n"
        '[fusion]\nstrategy = "by_diversity"\nkeep_share = 0.5\ndrop_duplicates = false\n',
        encoding="utf-8",
    )
    shown = CliRunner().invoke(
        app,
        [
            "coldstart",
            str(log),
            str(tmp_path / "out"),
            *("--until", "2024-03-01", "--label", "clicked", "--item", "i3"),
            *("--engine", "scripted", "--settings", str(path)),
        ],
    )
    assert shown.exit_code == 0, shown.output
    assert "2 visits each of the items are enough" in shown.output
    assert pq.read_table(tmp_path / "out" / "items.parquet")["item_id"].to_pylist() == ["i3"]
    fused = load_examples(tmp_path / "out" / "fused.parquet")
    assert fused.take(fused.synthetic).labels.sum() == 1


def test_all_settings_are_printed_and_can_be_read_back(log, tmp_path):
    shown = CliRunner().invoke(
        app, ["coldstart", str(log), str(tmp_path / "x"), "--until", "2024-03-01", "--check"]
    )
    assert shown.exit_code == 0, shown.output
    printed = tomllib.loads(shown.output)
    assert ColdStartSettings.model_validate(printed) == ColdStartSettings.model_validate(
        {"coldstart": {"until": UNTIL}}
    )
    assert printed["coldstart"]["most_rehearsed"] == 100
    assert not (tmp_path / "x").exists()


def test_a_missing_tracker_is_told_before_any_work(log, tmp_path, monkeypatch):
    monkeypatch.setattr("footfall.finetune.tracking.find_spec", lambda name: None)
    chosen = ColdStartSettings.model_validate(
        {"coldstart": {"until": UNTIL}, "training": {"report_to": "wandb"}}
    )
    with pytest.raises(MissingPartError, match="wandb"):
        coldstart(log, tmp_path / "x", chosen)
    assert not (tmp_path / "x").exists()


def test_wrong_use_is_refused(log, tmp_path):
    with pytest.raises(ValueError, match="until"):
        ColdStartSettings.model_validate({})
    with pytest.raises(ValueError, match="rise"):
        settings(amounts=(4, 2))
    runner = CliRunner()
    shown = runner.invoke(app, ["coldstart", str(log), str(tmp_path / "x")])
    assert shown.exit_code != 0


@pytest.mark.train
def test_items_that_the_log_lacks_or_no_gap_are_refused(log, tmp_path, monkeypatch):
    # Told before anything is simulated or trained.
    monkeypatch.setattr(_ColdStart, "_rehearse", lambda *_: pytest.fail("told too late"))
    with pytest.raises(CatalogueError, match="no item 'nothing-like-it'"):
        coldstart(log, tmp_path / "one", settings(items=("i3", "nothing-like-it")))
    with pytest.raises(CatalogueError, match="no person 'nobody'"):
        coldstart(log, tmp_path / "one", settings(of="users", users=("u1", "nobody")))
    assert not (tmp_path / "one").exists()
    with Log.open(log) as opened:
        everything = opened.query("SELECT DISTINCT item_id FROM items")["item_id"].to_pylist()
    assert len(everything) == 24
    whole = tmp_path / "whole.duckdb"
    whole.write_bytes(log.read_bytes())
    with Log.open(whole, read_only=False) as opened:
        opened.execute("DELETE FROM items WHERE item_id IN ('i3', 'i9')")
        opened.execute("DELETE FROM impressions WHERE item_id IN ('i3', 'i9')")
    with pytest.raises(DataError, match="no gap"):
        coldstart(whole, tmp_path / "two", settings())


@pytest.fixture(scope="module")
def met(log, tmp_path_factory):
    """People held out and people without history, at whom visits are aimed."""
    with pytest.MonkeyPatch.context() as patch:
        with_curve(patch, 4)
        folder = tmp_path_factory.mktemp("met")
        path = folder / "shop.duckdb"
        path.write_bytes(log.read_bytes())
        with Log.open(path, read_only=False) as opened:
            opened.execute("DELETE FROM purchases WHERE user_id IN ('u1', 'u2')")
            opened.execute(
                "DELETE FROM impressions WHERE shown_at < $until AND search_id IN (SELECT search_id"
                " FROM searches JOIN sessions USING (session_id) WHERE user_id IN ('u1', 'u2'))",
                {"until": UNTIL},
            )
            opened.execute("""UPDATE users SET demographics = '{"age": "65+"}'""")
        result = coldstart(path, folder / "out", settings(of="users"))
        return folder / "out", result


@pytest.mark.train
def test_people_without_history_are_found_and_come(met):
    folder, result = met
    rows = {row["user_id"]: row for row in result.changes.to_pylist()}
    real = load_examples(folder / "filled-train.parquet")
    purchasers = set(real.column("user_id")[real.labels].tolist())
    assert {"u1", "u2"} <= set(rows)
    assert not set(rows) & purchasers
    for row in rows.values():
        assert row["visits"] == 5
        assert row["probes"] == 1
        assert row["came_for"]
        assert 1 <= row["rank_after"] <= 9
    held = set(json.loads((folder / "rehearsal-held.json").read_text()))
    assert held
    assert not held & set(
        load_examples(folder / "rehearsal-train.parquet").column("user_id").tolist()
    )
    validation = load_examples(folder / "rehearsal-validation.parquet")
    assert held & set(validation.column("user_id").tolist())
    cold = validation.column("user_cold")
    assert cold[np.isin(validation.column("user_id"), list(held))].all()


@pytest.mark.train
def test_people_without_history_are_described_as_real_ones_are(met):
    out, result = met
    fused = load_examples(result.fused)
    added = fused.take(fused.synthetic)
    (told,) = set(added.column("shopper_text"))
    assert told.startswith("65+ ; ")
    assert all(len(history) == 0 for history in added.column("shopper_history"))
    validation = load_examples(next(out.glob("**/*filled-validation.parquet")))
    unknown = [len(history) == 0 for history in validation.column("shopper_history")]
    # Interests of the people around them, whoever these are.
    assert {text.count(" ; ") for text in validation.column("shopper_text")[unknown]} == {1}
    assert int(added.labels.sum()) == 4 * result.changes.num_rows


@pytest.mark.train
def test_an_interrupted_fill_keeps_its_visits(filled, log, tmp_path, monkeypatch):
    with_curve(monkeypatch, 4)
    folder = tmp_path / "cold"
    train = _ColdStart._train
    monkeypatch.setattr(_ColdStart, "_train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        coldstart(log, folder, settings())
    monkeypatch.setattr(_ColdStart, "_train", train)
    monkeypatch.setattr(
        "footfall.simulator.aimed_visits.visit_rows", lambda *_, **__: pytest.fail("visited again")
    )
    result = coldstart(log, folder, settings())
    assert load_examples(result.fused).table.equals(load_examples(filled[1].fused).table)


@pytest.mark.train
def test_no_probe_and_no_gain_later_are_no_errors(filled, log, tmp_path, monkeypatch):
    folder = tmp_path / "cold"
    shutil.copytree(filled[0], folder)
    rows = _ColdStart._rows

    def without_probes(found, name, run, each, which, amount, **options):
        if which == ">=":
            raise EmptyLogError("no response")
        return rows(found, name, run, each, which, amount, **options)

    monkeypatch.setattr(_ColdStart, "_rows", without_probes)
    told = settings(margin=0.5)
    with_curve(monkeypatch, 2, margin=0.5)
    result = coldstart(log, folder, told)
    assert set(result.changes["probes"].to_pylist()) == {None}
    assert result.changes["visits"].to_pylist() == [3, 3]
    assert (folder / "model-real").exists()
    with_curve(monkeypatch, 0, margin=0.25)
    assert coldstart(log, folder, settings(margin=0.25)).enough == 0
    assert not (folder / "model-real").exists()


@pytest.mark.train
@pytest.mark.parametrize("part", ["another", None])
def test_a_model_that_may_know_what_is_held_out_is_warned_of(
    log, tmp_path, monkeypatch, capsys, part
):
    with_curve(monkeypatch, 0)
    folder = tmp_path / "cold"
    coldstart(log, folder, settings(amounts=(2,)))
    assert "may know" not in capsys.readouterr().err
    if part is None:
        with Log.open(folder / "rehearsal.duckdb") as rehearsal:
            part = log_part(rehearsal)

    def identity(engine):
        return EngineIdentity(
            "scripted", "m", "h", tuned=True, tuned_until="2024-03-01T00:00:00", tuned_part=part
        )

    monkeypatch.setattr(ScriptedEngine, "identity", property(identity))
    with_curve(monkeypatch, 0, margin=0.5)
    coldstart(log, folder, settings(amounts=(2,), margin=0.5))
    said = " ".join(capsys.readouterr().err.split())
    assert ("may know the items that are held out" in said) == (part == "another")


@pytest.mark.parametrize(
    ("table", "name", "value", "place"),
    [
        ("aim", "visits_per_item", 3, "coldstart.amounts"),
        ("aim", "label", "clicked", "coldstart.label"),
        ("aim", "seed", 4, "coldstart.seed"),
        ("aim", "aim", "people", "coldstart.of"),
        ("fusion", "seed", 4, "coldstart.seed"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(table, name, value, place):
    told = SETTINGS | {table: {name: value}}
    with pytest.raises(ValueError, match=rf"{table}\.{name} has no say here: set {place}"):
        ColdStartSettings.model_validate(told)


def test_items_and_people_are_not_named_at_once():
    with pytest.raises(ValueError, match="items are named"):
        settings(of="users", items=("i3",))
