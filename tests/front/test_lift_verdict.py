"""What a proof's report says in words."""

from __future__ import annotations

import json
from math import log
from types import SimpleNamespace

import pyarrow as pa
import pytest
from test_lift import load, recipe_file

from footfall.errors import NoResponseError, SettingError
from footfall.lift import _judged, _Lift, run_lift
from footfall.lift_verdict import FEW_TO_CHOOSE_BY, lift_cautions, lift_sentence
from footfall.simulator import Log


def verdict(arm, name, word):
    return SimpleNamespace(arm=arm, slice=name, verdict=word, reason=f"{arm} on {name}.")


def compared(strangers_only, **told):
    """A comparison whose warm users are no rows where everybody is a stranger."""
    row = SimpleNamespace(difference=None if strangers_only else 0.1)
    versus = SimpleNamespace(row=lambda metric, name: {("auc", "warm users"): row}[metric, name])
    return SimpleNamespace(reference="real", versus=lambda before, after: versus, **told)


@pytest.mark.parametrize("strangers_only", [True, False])
def test_cold_users_are_spoken_of_where_they_are_not_all(strangers_only):
    verdicts = [verdict("llm", "cold users", "hurt"), verdict("llm", "all", "hurt")]
    said = lift_sentence(
        compared(strangers_only, synthetic=["llm"], verdicts=verdicts), {"llm": {"alpha": 1.0}}
    )
    assert said.endswith("All: llm hurt. llm on all.")
    assert ("Cold users: llm hurt. llm on cold users." in said) is not strangers_only


def test_all_synthetic_arms_are_spoken_of_the_last_first():
    comparison = compared(
        True,
        synthetic=["llm-untuned", "llm-tuned"],
        verdicts=[
            verdict("llm-untuned", "cold items", "hurt"),
            verdict("llm-tuned", "cold items", "helped"),
            verdict("llm-tuned", "all", "no evidence"),
        ],
    )
    said = lift_sentence(comparison, {"llm-untuned": {"alpha": 0.0}, "llm-tuned": {"alpha": 1.0}})
    assert said.startswith("Cold items: llm-tuned helped. llm-tuned on cold items. All: llm-tuned")
    assert "Leave the rows of llm-untuned out" in said
    assert "Leave the rows of llm-tuned out" not in said
    assert said.endswith("Cold items: llm-untuned hurt. llm-untuned on cold items.")


@pytest.mark.parametrize(
    ("arms", "judged"),
    [
        (["title", "llm-untuned", "generator:vae"], ["llm-untuned"]),
        (["title", "generator:vae", "augment:crop", "ceiling"], ["generator:vae", "augment:crop"]),
        (["title", "pseudo-labels"], ["pseudo-labels"]),
    ],
)
def test_the_verdict_is_about_what_is_no_plain_control(arms, judged):
    assert _judged(arms) == judged


def test_few_seeds_and_short_arms_are_cautioned_of(tmp_path):
    recipe = load(recipe_file(tmp_path, tmp_path, ["title", "ceiling"]))
    (recipe.folder / "examples").mkdir(parents=True)
    rows = {"title": {"rows": 200}, "ceiling": {"rows": 50}}
    (recipe.folder / "examples" / "arms.json").write_text(json.dumps(rows))
    Log.create(recipe.folder / "shop.duckdb").close()
    alphas = {"title": {"alpha": 0.25}, "ceiling": {"alpha": 1.0}}
    said = " ".join(lift_cautions(alphas, recipe, cold_decides=True))
    assert "title 0.25, ceiling 1." in said
    assert "2 training seeds: fewer than 5" in said
    assert "fewer rows than the largest: ceiling (25%)." in said
    enough = recipe.proof.model_copy(update={"seeds": (0, 1, 2, 3, 4)})
    rows["ceiling"]["rows"] = 199
    (recipe.folder / "examples" / "arms.json").write_text(json.dumps(rows))
    said = " ".join(
        lift_cautions(alphas, recipe.model_copy(update={"proof": enough}), cold_decides=True)
    )
    assert "responses only" not in said
    with Log.open(recipe.folder / "shop.duckdb", read_only=False) as log:
        log.execute(
            "INSERT INTO sessions BY NAME "
            "SELECT 's' AS session_id, 'u' AS user_id, 'real' AS origin"
        )
        log.execute(
            "INSERT INTO searches BY NAME SELECT 's/1' AS search_id, 's' AS session_id, 1 AS step, "
            "1 AS page, 'reconstructed' AS candidates, 'real' AS origin"
        )
    assert "responses only" in " ".join(lift_cautions(alphas, recipe, cold_decides=True))
    assert "fewer than" not in said
    assert "fewer rows" not in said
    assert FEW_TO_CHOOSE_BY not in said
    assert FEW_TO_CHOOSE_BY in lift_cautions(alphas, recipe, cold_decides=False)
    by_all = recipe.proof.model_copy(update={"choose_by": "all"})
    recipe = recipe.model_copy(update={"proof": by_all})
    assert FEW_TO_CHOOSE_BY not in lift_cautions(alphas, recipe, cold_decides=False)


