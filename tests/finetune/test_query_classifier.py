"""Queries and their categories: pairs, classes, training, controls."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import day

from footfall.errors import DataError, EmptyLogError, InputError, SettingError, TrainingError
from footfall.finetune import QueryPairs, read_query_pairs
from footfall.finetune.query_card import control_figures, figures_of
from footfall.finetune.query_classes import QueryClasses

PATHS = ["food > soup", "food > soup > hot", "food > bread", "home > soap", "home", "toys"]


def classes(weights, depth=2, smallest=3.0):
    return QueryClasses.fit(PATHS, np.asarray(weights, float), depth=depth, smallest=smallest)


def test_repeated_pairs_count_more_and_are_there_once():
    pairs = QueryPairs.of(["a", "b", "a", "a"], ["x", "x", "x", "y"], [1, 2, 3, 4])
    assert pairs.queries == ["a", "b", "a"]
    assert pairs.categories == ["x", "x", "y"]
    assert pairs.weights.tolist() == [4.0, 2.0, 4.0]
    with pytest.raises(DataError, match="2 queries, 1 categories"):
        QueryPairs.of(["a", "b"], ["x"])
    with pytest.raises(DataError, match="negative"):
        QueryPairs.of(["a"], ["x"], [-1.0])
    with pytest.raises(DataError, match="category of row 2"):
        QueryPairs.of(["a", "b"], ["x", None])


def test_rare_classes_fold_into_their_parent_or_are_left_out():
    # soup has 2 + 2; bread's 1 goes to food and is too light there; soap's 2 join the 1 of home.
    found = classes([2, 2, 1, 2, 1, 2])
    assert found.values == ("food > soup", "home")
    assert found.apply(PATHS).tolist() == [0, 0, -1, 1, 1, -1]
    # With more bread the parent is a class for what is rare or new below it.
    found = classes([2, 2, 2, 2, 1, 2], smallest=2.0)
    assert found.values == ("food > bread", "food > soup", "home > soap", "toys")
    found = classes([0, 4, 2, 1, 3, 0], smallest=3)
    assert found.values == ("food > soup", "home")
    found = QueryClasses.fit(
        ["food > soup", "food > bread", "food > jam"], np.array([5.0, 2, 2]), depth=3, smallest=4
    )
    assert found.values == ("food", "food > soup")
    new = ["food > tea > green", "food > soup > cold", "toys", None]
    assert found.apply(new).tolist() == [0, 1, -1, -1]
    assert classes([2, 2, 1, 2, 1, 2], depth=1).values == ("food", "home")
    with pytest.raises(DataError, match="1 categories have 5 responses"):
        classes([2, 2, 1, 2, 1, 2], depth=1, smallest=5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(" > ".join),
            st.integers(0, 6),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 4),
    st.integers(1, 8),
)
def test_every_class_has_enough_and_nothing_is_counted_twice(found, depth, smallest):
    paths = [path for path, _ in found]
    weights = np.array([float(weight) for _, weight in found])
    try:
        made = QueryClasses.fit(paths, weights, depth=depth, smallest=smallest)
    except DataError:
        return
    numbers = made.apply(paths)
    sums = np.bincount(numbers[numbers >= 0], weights[numbers >= 0], minlength=len(made))
    assert (sums >= smallest).all()
    assert all(value.count(" > ") < depth for value in made.values)
    for path, number in zip(paths, numbers, strict=True):
        assert number < 0 or f"{path} > ".startswith(made.values[number] + " > ")


def test_pairs_of_a_log_end_before_until_and_the_latest_are_held_out(shop):
    for number, at in enumerate((6, 7, 8, 9, 21)):
        shown = {"soup": True, "soap": number == 1}
        shop.slate(f"page {number}", "ann", at, shown, query=" 热汤 " if number < 3 else "soup")
    shop.slate("browsing", "ann", 6, {"soup": True})
    shop.slate("simulated", "ann", 6, {"soup": True}, query="soup", origin="run-1")
    train, held_out = read_query_pairs(shop.log, until=day(15), validation_share=0.3)
    found = set(zip(train.queries, train.categories, train.weights.tolist(), strict=True))
    # "first" of the small shop, then pages 0 and 1; pages 2 and 3 are held out, page 4 is later.
    assert found == {
        ("hot  soup", "food > soup", 1.0),
        ("热汤", "food > soup", 2.0),
        ("热汤", "home > soap", 1.0),
    }
    assert sorted(held_out.queries) == ["soup", "热汤"]
    later, _ = read_query_pairs(shop.log, until=day(30), validation_share=0.1)
    assert sum(later.weights) > sum(train.weights)
    with pytest.raises(EmptyLogError, match="training part"):
        read_query_pairs(shop.log, until=day(1))
    with pytest.raises(EmptyLogError, match="clicked"):
        read_query_pairs(shop.log, until=day(15), label="clicked")
    with pytest.raises(SettingError, match="carted"):
        read_query_pairs(shop.log, until=day(15), label="carted")


def test_a_log_without_times_is_parted_by_query(shop):
    for number in range(60):
        shop.slate(f"page {number}", "ann", None, {"soup": True}, query=f"soup {number % 30}")
    train, held_out = read_query_pairs(shop.log, until=None, validation_share=0.3, seed=1)
    assert not set(train.queries) & set(held_out.queries)
    assert sum(train.weights) + sum(held_out.weights) == 61
    assert 4 <= len(held_out) <= 16
    other, _ = read_query_pairs(shop.log, until=None, validation_share=0.3, seed=2)
    assert set(other.queries) != set(train.queries)


def test_figures_by_hand():
    # Class 0 has F1 2/3 (one of two found, nothing else taken for it), class 1 has 2/3.
    figures = figures_of(np.array([0, 1, 1]), np.array([0, 0, 1]), np.ones(3))
    assert figures["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert figures["macro_f1"] == pytest.approx(2 / 3, abs=1e-6)
    # Twice as heavy, the wrong row makes it 2 of 4; a class that nobody has does not count.
    figures = figures_of(np.array([0, 5, 1]), np.array([0, 0, 1]), np.array([1.0, 2.0, 1.0]))
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx((0.5 + 1.0) / 2)


def test_controls_know_words_of_both_scripts():
    train = QueryPairs.of(["热汤", "番茄汤", "香皂", "hot soup", "soap"], list("aabab"))
    held_out = QueryPairs.of(["汤", "皂", "red soap", "soup"], list("abba"))
    numbers = [np.array([ord(c) - 97 for c in part.categories]) for part in (train, held_out)]
    found = control_figures(train, numbers[0], held_out, numbers[1])
    assert found["tfidf"]["accuracy"] == 1.0
    assert found["majority"]["accuracy"] == 0.5
    assert found["majority"]["macro_f1"] == pytest.approx((2 / 3) / 2, abs=1e-6)
    signs = QueryPairs.of(["?", "!"], ["a", "b"])
    same = control_figures(signs, np.array([0, 1]), held_out, numbers[1])
    assert same["tfidf"] == same["majority"]


# What follows trains.

WORDS = {
    "food > soup": ["汤", "hot soup", "tomato soup", "面汤"],
    "home > soap": ["皂", "hand soap", "red soap", "香皂"],
    "shoes": ["鞋", "red shoes", "best shoes", "皮鞋"],
}


def rows(count, seed):
    """Queries whose sound words say the category, and one in ten that are misleading."""
    rng = np.random.default_rng(seed)
    kinds = list(WORDS)
    truth = rng.integers(3, size=count)
    said = np.where(rng.random(count) < 0.1, rng.integers(3, size=count), truth)
    queries = [f"{WORDS[kinds[n]][rng.integers(4)]} {rng.integers(10)}" for n in said]
    return queries, [kinds[n] for n in truth]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    from tiny_models import save_tiny_model

    return lambda kind: save_tiny_model(tmp_path_factory.mktemp("encoder") / kind, kind)


def brief(encoder, **changes):
    from footfall.finetune import QuerySettings

    chosen = {"encoder": encoder, "device": "cpu", "max_tokens": 16, "batch_size": 32, "depth": 2}
    return QuerySettings(
        **chosen
        | {"learning_rate": 1e-2, "max_steps": 20, "epochs": 20, "evaluations": 2}
        | changes
    )


@pytest.mark.train
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bert", {}),
        ("bert", {"tuning": "none"}),
        ("bert", {"trained_layers": 1}),
        ("bert", {"tuning": "full"}),
        ("llama", {"pooling": "last"}),
    ],
)
def test_it_learns_saves_and_loads(encoder, kind, changes, tmp_path):
    from footfall.finetune import ClickModel, QueryClassifier

    model = QueryClassifier(brief(encoder(kind), **changes))
    model.fit(*rows(200, 1), validation=rows(60, 2), folder=tmp_path / "model")
    assert model.classes == ("food > soup", "home > soap", "shoes")
    held_out, truth = rows(80, 3)
    probability = model.predict_proba(held_out)
    assert probability.shape == (80, 3)
    assert probability.sum(1) == pytest.approx(1.0)
    predicted = model.predict(held_out)
    assert [model.classes[n] for n in probability.argmax(1)] == predicted
    assert np.mean([a == b for a, b in zip(predicted, truth, strict=True)]) > 0.7
    again = QueryClassifier.load(tmp_path / "model")
    assert again.predict_proba(held_out) == pytest.approx(probability, abs=1e-5)
    assert again.predict_proba([]).shape == (0, 3)
    figures = model.card["validation"]
    assert set(figures) == {"classifier", "majority", "tfidf"}
    assert figures["classifier"]["accuracy"] > figures["majority"]["accuracy"]
    text = (tmp_path / "model" / "README.md").read_text()
    assert f"| tfidf | {figures['tfidf']['accuracy']:.4f} |" in text
    assert model.card["training"]["best_log_loss"] <= model.card["training"]["start_log_loss"]
    accuracy = model.card["training"]["best_metrics"]["accuracy"]
    assert accuracy == pytest.approx(figures["classifier"]["accuracy"], abs=1e-5)
    assert not (tmp_path / "model.checkpoints").exists()
    with pytest.raises(InputError, match=r"click-through model|does not hold a model"):
        ClickModel.load(tmp_path / "model")


@pytest.mark.train
@pytest.mark.parametrize("kind", ["merged", "int8"])
def test_an_export_tells_queries_apart_as_before(encoder, kind, tmp_path):
    from footfall.finetune import QueryClassifier, export_query_classifier

    source = tmp_path / "encoder"
    shutil.copytree(encoder("bert"), source)
    model = QueryClassifier(brief(str(source))).fit(*rows(200, 1), folder=tmp_path / "model")
    held_out, truth = rows(80, 3)
    before = model.predict_proba(held_out)
    pairs = QueryPairs.of([*held_out, "?"], [*truth, "toys"])
    figures = export_query_classifier(model, tmp_path / "out", kind=kind, pairs=pairs)
    # The encoder that it was made from is not needed.
    shutil.rmtree(source)
    again = QueryClassifier.load(tmp_path / "out")
    after = again.predict_proba(held_out)
    assert after == pytest.approx(before, abs=1e-5 if kind == "merged" else 0.2)
    assert figures["accuracy_before"] > 0.7
    right = [a == b for a, b in zip(again.predict(held_out), truth, strict=True)]
    assert figures["accuracy_after"] == pytest.approx(np.mean(right), abs=1e-6)
    assert figures["rows"] == len(set(zip(held_out, truth, strict=True)))
    assert figures["rows_per_second_before"] > 0
    assert again.card["export"] == figures
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"accuracy {figures['accuracy_before']:.4f} -> {figures['accuracy_after']:.4f}" in text
    # The model itself is as it was, and an export is no model to export.
    assert (model.predict_proba(held_out) == before).all()
    with pytest.raises(SettingError, match="is an export"):
        export_query_classifier(again, tmp_path / "more", kind=kind, pairs=pairs)
    again.save(tmp_path / "copy")
    assert (QueryClassifier.load(tmp_path / "copy").predict_proba(held_out) == after).all()


@pytest.mark.train
def test_an_export_that_cannot_be_judged_or_written_is_refused(encoder, tmp_path):
    from footfall.finetune import QueryClassifier, export_query_classifier

    model = QueryClassifier(brief(encoder("bert")))
    pairs = QueryPairs.of(["soup"], ["toys"])
    with pytest.raises(SettingError, match="kind is 'int4'"):
        export_query_classifier(model, tmp_path / "out", kind="int4", pairs=pairs)
    with pytest.raises(TrainingError, match="not been trained"):
        export_query_classifier(model, tmp_path / "out", kind="merged", pairs=pairs)
    model.fit(*rows(60, 1))
    with pytest.raises(DataError, match="class of the model"):
        export_query_classifier(model, tmp_path / "out", kind="merged", pairs=pairs)
    assert not (tmp_path / "out").exists()
    model.save(tmp_path / "model")
    with pytest.raises(SettingError, match="own folder"):
        export_query_classifier(tmp_path / "model", tmp_path / "model", kind="merged", pairs=pairs)
    # What else lies there is not judged for and not replaced.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    known = QueryPairs.of(*rows(20, 2))
    with pytest.raises(TrainingError, match="not a saved model"):
        export_query_classifier(model, tmp_path / "mine", kind="merged", pairs=known)
    assert (tmp_path / "mine" / "notes.txt").exists()


@pytest.mark.train
def test_rare_and_unknown_categories_are_left_out_and_counted(encoder):
    from footfall.finetune import QueryClassifier

    queries, paths = rows(100, 1)
    held_out, truth = rows(20, 2)
    model = QueryClassifier(brief(encoder("bert"), max_steps=2)).fit(
        [*queries, "?"], [*paths, "toys"], validation=([*held_out, "!"], [*truth, "toys"])
    )
    assert "toys" not in model.classes
    assert model.card["rows"]["training"]["left_out"] == 1
    assert model.card["rows"]["validation"]["left_out"] == 1
    # Trained once for each distinct pair, weighed by how often it was there.
    assert model.card["rows"]["training"]["pairs"] == len(set(zip(queries, paths, strict=True)))
    assert model.card["rows"]["training"]["responses"] == 101


@pytest.mark.train
def test_a_finished_training_is_not_done_again(encoder, tmp_path):
    from footfall.finetune import QueryClassifier

    chosen = brief(encoder("bert"), max_steps=2)
    first = QueryClassifier(chosen).fit(*rows(60, 1), folder=tmp_path / "model")
    stamp = (tmp_path / "model" / "card.json").stat().st_mtime_ns
    again = QueryClassifier(chosen).fit(*rows(60, 1), folder=tmp_path / "model", resume=True)
    assert (tmp_path / "model" / "card.json").stat().st_mtime_ns == stamp
    assert again.predict(["汤", "shoes"]) == first.predict(["汤", "shoes"])


def test_what_cannot_be_learnt_is_told(encoder, tmp_path):
    from footfall.finetune import QueryClassifier

    chosen = brief(encoder("bert"))
    with pytest.raises(TrainingError, match="not been trained"):
        QueryClassifier(chosen).predict(["soup"])
    with pytest.raises(TrainingError, match="not been trained"):
        QueryClassifier(chosen).save(tmp_path / "model")
    with pytest.raises(EmptyLogError):
        QueryClassifier(chosen).fit([], [])
    with pytest.raises(DataError, match="telling apart needs two"):
        QueryClassifier(chosen).fit(["a"] * 30, ["x"] * 30)
    with pytest.raises(DataError, match="No validation query"):
        QueryClassifier(chosen).fit(*rows(60, 1), validation=(["a"], ["never seen"]))
    with pytest.raises(InputError, match="does not hold a model"):
        QueryClassifier.load(tmp_path)
