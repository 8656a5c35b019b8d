from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from footfall import steps
from footfall.cli import app
from footfall.errors import DataError, SettingError
from footfall.eval.arm_training import ArmTrainer
from footfall.finetune import load_examples
from footfall.finetune.arms import CONTROLS
from footfall.lift import run_lift
from footfall.lift_recipe import LLM_ARMS, LiftRecipe
from footfall.recipe import load_settings
from footfall.simulator import Log

ARMS = [
    "oversampled",
    "random-pairs",
    "popularity",
    "title",
    "neighbours",
    "pseudo-labels",
    "augment:crop",
    "generator:markov",
    "ceiling",
    "llm-untuned",
    "fused:llm-untuned",
]
RECIPE = """
title = "Small proof"
folder = "{folder}"

[source]
name = "{source}/mapping.toml"
folder = "{source}"

[parts]
train_until = 2024-02-20
validation_until = 2024-03-10
label = "clicked"
cold_items = 0.2
cold_validation_items = 0.1

[personas]
count = 20
segments = 3
k_anonymity = 3

[engine]
kind = "scripted"

[aim]
visits_per_item = 30

[training]
epochs = 1
max_steps = 3
max_tokens = 16
trained_layers = 1

[proof]
arms = {arms}
seeds = [0, 1]
alphas = [1.0]
alpha_seeds = [100]
alpha_budgets = [1.0]
resamples = 100
"""


def recipe_file(folder, source, arms=ARMS, **changes):
    text = RECIPE.format(folder=folder / "run", source=source, arms=json.dumps(arms))
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "lift.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load(path):
    return load_settings(LiftRecipe, path, hint="")


@pytest.fixture(scope="module")
def seen(tmp_path_factory, small_source):
    """A proof, the rows that each arm and seed was trained with, and the log of the personas."""
    folder = tmp_path_factory.mktemp("lift")
    path = recipe_file(folder, small_source)
    trained, logs = {}, []
    train, make_personas = ArmTrainer.train, steps.make_personas

    def seen_training(trainer, arm, added, alpha, seed, **options):
        trained[arm, seed] = added
        return train(trainer, arm, added, alpha, seed, **options)

    def seen_log(*arguments, log, **options):
        logs.append(log)
        return make_personas(*arguments, log=log, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArmTrainer, "train", seen_training)
        patch.setattr(steps, "make_personas", seen_log)
        result = run_lift(load(path))
    return path, result, trained, logs


@pytest.fixture(scope="module")
def proved(seen):
    return seen[:2]


@pytest.mark.train
def test_every_arm_is_trained_with_every_seed(proved):
    _, result = proved
    assert set(result.comparison.evaluations) == {"real", *ARMS}
    assert {found.seeds for found in result.comparison.evaluations.values()} == {2}
    assert result.comparison.synthetic == ["llm-untuned", "fused:llm-untuned"]
    assert set(result.comparison.controls) == set(ARMS) - {
        "llm-untuned",
        "fused:llm-untuned",
        "ceiling",
    }
    for arm in ("real", *ARMS):
        for seed in (0, 1):
            table = pq.read_table(
                result.folder / "scores" / f"test-{arm.replace(':', '-')}-{seed}.parquet"
            )
            assert table.num_rows == len(load_examples(result.folder / "examples/test.parquet"))


@pytest.mark.train
def test_arms_add_as_many_rows_of_as_much_weight(proved):
    _, result = proved
    folder = result.folder / "examples"
    real = load_examples(folder / "train.parquet")
    for arm in ARMS:
        added = load_examples(folder / f"arm-{arm.replace(':', '-')}-0.parquet")
        assert added.weights.sum() == pytest.approx(len(real))
        # There are only so many held-out responses, and fusion merges what asks the same.
        least = {"ceiling": 0.2, "fused:llm-untuned": 0.1}.get(arm, 0.8)
        assert len(added) >= least * len(real)
        assert (np.ptp(added.weights) > 0) == arm.startswith("fused:")
        assert added.synthetic.all()
    rates = {
        arm: load_examples(folder / f"arm-{arm}-0.parquet").labels.mean()
        for arm in ("title", "llm-untuned", "popularity")
    }
    assert max(rates.values()) - min(rates.values()) < 0.02


def contents(rows, *names):
    return set(zip(*(rows.column(name).tolist() for name in names), strict=True))


