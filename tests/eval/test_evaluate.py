from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from footfall.errors import DataError, EmptyLogError
from footfall.eval.arms import compare_arms
from footfall.eval.evaluate import compare, evaluate
from footfall.eval.metrics import METRICS
from footfall.eval.results import ArmComparison, Comparison, Evaluation
from footfall.eval.scores import SLICES

FEW = {"resamples": 200, "seed": 5}


def test_every_slice_and_metric_has_a_row_with_ordered_bounds(make_scores):
    found = evaluate(make_scores(), **FEW)
    assert len(found.rows) == len(SLICES) * len(METRICS)
    for row in found.rows:
        assert row.value is not None
        assert row.low <= row.high
    for metric in ("auc", "log_loss", "grouped_auc"):
        row = found.row(metric)
        assert row.low < row.value < row.high
    parts = [found.row("auc", name).rows for name in ("warm items", "cold items")]
    assert sum(parts) == found.row("auc").rows == 1200


def test_point_values_are_scikit_learns(make_scores):
    from sklearn.metrics import roc_auc_score

    table = make_scores()
    cold = table.filter(table["item_cold"])
    expected = roc_auc_score(cold["label"].to_numpy(), cold["probability"].to_numpy())
    assert evaluate(table, **FEW).row("auc", "cold items").value == pytest.approx(expected)


def test_the_same_seed_gives_the_same_intervals_whatever_the_row_order(make_scores):
    table = make_scores()
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    first, second = evaluate(table, **FEW), evaluate(shuffled, **FEW)
    for one, other in zip(first.rows, second.rows, strict=True):
        assert one.low == pytest.approx(other.low)
    assert evaluate(table, **FEW) == first


def test_a_slice_without_positives_stays_and_says_why(make_scores):
    table = make_scores()
    cold_items = pc.and_(table["item_cold"], pc.invert(table["label"]))
    table = table.set_column(table.column_names.index("item_cold"), "item_cold", cold_items)
    table = table.set_column(
        table.column_names.index("user_cold"), "user_cold", pa.array([False] * table.num_rows)
    )
    found = evaluate(table, **FEW)
    row = found.row("auc", "cold items")
    assert (row.value, row.low, row.note) == (None, None, "not measurable: no positives")
    assert row.rows > 0
    assert found.row("log_loss", "cold users").note == "not measurable: no rows"
    assert "not measurable: no positives" in found.to_markdown()


def test_few_positives_carry_a_caution(make_scores):
    assert evaluate(make_scores(rows=90), **FEW).row("auc").note.startswith("only ")


def test_users_are_resampled_and_not_rows(make_scores):
    # Every row ten times under the same user tells nothing new: the interval must not shrink.
    table = make_scores(rows=300)
    repeated = pa.concat_tables([table] * 10)
    one, ten = evaluate(table, **FEW).row("auc"), evaluate(repeated, **FEW).row("auc")
    assert ten.high - ten.low == pytest.approx(one.high - one.low)


def test_json_round_trips_and_arrow_has_all_rows(make_scores):
    found = evaluate(make_scores(), **FEW)
    assert Evaluation.model_validate_json(found.model_dump_json()) == found
    assert found.to_arrow().num_rows == len(found.rows)


@pytest.mark.parametrize("column", ["label", "user_id", "item_cold"])
def test_a_missing_column_is_named(make_scores, column):
    with pytest.raises(DataError, match=column):
        evaluate(make_scores().drop_columns([column]), **FEW)


def test_nulls_and_empty_tables_are_errors(make_scores):
    table = make_scores()
    broken = table.set_column(1, "probability", pa.nulls(table.num_rows, pa.float64()))
    with pytest.raises(DataError, match="probability has 1200 nulls"):
        evaluate(broken, **FEW)
    with pytest.raises(EmptyLogError):
        evaluate(table.slice(0, 0), **FEW)
    with pytest.raises(DataError, match="no score table"):
        evaluate([], **FEW)


def test_a_clearly_better_model_helped_and_the_reverse_hurt(make_scores):
    weak, strong = make_scores(0.5, noise=1), make_scores(2.0, noise=2)
    assert compare(weak, strong, **FEW).verdict == "helped"
    assert compare(strong, weak, **FEW).verdict == "hurt"


def test_the_same_model_differs_by_nothing(make_scores):
    found = compare(make_scores(), make_scores(), **FEW)
    assert found.verdict == "no evidence"
    assert (found.row("auc").low, found.row("auc").high) == (0.0, 0.0)
    assert "covers zero" in found.reason


def test_paired_intervals_are_narrower_than_the_models_own(make_scores):
    table = make_scores(1.0)
    moved = table.set_column(
        1, "probability", pc.add(pc.multiply(table["probability"], 0.98), 0.001)
    )
    paired = compare(table, moved, **FEW).row("auc")
    alone = evaluate(table, **FEW).row("auc")
    assert paired.high - paired.low < (alone.high - alone.low) / 4


