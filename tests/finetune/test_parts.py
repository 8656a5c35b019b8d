from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from part_logs import DAY0, make_log
from pydantic import ValidationError
from small_shop import day

from footfall.errors import DataError, EmptyLogError, InputError, NoResponseError
from footfall.finetune.knowledge import check_knowledge
from footfall.finetune.part_examples import read_part_examples
from footfall.finetune.part_settings import PartSettings
from footfall.finetune.parts import PART_RUN, copy_training_part, part_searches
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part

BY_TIME = PartSettings(
    train_until=DAY0.replace(day=16), validation_until=DAY0.replace(day=21), label="clicked"
)
BY_PERSON = PartSettings(by="person", label="clicked", validation_share=0.3, test_share=0.3)


def cut(path, settings, target):
    with Log.open(path) as log:
        parted = part_searches(log, settings)
        copy_training_part(log, target, parted, until=settings.train_until, settings=settings)
        return parted, read_part_examples(log, target, parted, settings)


def ids(examples, column):
    return set(examples.column(column).tolist())


@pytest.fixture
def timed(tmp_path):
    return make_log(tmp_path / "shop.duckdb")


def test_time_cuts_where_it_is_told_to(timed, tmp_path):
    parted, found = cut(timed, BY_TIME, tmp_path / "training.duckdb")
    # Four searches a day: 15 days of training, 5 of validation, 10 of test.
    assert [parted.of(part).num_rows for part in ("train", "validation", "test")] == [60, 20, 40]
    assert found.train.column("shown_at").max() < found.validation.column("shown_at").min()
    assert found.validation.column("shown_at").max() < found.test.column("shown_at").min()


def test_the_training_log_holds_nothing_else(timed, tmp_path):
    target = tmp_path / "training.duckdb"
    settings = BY_TIME.model_copy(update={"cold_items": 0.2, "cold_users": 0.3})
    parted, _ = cut(timed, settings, target)
    assert parted.held_items.num_rows == 4
    assert parted.held_users.num_rows > 0
    with Log.open(target) as log:
        moments = log.query("SELECT max(searched_at) AS m FROM searches")["m"][0].as_py()
        assert moments < settings.train_until
        shown = log.query("SELECT DISTINCT item_id FROM impressions")["item_id"].to_pylist()
        people = log.query("SELECT user_id FROM users UNION SELECT user_id FROM sessions")
        catalogue = log.count("items")
        told = log.query("SELECT kind FROM runs WHERE run_id = $run", {"run": PART_RUN})
    assert not set(shown) & set(parted.held_items["item_id"].to_pylist())
    assert not set(people["user_id"].to_pylist()) & set(parted.held_users["user_id"].to_pylist())
    assert catalogue == 20
    assert told["kind"].to_pylist() == ["part"]


def test_validation_has_strangers_of_its_own(timed, tmp_path):
    target = tmp_path / "training.duckdb"
    settings = BY_TIME.model_copy(update={"cold_users": 0.3, "cold_validation_users": 0.4})
    parted, found = cut(timed, settings, target)
    held = {part: set() for part in ("validation", "test")}
    for row in parted.held_users.to_pylist():
        held[row["part"]].add(row["user_id"])
    assert held["validation"]
    assert held["test"]
    assert not held["validation"] & held["test"]
    assert not ids(found.train, "user_id") & (held["validation"] | held["test"])
    assert not ids(found.validation, "user_id") & held["test"]
    assert not ids(found.test, "user_id") & held["validation"]
    for examples, part in ((found.validation, "validation"), (found.test, "test")):
        strange = np.isin(examples.column("user_id"), list(held[part]))
        assert strange.any()
        assert examples.column("user_cold")[strange].all()
    with Log.open(target) as log:
        people = log.query("SELECT user_id FROM sessions UNION SELECT user_id FROM purchases")
    assert not set(people["user_id"].to_pylist()) & (held["validation"] | held["test"])


def test_a_slate_without_its_response_is_left_out(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"cold_items": 0.3})
    _, found = cut(timed, settings, tmp_path / "training.duckdb")
    slates = found.train.slate_numbers()
    assert len(found.train) > 0
    for slate in set(slates.tolist()):
        assert found.train.labels[slates == slate].sum() == 1