@pytest.mark.train
def test_what_fusion_did_to_an_arm_s_rows_is_told_for_every_seed(proved):
    _, result = proved
    for seed in (0, 1, 100):
        name = f"arm-fused-llm-untuned-{seed}"
        told = pq.read_table(result.folder / "examples" / f"{name}.provenance.parquet")
        kept = set(told.filter(pc.equal(told["outcome"], "kept"))["example_id"].to_pylist())
        rows = load_examples(result.folder / "examples" / f"{name}.parquet")
        assert len(rows)
        assert set(rows.column("example_id")) <= kept


@pytest.mark.train
def test_what_is_copied_comes_from_the_training_part_alone(proved):
    _, result = proved
    folder = result.folder / "examples"
    copied = load_examples(folder / "arm-oversampled-0.parquet")
    named = ("user_id", "item_id", "query", "shown_at", "label")
    assert contents(copied, *named) <= contents(load_examples(folder / "train.parquet"), *named)
    # The held-out items' own responses, of the training part as well.
    ceiling = load_examples(folder / "arm-ceiling-0.parquet")
    with Log.open(result.folder / "shop.duckdb") as log:
        before, later = (
            set(
                zip(
                    *log.query(
                        "SELECT user_id, item_id FROM impressions JOIN searches USING (search_id) "
                        "JOIN sessions USING (session_id) "
                        f"WHERE clicked AND searched_at {sign} TIMESTAMP '2024-02-20'"
                    )
                    .to_pydict()
                    .values(),
                    strict=True,
                )
            )
            for sign in ("<", ">=")
        )
    taken = contents(ceiling.take(ceiling.labels), "user_id", "item_id")
    assert taken <= before
    assert later - before


@pytest.mark.train
def test_every_seed_is_trained_with_its_own_rows(seen):
    _, result, trained, _ = seen
    for arm in ARMS:
        name = arm.replace(":", "-")
        for seed in (0, 1, 100):
            drawn = load_examples(result.folder / "examples" / f"arm-{name}-{seed}.parquet")
            assert trained[arm, seed].table.equals(drawn.table), (arm, seed)
        scores = [
            pq.read_table(result.folder / "scores" / f"test-{name}-{seed}.parquet")["probability"]
            for seed in (0, 1)
        ]
        assert scores[0] != scores[1]


@pytest.mark.train
def test_every_seed_draws_its_arms_rows(proved):
    _, result = proved
    folder = result.folder / "examples"
    for arm in ARMS:
        drawn = [
            load_examples(folder / f"arm-{arm.replace(':', '-')}-{seed}.parquet")
            for seed in (0, 1, 100)
        ]
        assert len({len(rows) for rows in drawn}) == 1 or arm.startswith("fused:")
        told = {
            tuple(
                zip(
                    *(rows.column(name).tolist() for name in ("item_id", "query", "label")),
                    strict=True,
                )
            )
            for rows in drawn
        }
        assert len(told) == 3


@pytest.mark.train
def test_what_learns_never_saw_the_later_parts(seen):
    _, result, _, logs = seen
    assert logs == [result.folder / "training.duckdb"]
    with Log.open(result.folder / "training.duckdb") as log:
        latest = log.query(
            "SELECT max(searched_at) AS m FROM searches WHERE origin = 'real'"
        ).to_pylist()[0]["m"]
        runs = log.query("SELECT kind, configuration FROM runs ORDER BY kind").to_pylist()
    assert latest.isoformat() < "2024-02-20"
    by_kind = {row["kind"]: json.loads(row["configuration"]) for row in runs}
    assert by_kind["aimed"]["knowledge_part"] == by_kind["part"]["part"]


@pytest.mark.train
def test_a_weight_of_zero_is_the_real_arm(proved):
    _, result = proved
    zero = [arm for arm, alpha in result.alphas.items() if alpha == 0]
    # After three steps rows of mere popularity, at full weight, make the log loss a tenth larger.
    assert "popularity" in zero
    real = result.comparison.evaluations["real"].row("auc").value
    for arm, alpha in result.alphas.items():
        found = result.comparison.evaluations[arm].row("auc").value
        assert (found == real) == (alpha == 0), arm
    assert ("Leave the rows of llm-untuned out" in result.verdict) == ("llm-untuned" in zero)


