"""The classifier's commands: train, score, export-model, classify."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from footfall import steps
from footfall.cli import app
from footfall.commands.options import assigned
from footfall.errors import DataError, SettingError
from footfall.finetune import (
    ClickModel,
    ClickSettings,
    Examples,
    QueryClassifier,
    load_examples,
    save_examples,
)
from footfall.finetune.fusion_report import save_provenance
from footfall.finetune.query_settings import QuerySettings

UNTIL = "2024-02-20"
BRIEF = ["--set", "max_steps=3", "--set", "max_tokens=16", "--set", "trained_layers=1"]


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory, small_source):
    path = tmp_path_factory.mktemp("shop") / "shop.duckdb"
    steps.ingest(str(small_source / "mapping.toml"), path, folder=small_source)
    return path


@pytest.fixture(scope="module")
def parts(shop):
    split = steps.Split(train_until=UNTIL, validation_until="2024-03-10", label="clicked")
    found = steps.read_parts(shop, split)
    for name in ("train", "validation", "test"):
        pq.write_table(getattr(found, name).table, shop.with_name(f"{name}.parquet"))
    return shop.parent


@pytest.fixture(scope="module")
def trained(parts):
    said = call(
        "train", parts / "train.parquet", parts / "model", "--validation",
        parts / "validation.parquet", "--seed", 4, "--set", "calibration=platt", *BRIEF,
    )  # fmt: skip
    return parts / "model", said


@pytest.mark.train
def test_train_takes_any_setting_and_says_how_it_went(trained):
    folder, said = trained
    model = ClickModel.load(folder)
    assert model.settings.seed == 4
    assert model.settings.calibration == "platt"
    assert model.settings.max_steps == 3
    figures = model.card["training"]
    assert f"{figures['start_log_loss']:.4f} at the start" in said
    assert f"{figures['best_log_loss']:.4f} at the best" in said
    assert f"Validation AUC: {figures['best_metrics']['auc']:.4f}" in said


@pytest.mark.train
def test_score_reads_tables_folders_and_logs(trained, parts, shop, tmp_path):
    folder, _ = trained
    test = load_examples(parts / "test.parquet")
    expected = ClickModel.load(folder).predict_proba(test)
    said = call("score", folder, parts / "test.parquet", tmp_path / "scores.parquet")
    assert f"{len(test):,} rows scored" in said
    scores = pq.read_table(tmp_path / "scores.parquet")
    assert scores["probability"].to_numpy() == pytest.approx(expected, abs=1e-6)
    (tmp_path / "rows").mkdir()
    pq.write_table(test.table.slice(0, 8), tmp_path / "rows" / "a.parquet")
    call("score", folder, tmp_path / "rows", tmp_path / "scores.parquet", "--correct-prior")
    few = pq.read_table(tmp_path / "scores.parquet")["probability"].to_numpy()
    # No negative was left out of this log.
    assert few == pytest.approx(expected[:8], abs=1e-6)
    call(
        "score", folder, shop, tmp_path / "scores.parquet", "--until", UNTIL,
        "--start", "2024-03-10", "--label", "clicked",
    )  # fmt: skip
    logged = pq.read_table(tmp_path / "scores.parquet")
    by_id = dict(zip(test.column("example_id"), expected, strict=True))
    assert set(logged["example_id"].to_pylist()) == set(by_id)
    found = [by_id[name] for name in logged["example_id"].to_pylist()]
    assert logged["probability"].to_numpy() == pytest.approx(np.array(found), abs=1e-6)


@pytest.mark.train
def test_score_knows_a_log_from_a_table(trained, parts, shop, tmp_path):
    folder, _ = trained
    out = tmp_path / "scores.parquet"
    with pytest.raises(SettingError, match="--until is missing"):
        call("score", folder, shop, out)
    with pytest.raises(SettingError, match="--label belongs to a log"):
        call("score", folder, parts / "test.parquet", out, "--label", "clicked")
    with pytest.raises(DataError, match=r"none\.parquet"):
        call("score", folder, tmp_path / "none.parquet", out)
    assert not out.exists()


@pytest.mark.train
@pytest.mark.parametrize("kind", ["merged", "int8"])
def test_export_says_what_is_lost_and_gained_and_loads(trained, parts, tmp_path, kind):
    folder, _ = trained
    test = parts / "test.parquet"
    said = " ".join(
        call("export-model", folder, tmp_path / "out", "--examples", test, "--kind", kind).split()
    )
    figures = json.loads((tmp_path / "out" / "card.json").read_text())["export"]
    assert figures["kind"] == kind
    assert f"AUC {figures['auc_before']:.4f} -> {figures['auc_after']:.4f}" in said
    assert f"-> {figures['rows_per_second_after']:,.0f} (" in said
    # The distances to the trained model: none, or that of weights in 8 bits.
    examples = load_examples(test)
    before, after = (
        ClickModel.load(model).predict_log_odds(examples) for model in (folder, tmp_path / "out")
    )
    distance = np.abs(after - before).max()
    assert distance < 1e-4 if kind == "merged" else 1e-4 < distance < np.ptp(before)


@pytest.fixture(scope="module")
def queries(shop):
    # Two categories of four that queries of the same words lead to.
    folder = shop.with_name("queries")
    settings = ["--set", "depth=2", "--set", "smallest_class=3", "--set", "tuning=none"]
    settings += ["--set", "max_steps=60", "--set", "epochs=60", "--set", "batch_size=16"]
    said = call("classify", "train", shop, folder, "--until", UNTIL, *settings)
    return folder, said


@pytest.mark.train
def test_classify_learns_from_a_log_and_compares_itself(queries):
    folder, said = queries
    model = QueryClassifier.load(folder)
    assert model.settings.depth == 2
    for name in ("classifier", "majority", "tfidf"):
        assert f"{name}: accuracy {model.card['validation'][name]['accuracy']:.4f}" in said
    assert f"{len(model.classes)} categories" in said


@pytest.mark.train
def test_an_exported_query_classifier_says_what_it_cost(shop, queries, tmp_path):
    folder, _ = queries
    said = call(
        "classify", "export", shop, folder, tmp_path / "out", "--until", UNTIL, "--kind", "int8"
    )
    card = QueryClassifier.load(folder).card["validation"]["classifier"]
    assert f"Accuracy {card['accuracy']:.4f} -> " in said
    assert "Queries a second" in said
    expected = call("classify", "predict", folder, "soup", "牛奶")
    told = call("classify", "predict", tmp_path / "out", "soup", "牛奶")
    names = [[line.split("\t")[:2] for line in text.splitlines()] for text in (expected, told)]
    assert names[0] == names[1]


@pytest.mark.train
def test_classify_tells_queries_of_every_source(queries, tmp_path):
    folder, _ = queries
    model = QueryClassifier.load(folder)
    expected = model.predict(["soup", "牛奶"])
    said = call("classify", "predict", folder, "soup", "牛奶", "--top", 2)
    lines = [line.split("\t") for line in said.splitlines()]
    assert [line[0] for line in lines] == ["soup", "soup", "牛奶", "牛奶"]
    assert [lines[0][1], lines[2][1]] == expected
    assert float(lines[0][2]) >= float(lines[1][2])
    (tmp_path / "queries.txt").write_text("soup\n\n牛奶\n", encoding="utf-8")
    pq.write_table(pa.table({"query": ["soup", None, "牛奶"]}), tmp_path / "queries.parquet")
    for name in ("queries.txt", "queries.parquet"):
        call("classify", "predict", folder, "--file", tmp_path / name, "-o", tmp_path / "out")
        found = pq.read_table(tmp_path / "out").to_pydict()
        assert found["query"] == ["soup", "牛奶"]
        assert found["category"] == expected
        assert found["rank"] == [1, 1]
        own = model.predict_proba(["soup", "牛奶"]).max(1)
        assert found["probability"] == pytest.approx(own, abs=1e-6)


def test_queries_that_cannot_be_read_are_told(tmp_path):
    model = tmp_path / "model"
    with pytest.raises(SettingError, match="as arguments or by --file"):
        call("classify", "predict", model)
    with pytest.raises(SettingError, match="as arguments or by --file"):
        call("classify", "predict", model, "soup", "--file", tmp_path / "queries.txt")
    with pytest.raises(DataError, match=r"queries\.txt: queries cannot be read"):
        call("classify", "predict", model, "--file", tmp_path / "queries.txt")
    pq.write_table(pa.table({"words": ["soup"]}), tmp_path / "queries.parquet")
    with pytest.raises(DataError, match=r"queries\.parquet: queries cannot be read"):
        call("classify", "predict", model, "--file", tmp_path / "queries.parquet")


def test_options_reach_every_setting():
    given = ["tuning=ia3", "learning_rate=1e-3", 'features=["price_log"]', "length_grouped=true"]
    assert assigned(given, ClickSettings) == {
        "tuning": "ia3",
        "learning_rate": 1e-3,
        "features": ["price_log"],
        "length_grouped": True,
    }
    for kind in (ClickSettings, QuerySettings):
        for name in kind.model_fields:
            assert assigned([f"{name}=1"], kind) == {name: 1}
    for wrong in ("learning_rte=1", "learning_rate", "=1"):
        with pytest.raises(SettingError, match="is not NAME=VALUE of a setting"):
            assigned([wrong], ClickSettings)
    assert assigned(None, ClickSettings) == {}


@pytest.mark.train
def test_choose_alpha_writes_sets_at_the_chosen_weight(parts, tmp_path):
    real = load_examples(parts / "train.parquet")
    added = real.with_column("origin", ["run-1"] * len(real))
    save_examples(Examples.concat([real, added]), tmp_path / "synthetic.parquet")
    save_examples(load_examples(parts / "validation.parquet"), tmp_path / "validation.parquet")
    fates = {"example_id": ["a"], "alpha": [0.5], "weight": [2.0]}
    save_provenance(pa.table(fates), tmp_path / "provenance.parquet")
    said = call("choose-alpha", tmp_path, "--factor", 0.5, "--seeds", 1, *BRIEF)
    told = json.loads((tmp_path / "chosen" / "alpha.json").read_text())
    assert told["alpha"] in {0.0, 0.5}
    assert ("Chosen: 0.5 times" in said) == (told["alpha"] == 0.5)
    after = load_examples(tmp_path / "chosen" / "synthetic.parquet")
    assert after.weights[after.synthetic].sum() == pytest.approx(
        told["alpha"] * added.weights.sum()
    )
    fate = pq.read_table(tmp_path / "chosen" / "provenance.parquet").to_pylist()[0]
    assert (fate["alpha"], fate["weight"]) == (0.5 * told["alpha"], 2.0 * told["alpha"])


@pytest.mark.train
@pytest.mark.parametrize("task", ["train", "classify"])
def test_an_interrupted_command_goes_on_with_resume(task, shop, parts, tmp_path, monkeypatch):
    model = tmp_path / "model"
    brief = ["--set", "max_steps=4", "--set", "evaluations=4", "--set", "patience=9"]
    brief += ["--set", "max_tokens=16", "--set", "trained_layers=1"]
    if task == "train":
        validation = parts / "validation.parquet"
        command = ["train", parts / "train.parquet", model, "--validation", validation, *brief]
    else:
        command = ["classify", "train", shop, model, "--until", UNTIL, *brief]
        command += ["--label", "clicked", "--set", "depth=2", "--set", "smallest_class=3"]

    def broken_off(watch, args, state, control, **_):
        if state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("footfall.finetune.training._Watch.on_step_end", broken_off)
        assert CliRunner().invoke(app, list(map(str, command))).exit_code != 0
    assert not (model / "card.json").exists()
    call(*command, "--resume")
    card = json.loads((model / "card.json").read_text(encoding="utf-8"))
    assert card["training"]["resumed_at_step"] == 2
    assert card["training"]["steps"] == card["training"]["planned_steps"] >= 3