def test_held_out_items_are_cold_both_as_taken_and_as_left(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"cold_items": 0.3})
    parted, found = cut(timed, settings, tmp_path / "training.duckdb")
    held = set(parted.held_items["item_id"].to_pylist())
    cold = found.test.column("item_cold")
    assert set(found.test.labels[cold].tolist()) == {True, False}
    of_held = [item in held for item in found.test.column("item_id").tolist()]
    assert all(cold[of_held])
    assert not ids(found.train, "item_id") & held
    assert not ids(found.validation, "item_id") & held


def test_cold_items_can_be_the_new_ones_alone(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"cold_items": 0.3})
    parted, found = cut(timed, settings, tmp_path / "training.duckdb")
    held = sorted(parted.held_items["item_id"].to_pylist())
    new, old = held[: len(held) // 2], held[len(held) // 2 :]
    with Log.open(timed, read_only=False) as log:
        log.execute("UPDATE items SET first_seen = TIMESTAMP '2020-01-01'")
        for item in new:
            log.execute(
                "UPDATE items SET first_seen = ? WHERE item_id = ?", [BY_TIME.train_until, item]
            )
    settings = settings.model_copy(update={"cold_are": "new"})
    _, only_new = cut(timed, settings, tmp_path / "again.duckdb")
    shown = only_new.test.column("item_id")
    cold = only_new.test.column("item_cold")
    assert set(shown[cold].tolist()) == set(shown.tolist()) & set(new)
    assert set(shown.tolist()) & set(old)
    # Nothing else has changed.
    assert found.test.with_column("item_cold", cold).table.equals(only_new.test.table)
    with pytest.raises(ValueError, match="part by time"):
        PartSettings(by="person", cold_are="new")


def test_validation_has_cold_items_of_its_own(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"cold_items": 0.2, "cold_validation_items": 0.2})
    parted, found = cut(timed, settings, tmp_path / "training.duckdb")
    told = parted.held_items.to_pylist()
    own = {row["item_id"] for row in told if row["part"] == "validation"}
    tested = {row["item_id"] for row in told if row["part"] == "test"}
    assert len(own) == len(tested) == 4
    assert ids(found.validation, "item_id") & own
    assert not ids(found.validation, "item_id") & tested
    assert ids(found.test, "item_id") & tested
    assert not ids(found.test, "item_id") & own


def test_a_category_is_held_out(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"cold_categories": ("all > soup",)})
    parted, found = cut(timed, settings, tmp_path / "training.duckdb")
    assert sorted(parted.held_items["item_id"].to_pylist()) == ["i00", "i05", "i10", "i15"]
    assert "all > soup" not in ids(found.train, "item_category")
    assert "all > soup" in ids(found.test, "item_category")


def test_people_are_parted_whole_and_described_by_others(tmp_path):
    path = make_log(tmp_path / "shop.duckdb", times=False, candidates="logged")
    _, found = cut(path, BY_PERSON, tmp_path / "training.duckdb")
    people = [ids(part, "user_id") for part in (found.train, found.validation, found.test)]
    assert not people[0] & people[1]
    assert not (people[0] | people[1]) & people[2]
    # Nobody's own responses are in their history, and what they say of themselves is known.
    assert not any(len(past) for past in found.train.column("shopper_history").tolist())
    assert all("2" in text for text in found.test.column("shopper_text").tolist())
    # Popularity counts what others took: with their own row left out it is not the same for all.
    assert found.train.column("popularity_log").max() > 0


def test_a_row_without_a_time_does_not_know_its_own_response(tmp_path):
    """Whoever takes what nobody else takes sees an item without popularity."""
    path = make_log(tmp_path / "shop.duckdb", searches=60, times=False, candidates="logged")
    with Log.open(path, read_only=False) as log:
        log.execute("UPDATE impressions SET item_id = 'i19' WHERE search_id = 's000/1' AND clicked")
        log.execute(
            "UPDATE impressions SET clicked = false WHERE item_id = 'i19' AND search_id <> 's000/1'"
        )
        log.execute(
            "UPDATE impressions SET clicked = true WHERE position = 2 AND search_id NOT IN "
            "(SELECT search_id FROM impressions WHERE clicked)"
        )
    for seed in range(6):
        settings = BY_PERSON.model_copy(update={"seed": seed})
        _, found = cut(path, settings, tmp_path / f"training-{seed}.duckdb")
        rows = found.train.column("search_id") == "s000/1"
        taken = rows & found.train.labels
        if taken.any():
            assert found.train.column("popularity_log")[taken].tolist() == [0.0]
            return
    pytest.fail("the person was never in the training part")


