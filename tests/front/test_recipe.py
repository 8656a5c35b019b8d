import json
import os
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from footfall import steps
from footfall.errors import DataError, SettingError
from footfall.recipe import Source, load_recipe, run_recipe
from footfall.simulator import Log
from footfall.simulator.engines.bundled import folder_hashes
from footfall.simulator.ingest import load_mapping
from footfall.stages import Stages, canonical

RECIPE = """
title = "Small shop"
folder = "{folder}"

[source]
name = "{source}/mapping.toml"
folder = "{source}"

[split]
train_until = 2024-03-10
validation_until = 2024-03-25
label = "clicked"

[personas]
count = 20
segments = 3
k_anonymity = 3

[engine]
kind = "scripted"

[simulation]
sessions = 40
scored_slates = 5
page_size = 8

[training]
epochs = 1
max_steps = 4
max_tokens = 16

[evaluation]
seeds = [0]
resamples = 100
likeness_splits = 4
"""


def recipe_file(tmp_path, source, **changes):
    text = RECIPE.format(folder=tmp_path / "run", source=source)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_source):
    folder = tmp_path_factory.mktemp("recipe")
    path = recipe_file(folder, small_source)
    return path, run_recipe(path)


@pytest.fixture
def trained(monkeypatch):
    """The rows that each model was trained on, by its name."""
    found = {}
    train = steps.train_anew_if_changed

    def seen(rows, output, **options):
        found[output.name] = rows
        return train(rows, output, **options)

    monkeypatch.setattr(steps, "train_anew_if_changed", seen)
    return found


@pytest.mark.train
def test_the_whole_loop_runs_from_one_file(finished):
    _, result = finished
    with Log.open(result.log) as log:
        assert log.count("sessions", result.run_id) == result.sessions == 40
        assert log.count("sessions", "real") == 300
    assert set(result.comparison.evaluations) == {
        "real",
        "synthetic",
        "oversampled",
        "random-pairs",
    }
    weight = json.loads((result.folder / "weight.json").read_text())["chosen"]
    assert result.verdict.startswith("Leave the synthetic sessions out") == (weight == 0)
    verdict = next(row.verdict for row in result.comparison.verdicts if row.slice == "all")
    assert {"helped": "sessions helped. ", "no evidence": "no evidence", "hurt": "sessions hurt"}[
        verdict
    ] in result.verdict
    page = result.report.read_text(encoding="utf-8")
    assert "Small shop" in page
    assert result.run_id in page


@pytest.mark.train
def test_all_arms_have_the_same_real_rows_and_the_same_added_weight(finished):
    from footfall.finetune import load_examples

    _, result = finished
    folder = result.folder / "examples"
    sets = {
        name: load_examples(folder / f"{name}.parquet")
        for name in ("real", "synthetic", "oversampled", "random-pairs")
    }
    added = sets["synthetic"].weights[sets["synthetic"].synthetic].sum()
    assert added > 0
    for name, examples in sets.items():
        real = examples.take(~examples.synthetic)
        assert real.table.select(["example_id", "weight"]) == sets["real"].table.select(
            ["example_id", "weight"]
        )
        if name != "real":
            assert examples.weights[examples.synthetic].sum() == pytest.approx(added)


@pytest.mark.train
def test_every_training_seed_has_a_draw_of_its_own(finished, tmp_path, small_source, trained):
    from footfall.finetune import load_examples

    shutil.copytree(finished[1].folder, tmp_path / "run")
    fusion = '[fusion]\nbeside = "popularity"\n\n[evaluation]\nseeds = [1, 0]'
    run_recipe(recipe_file(tmp_path, small_source, **{"[evaluation]\nseeds = [0]": fusion}))
    folder = tmp_path / "run" / "examples"
    draws = {1: folder, 0: folder / "draw-0"}
    for place in draws.values():
        provenance = pq.read_table(place / "provenance.parquet")
        kept = provenance.filter(pc.equal(provenance["outcome"], "kept"))["example_id"]
        rows = load_examples(place / "synthetic.parquet")
        assert set(kept.to_pylist()) == set(rows.column("example_id")[rows.synthetic])
    for arm in ("synthetic", "oversampled", "random-pairs"):
        sets = {seed: load_examples(at / f"{arm}.parquet") for seed, at in draws.items()}
        for seed, rows in sets.items():
            assert trained[f"{arm}-{seed}"].table.equals(rows.table)
        added = [rows.take(rows.synthetic) for rows in sets.values()]
        assert added[0].column("item_id").tolist() != added[1].column("item_id").tolist()
        for rows, at in zip(added, draws.values(), strict=True):
            assert len(rows) == load_examples(at / "synthetic.parquet").synthetic.sum()
    real = [load_examples(at / "real.parquet").table for at in draws.values()]
    assert real[0].equals(real[1])