def test_a_better_ranking_with_worse_probabilities_is_no_evidence(make_scores):
    weak, strong = make_scores(0.5, noise=1), make_scores(2.0, noise=2)
    swollen = pc.subtract(1.0, pc.power(pc.subtract(1.0, strong["probability"]), 6.0))
    found = compare(weak, strong.set_column(1, "probability", swollen), **FEW)
    assert found.row("auc").low > 0
    assert found.verdict == "no evidence"
    assert "log loss" in found.reason
    assert "reliably worse" in found.reason


def test_worse_probabilities_with_the_same_ranking_hurt(make_scores):
    table = make_scores()
    swollen = pc.subtract(1.0, pc.power(pc.subtract(1.0, table["probability"]), 6.0))
    assert compare(table, table.set_column(1, "probability", swollen), **FEW).verdict == "hurt"


def test_models_scored_on_other_rows_are_refused(make_scores):
    with pytest.raises(DataError, match="not scored on the same rows"):
        compare(make_scores(), make_scores().slice(1), **FEW)
    with pytest.raises(DataError, match="same seeds"):
        compare([make_scores()] * 2, [make_scores()], **FEW)


def test_several_seeds_are_averaged_and_widen_the_interval(make_scores):
    before = [make_scores(1.0, noise=0)] * 3
    after = [make_scores(signal, noise=0) for signal in (0.2, 1.5, 2.8)]
    found = compare(before, after, **FEW)
    singles = [compare(b, a, **FEW).row("auc") for b, a in zip(before, after, strict=True)]
    row = found.row("auc")
    assert row.difference == pytest.approx(np.mean([s.difference for s in singles]))
    assert row.high - row.low > max(s.high - s.low for s in singles)
    assert found.seeds == 3
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_synthetic_rows_must_beat_the_best_control_too(make_scores):
    arms = {
        "real": make_scores(0.5, noise=1),
        "real twice": make_scores(0.5, noise=2),
        "popular": make_scores(2.0, noise=3),
        "synthetic": make_scores(2.0, noise=4),
    }
    found = compare_arms(arms, **FEW)
    assert found.verdict == "no evidence"
    verdict = found.verdicts[0]
    assert (verdict.best_control, verdict.slice) == ("popular", "all")
    assert "Other rows of the same volume did as well" in verdict.reason
    arms["synthetic"] = make_scores(4.0, noise=4)
    assert compare_arms(arms, **FEW).verdict == "helped"
    arms["synthetic"] = make_scores(0.0, noise=4)
    worse = compare_arms(arms, **FEW)
    assert worse.verdict == "hurt"
    assert {c.after for c in worse.comparisons} == {"real twice", "popular", "synthetic"}
    assert worse.against_control[0].before == "popular"
    assert ArmComparison.model_validate_json(worse.model_dump_json()) == worse
    assert "| popular |" in worse.to_markdown()


def test_every_slice_has_a_verdict_of_its_own(make_scores):
    real, helped = make_scores(0.3, noise=1), make_scores(5.0, noise=2)
    cold = real["item_cold"]
    probability = pc.if_else(cold, helped["probability"], real["probability"])
    found = compare_arms(
        {"real": real, "synthetic": real.set_column(1, "probability", probability)}, **FEW
    )
    verdicts = {row.slice: row.verdict for row in found.verdicts}
    assert verdicts["cold items"] == "helped"
    assert verdicts["warm items"] == "no evidence"


def test_arms_of_other_test_rows_are_refused(make_scores):
    table = make_scores()
    labels = pc.invert(table["label"])
    other = table.set_column(table.column_names.index("label"), "label", labels)
    with pytest.raises(DataError, match=r"control.*same rows|same rows.*control"):
        compare_arms({"real": table, "synthetic": make_scores(2.0), "control": other}, **FEW)


def test_arms_without_controls_say_so_and_missing_arms_are_errors(make_scores):
    arms = {"real": make_scores(0.5), "a": make_scores(3.0, noise=4), "b": make_scores(0.5)}
    found = compare_arms(arms, synthetic=["a", "b"], **FEW)
    # The last one is what a report speaks of, however well another did.
    assert found.overall("a").verdict != found.overall("b").verdict
    assert found.verdict == found.overall("b").verdict
    assert "no control" in found.verdicts[0].reason
    assert len(found.verdicts) == 2 * len(SLICES)
    with pytest.raises(DataError, match="no arm 'llm'"):
        compare_arms(arms, synthetic="llm", **FEW)
    with pytest.raises(DataError, match="same seeds"):
        compare_arms({**arms, "a": [arms["a"]] * 2}, synthetic="a", **FEW)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    # Coverage over 25 small worlds.
    covered = 0
    for world in range(25):
        generator = np.random.default_rng(world)
        rows, users = 600, 120
        label = generator.random(rows) < 0.3
        table = pa.table(
            {
                "label": label,
                "probability": 1 / (1 + np.exp(-(label + generator.normal(size=rows)))),
                "group": ["g"] * rows,
                "user_id": [f"u{k}" for k in generator.integers(0, users, rows)],
                "item_cold": np.zeros(rows, dtype=bool),
                "user_cold": np.zeros(rows, dtype=bool),
            }
        )
        row = evaluate(table, resamples=100, seed=world).row("auc")
        truth = 0.7602499389  # P(X + 1 > Y) of two standard normals: Phi(1 / sqrt(2))
        covered += row.low <= truth <= row.high
    assert covered >= 18