def test_few_labels_are_whole_slates(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"labelled": 30})
    _, found = cut(timed, settings, tmp_path / "training.duckdb")
    assert len(found.train) == 28
    with Log.open(tmp_path / "training.duckdb") as log:
        assert log.count("impressions") == 28


def test_the_same_seed_cuts_the_same(timed, tmp_path):
    settings = BY_TIME.model_copy(update={"cold_items": 0.2, "seed": 3})
    one = cut(timed, settings, tmp_path / "one.duckdb")
    two = cut(timed, settings, tmp_path / "two.duckdb")
    assert one[0].held_items.equals(two[0].held_items)
    assert one[1].train.table.equals(two[1].train.table)
    other = cut(timed, settings.model_copy(update={"seed": 4}), tmp_path / "three.duckdb")
    assert not one[0].held_items.equals(other[0].held_items)


def test_features_of_later_rows_come_from_the_training_part(timed, tmp_path):
    _, before = cut(timed, BY_TIME, tmp_path / "before.duckdb")
    with Log.open(timed, read_only=False) as log:
        log.execute("UPDATE items SET price = NULL")
        log.execute(
            "INSERT INTO purchases SELECT 'u00', 'i01', NULL, NULL, 1, 999, $at, 'real' "
            "FROM range(50)",
            {"at": day(28)},
        )
    _, after = cut(timed, BY_TIME, tmp_path / "after.duckdb")
    names = ["popularity_log", "category_popularity_log", "shopper_text", "item_cold"]
    assert after.test.table.select(names).equals(before.test.table.select(names))


def test_logs_that_cannot_be_parted_are_refused(tmp_path):
    path = make_log(tmp_path / "shop.duckdb", times=False)
    with Log.open(path) as log:
        with pytest.raises(InputError, match="no times"):
            part_searches(log, BY_TIME)
        with pytest.raises(NoResponseError, match="purchased"):
            part_searches(log, BY_PERSON.model_copy(update={"label": "purchased"}))
        with pytest.raises(InputError, match="cold_categories"):
            part_searches(log, BY_PERSON.model_copy(update={"cold_categories": ("x",)}))
    timed = make_log(tmp_path / "timed.duckdb")
    late = BY_TIME.model_copy(update={"validation_until": DAY0.replace(year=2027)})
    with Log.open(timed) as log, pytest.raises(EmptyLogError, match="test"):
        part_searches(log, late)


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "time"},
        {"by": "time", "train_until": "2026-02-01", "validation_until": "2026-01-01"},
        {"by": "person", "train_until": "2026-02-01"},
        {"by": "person", "validation_share": 0.5, "test_share": 0.5},
        {"by": "person", "cold_items": 0.5, "cold_validation_items": 0.5},
    ],
)
def test_settings_that_leave_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        PartSettings.model_validate(wrong)


def test_only_runs_made_on_the_very_part_may_be_learned_from(timed, tmp_path):
    target = tmp_path / "training.duckdb"
    cut(timed, BY_TIME, target)
    until = BY_TIME.train_until
    with Log.open(target, read_only=False) as log:
        part = log_part(log)
        known = {"knowledge_until": until.isoformat()}
        log.start_run("own", "simulate", known | {"knowledge_part": part}, seed=0)
        log.start_run("whole", "simulate", {"knowledge_part": part}, seed=0)
        log.start_run("strange", "simulate", known, seed=0)
        log.start_run("other", "simulate", known | {"knowledge_part": "x"}, seed=0)
        late = {"knowledge_until": day(28).isoformat(), "knowledge_part": part}
        log.start_run("late", "simulate", late, seed=0)

        def check(name, moment=until, **options):
            check_knowledge(log, pa.table({"origin": [name]}), moment, **options)

        check("own")
        check("own", None)
        check("whole")
        for name in ("strange", "other", "late"):
            with pytest.raises(DataError, match=name):
                check(name)
        check("strange", allow_unknown=True)
        with pytest.raises(DataError, match="other"):
            check("other", allow_unknown=True)
    with Log.open(timed) as log:
        assert log_part(log) is None