@pytest.mark.parametrize("seeds", ["[0, 0]", "[-1, 2]", "[]"])
def test_seeds_that_tell_nothing_are_refused(tmp_path, small_source, seeds):
    with pytest.raises(SettingError, match=r"evaluation\.seeds"):
        load_recipe(recipe_file(tmp_path, small_source, **{"seeds = [0]": f"seeds = {seeds}"}))


def test_a_model_that_changed_in_its_folder_is_simulated_with_again(
    tmp_path, small_source, monkeypatch
):
    """Its name stays, its weights do not: nothing that was made with the old ones is kept."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    path = recipe_file(
        tmp_path,
        small_source,
        **{'kind = "scripted"': f'kind = "scripted"\nmodel = "{weights}"'},
    )
    ids = []
    run = Stages.run

    def until_simulated(stages, name, *arguments):
        if name == "simulate":
            ids.append(stages.next_fingerprint(name, arguments[0]))
            raise KeyboardInterrupt
        run(stages, name, *arguments)

    monkeypatch.setattr(Stages, "run", until_simulated)
    for content in (b"one", b"one", b"another"):
        (weights / "model.safetensors").write_bytes(content)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(path)
    assert ids[0] == ids[1] != ids[2]
    assert folder_hashes("a-name", None) == []


@pytest.mark.train
def test_no_training_example_is_later_than_the_training_part(finished):
    from datetime import datetime

    from footfall.finetune import load_examples

    _, result = finished
    latest = max(
        load_examples(result.folder / "examples" / f"{name}.parquet").column("shown_at").max()
        for name in ("real", "synthetic")
    )
    assert latest < datetime(2024, 3, 10)


@pytest.mark.train
def test_a_finished_recipe_is_not_run_again_and_a_change_repeats_only_what_follows(
    finished, tmp_path, small_source
):
    path, result = finished
    weight = json.loads((result.folder / "weight.json").read_text())
    assert weight["chosen"] in {0.0, 0.5}
    before = {p: p.stat().st_mtime_ns for p in result.folder.rglob("*") if p.is_file()}
    run_recipe(path)
    assert before == {p: p.stat().st_mtime_ns for p in result.folder.rglob("*") if p.is_file()}
    copy = tmp_path / "run"
    shutil.copytree(result.folder, copy)
    changed = recipe_file(tmp_path, small_source, **{"likeness_splits = 4": "likeness_splits = 5"})
    kept = [copy / "shop.duckdb", copy / "personas.jsonl", *(copy / "examples").iterdir()]
    made = {path: path.stat().st_mtime_ns for path in kept}
    assert "over 4 splits" in (copy / "report.html").read_text(encoding="utf-8")
    run_recipe(changed)
    assert "over 5 splits" in (copy / "report.html").read_text(encoding="utf-8")
    assert made == {path: path.stat().st_mtime_ns for path in kept}
    assert {*kept} == {*kept[:2], *(copy / "examples").iterdir()}


@pytest.mark.train
def test_a_log_of_other_source_settings_is_never_overwritten(finished, tmp_path, small_source):
    _, result = finished
    shutil.copytree(result.folder, tmp_path / "run")
    changed = recipe_file(
        tmp_path, small_source, **{"[source]": "[source]\nlargest_reject_share = 0.5"}
    )
    with pytest.raises(DataError, match="other source settings"):
        run_recipe(changed)


def test_the_packaged_recipe_is_valid():
    recipe = load_recipe("complete-journey")
    assert recipe.simulation.sessions >= 200
    assert recipe.source.name == "complete-journey"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[split]", "[split]\nsplat = 1", r"split\.splat"),
        ("count = 20", "count = 0", r"personas\.count"),
        ('label = "clicked"', 'label = "liked"', r"split\.label"),
        ("validation_until = 2024-03-25", "validation_until = 2024-03-01", "time order"),
        ("seeds = [0]", "seeds = [0]\nalpha_budgets = [0.5]", "alpha_budgets"),
        ("[training]", "[training", "not a TOML file"),
        ("[training]", "[fusion]\nalpha = 0.0\n[training]", "above 0"),
    ],
)
def test_a_wrong_setting_is_named_before_any_work(tmp_path, small_source, old, new, message):
    path = recipe_file(tmp_path, small_source, **{old: new})
    with pytest.raises(SettingError, match=message):
        run_recipe(path)
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_names_the_packaged_ones(tmp_path):
    with pytest.raises(SettingError) as caught:
        load_recipe(tmp_path / "none.toml")
    assert "complete-journey" in caught.value.hint


@pytest.mark.train
@pytest.mark.browser
def test_the_report_of_a_whole_recipe_opens_without_a_network(finished):
    from playwright.sync_api import sync_playwright

    path = os.environ.get("FOOTFALL_CHROMIUM") or shutil.which("chromium")
    if not path and not os.environ.get("FOOTFALL_REQUIRE_BROWSER"):
        pytest.skip("there is no Chromium; name one in FOOTFALL_CHROMIUM")
    _, result = finished
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        problems = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(result.report.as_uri())
        words = page.inner_text("body")
        tables, figures = page.locator("table").count(), page.locator("svg").count()
        browser.close()
    assert problems == []
    assert "Small shop" in words
    assert f"--folder {result.folder}" in words
    assert result.verdict.split(".")[0] in words
    assert "牛奶" in words
    assert tables > 5
    assert figures > 1


@pytest.mark.train
def test_the_weight_can_be_chosen_by_successive_halving(finished, tmp_path, small_source, trained):
    from footfall.finetune import load_examples

    _, result = finished
    copy = tmp_path / "run"
    shutil.copytree(result.folder, copy)
    changed = recipe_file(
        tmp_path,
        small_source,
        **{
            "seeds = [0]": 'seeds = [0]\nalphas = [1.0]\nalpha_search = "halving"\n'
            "alpha_budgets = [0.5, 1.0]"
        },
    )
    run_recipe(changed)
    weight = json.loads((copy / "weight.json").read_text())
    # Of two positive weights one is left for the last comparison, beside zero.
    assert len(weight["validation_log_loss"]) == 2
    assert "0.0" in weight["validation_log_loss"]
    names = {path.name for path in (copy / "models").iterdir()}
    assert {"real-0-share-0.5", "synthetic-0-share-0.5", "synthetic-weight-1-0-share-0.5"} <= names
    assert (copy / "examples" / "provenance.parquet").exists()
    whole = load_examples(copy / "examples" / "synthetic.parquet")
    half, heavier = (trained[f"synthetic{name}-0-share-0.5"] for name in ("", "-weight-1"))
    added = half.weights[half.synthetic]
    assert heavier.weights[heavier.synthetic] == pytest.approx(2 * added)
    assert added.size > 0
    slates = len(set(half.column("search_id").tolist()))
    assert slates == pytest.approx(len(set(whole.column("search_id").tolist())) / 2, abs=2)


def test_a_packaged_mapping_that_has_changed_makes_another_log(monkeypatch):
    source = Source(name="coupon")
    before = canonical(source.identity())
    changed = load_mapping("coupon").model_copy(update={"name": "other"})
    monkeypatch.setattr("footfall.recipe.load_mapping", lambda _: changed)
    assert canonical(source.identity()) != before
    monkeypatch.undo()
    assert canonical(source.identity()) == before
    with pytest.raises(SettingError, match="no such mapping"):
        Source(name="coupom").identity()