def test_wrong_options_of_a_generator_are_told_before_any_work(tmp_path):
    path = recipe_file(tmp_path, tmp_path, ["title", "generator:vae"])
    path.write_text(path.read_text() + "\n[generators]\noptions.vae = {epoch = 3}\n")
    with pytest.raises(SettingError, match="epoch"):
        run_lift(load(path))
    assert not list((tmp_path / "run").glob("*.duckdb"))


def test_a_table_of_fusion_leaves_open_what_suits_an_arm(tmp_path):
    path = recipe_file(tmp_path, tmp_path, ["title"])
    plain = load(path).fusion
    path.write_text(path.read_text() + "\n[fusion]\nduplicate_similarity = 0.5\n")
    changed = load(path).fusion
    assert (plain.strategy, plain.density) == ("by_feature", "texts")
    assert changed == plain.model_copy(update={"duplicate_similarity": 0.5})


@pytest.mark.parametrize("arms", [["pseudo-labels"], ["title", "llm-untuned"]])
def test_a_response_that_the_logs_own_model_does_not_tell_is_told_early(
    tmp_path, small_source, monkeypatch, arms
):
    path = recipe_file(tmp_path, small_source, arms, **{'label = "clicked"': 'label = "purchased"'})
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[aim]", '[aim]\nresponse = "appeal"'), encoding="utf-8")
    monkeypatch.setattr("footfall.simulator.aimed_response.fitted_response", lambda *_: "clicked")
    monkeypatch.setattr(_Lift, "_make_people", lambda *_: pytest.fail("told too late"))
    with pytest.raises(NoResponseError, match="tells `clicked`, and `purchased`"):
        run_lift(load(path))


@pytest.mark.parametrize(
    ("arm", "lost", "alpha"),
    [
        ("title", (0.04, 0.0), 1.0),
        ("title", (0.06, 0.0), 0.0),
        # The same harm of what the verdict is about: the error between the seeds counts, too.
        ("llm-untuned", (0.04, 0.0), 0.0),
        ("llm-untuned", (0.03, 0.028), 1.0),
    ],
)
def test_a_weight_that_harms_warm_rows_is_not_taken(tmp_path, monkeypatch, arm, lost, alpha):
    """Whatever cold rows gain: by the mean over the seeds, of judged arms an error more."""

    def scores(arm, added, alpha, seed, *, budget):
        # All alike, so that no order can be lost.
        warm = 0.5 - (lost[seed - 100] if alpha else 0.0)
        rows = [(warm, label, False) for label in (True, False)] * 20
        rows += [(0.9 if alpha else 0.5, True, True), (0.1 if alpha else 0.5, False, True)] * 20
        names = ("probability", "label", "item_cold")
        table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return SimpleNamespace(validation=pa.table(table | {"weight": [1.0] * len(rows)}))

    arms = ["title", "llm-untuned"]
    lift = _scored_by(scores, load(recipe_file(tmp_path, tmp_path, arms)), monkeypatch)
    choice = lift._weight(arm)
    assert choice.alpha == alpha
    assert choice.rungs[-1].mean_harms[1] == pytest.approx(_mean_loss(lost), rel=1e-6)


def _mean_loss(lost):
    """Of warm rows of both labels whose chance falls from a half by so much."""
    each = [-(log(0.5 - x) + log(0.5 + x)) / 2 - log(2) for x in lost]
    return sum(each) / len(each)


def _scored_by(scores, recipe, monkeypatch):
    """A proof whose trainings give these scores, with two seeds for the weights."""
    proof = recipe.proof.model_copy(update={"alpha_seeds": (100, 101)})
    lift = _Lift(recipe.model_copy(update={"proof": proof}))
    lift.__dict__["_trainer"] = SimpleNamespace(train=scores)
    lift.__dict__["_arms"] = SimpleNamespace(file=lambda arm, seed: None)
    monkeypatch.setattr("footfall.lift.load_examples", lambda file: None)
    return lift


def test_what_is_judged_has_to_beat_zero_reliably_and_its_controls_do_not(tmp_path, monkeypatch):
    """A control that stays at zero out of caution would favour what is compared with it."""

    def scores(arm, added, alpha, seed, *, budget):
        # Much better with one seed, a little worse with the other: no more than chance.
        sure = {100: 0.9, 101: 0.45}[seed] if alpha else 0.5
        rows = [(0.5, label, False) for label in (True, False)] * 20
        rows += [(sure, True, True), (1 - sure, False, True)] * 20
        names = ("probability", "label", "item_cold")
        table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return SimpleNamespace(validation=pa.table(table | {"weight": [1.0] * len(rows)}))

    arms = ["title", "llm-untuned"]
    lift = _scored_by(scores, load(recipe_file(tmp_path, tmp_path, arms)), monkeypatch)
    control, judged = (lift._weight(arm) for arm in arms)
    assert 0 < judged.gain < judged.standard_error
    assert (control.alpha, judged.alpha) == (control.best, 0.0)
    assert control.alpha > 0
    careless = lift.recipe.proof.model_copy(update={"margin": 0.0})
    lift.recipe = lift.recipe.model_copy(update={"proof": careless})
    assert lift._weight("llm-untuned").alpha == judged.best