@pytest.mark.train
def test_the_report_and_the_files_say_the_same(proved):
    _, result = proved
    page = result.report.read_text(encoding="utf-8")
    assert "Small proof" in page
    for arm in ARMS:
        assert arm in page
    assert "reconstructed" not in page
    stored = json.loads((result.folder / "lift.json").read_text(encoding="utf-8"))
    assert stored == result.comparison.model_dump(mode="json")


@pytest.mark.train
def test_the_report_says_how_to_repeat_the_proof(proved):
    _, result = proved
    page = result.report.read_text(encoding="utf-8")
    file = result.folder / "recipe-as-run.toml"
    assert f"footfall lift {file}" in page
    assert load(file).proof.arms == tuple(ARMS)
    repeated = page[page.index('id="repeat"') :]
    assert "Training seeds 0, 1; those of the choice of weights 100." in repeated
    assert version("torch") in repeated
    train = load_examples(result.folder / "examples" / "train.parquet")
    assert f"{len(train):,}, {int(train.labels.sum()):,} with a response" in page


@pytest.mark.train
def test_the_printed_recipe_is_the_same_proof(proved):
    """Run from its own folder, nothing is done again."""
    _, result = proved
    before = (result.folder / "stages.json").read_bytes()
    shown = CliRunner().invoke(app, ["lift", str(result.folder / "recipe-as-run.toml")])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("already done") == len(json.loads(before))
    assert (result.folder / "stages.json").read_bytes() == before


@pytest.mark.train
def test_a_second_run_trains_nothing(proved, monkeypatch):
    path, result = proved
    spent = train_seconds(result.folder)
    monkeypatch.setattr(
        "footfall.finetune.click_model.ClickModel.fit", lambda *_, **__: pytest.fail("trained")
    )
    again = run_lift(load(path))
    assert again.comparison == result.comparison
    # More resamples need the scores only.
    recipe = load(path)
    more = recipe.model_copy(update={"proof": recipe.proof.model_copy(update={"resamples": 150})})
    assert run_lift(more).comparison.evaluations["real"].resamples == 150
    # It still says what the trainings took, not what reading their scores did.
    assert train_seconds(result.folder) == pytest.approx(spent, abs=0.2)
    assert spent > 1


def train_seconds(folder):
    stages = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
    return stages["train"]["seconds"]


@pytest.mark.train
def test_the_command_prints_the_verdict(proved):
    path, result = proved
    shown = CliRunner().invoke(app, ["lift", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "cold items" in shown.output
    assert " ".join(result.verdict.split())[:60] in " ".join(shown.output.split())


def test_a_log_without_a_gap_is_refused(tmp_path, small_source):
    path = recipe_file(
        tmp_path,
        small_source,
        arms=["title"],
        **{"cold_items = 0.2": "", "cold_validation_items = 0.1": ""},
    )
    with pytest.raises(DataError, match="no gap"):
        run_lift(load(path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"title"', '"titel"', "titel"),
        ('"title"', '"augment:crops"', "augment:crops"),
        ("epochs = 1", 'epochs = 1\nreport_to = "wandb"', "report_to: a proof keeps no model"),
        ('"title"', '"generator:markow"', "generator:markow"),
        ('"title"', '"fused:llm-tuned"', "needs the arm 'llm-tuned'"),
        ('"title"', '"fused:title"', "fused:title"),
        ("[training]", '[fusion]\nstrategy = "all"\n\n[training]', "real rows as they are"),
        ("[training]", "[generators]\noptions.vae = {}\n\n[training]", "generator:vae"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "twice"),
        ("alphas = [1.0]", "alpha = [1.0]", "alpha"),
        ("cold_items = 0.2", "cold_items = 1.2", "cold_items"),
    ],
)
def test_a_wrong_recipe_is_refused_before_any_work(tmp_path, small_source, old, new, said):
    path = recipe_file(tmp_path, small_source, arms=["title"], **{old: new})
    with pytest.raises(SettingError, match=said):
        load(path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name",
    [
        file.name.removesuffix(".toml")
        for file in files("footfall").joinpath("recipes").iterdir()
        if file.name.startswith("lift-")
    ],
)
def test_packaged_recipes_are_whole(name):
    recipe = load(name)
    assert len(recipe.proof.seeds) >= 5
    assert {*CONTROLS, *LLM_ARMS} <= set(recipe.proof.arms)
    assert np.isfinite(recipe.proof.margin)
