"""The classifier as an estimator of scikit-learn."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tiny_models import save_tiny_model

from footfall.errors import DataError, SettingError
from footfall.finetune import ClickClassifier, ClickModel, ClickSettings

BRIEF = {"device": "cpu", "max_tokens": 24, "max_steps": 4, "batch_size": 24, "epochs": 9}
COLUMNS = ["shopper_text", "item_text", "price_log"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def made(encoder):
    return lambda **changes: ClickClassifier(encoder=encoder, **(BRIEF | changes))


def test_parameters_are_settings():
    given = inspect.signature(ClickClassifier).parameters
    assert set(given) - {"settings"} <= set(ClickSettings.model_fields)
    assert all(parameter.default is None for parameter in given.values())
    assert set(ClickClassifier().get_params()) == set(given)
    # Everything that is about learning: not tracking, and not memory.
    apart = {"state_memory", "report_to", "wandb_mode"}
    assert set(ClickSettings.model_fields) - set(given) == apart


def test_clones_have_the_same_parameters(made):
    first = made(settings=ClickSettings(seed=3), features=["price_log"], learning_rate=1e-3)
    other = clone(first)
    assert other is not first
    assert other.get_params() == first.get_params()
    assert other.set_params(learning_rate=0.5).get_params()["learning_rate"] == 0.5
    assert first.learning_rate == 1e-3


@pytest.mark.train
def test_it_is_the_model(made, encoder, text_decides):
    train, held_out = text_decides(20, 1), text_decides(8, 3)
    estimator = made().fit(train, validation=text_decides(8, 2))
    settings = ClickSettings(encoder=encoder, **BRIEF)
    model = ClickModel(settings).fit(train, text_decides(8, 2))
    assert estimator.model_.settings == settings
    probability = estimator.predict_proba(held_out)
    assert probability.shape == (48, 2)
    assert probability.sum(1) == pytest.approx(1.0)
    assert probability[:, 1] == pytest.approx(model.predict_proba(held_out), abs=1e-6)
    odds = estimator.decision_function(held_out)
    assert odds == pytest.approx(model.predict_log_odds(held_out), abs=1e-6)
    assert (estimator.predict(held_out) == (odds > 0)).all()
    assert estimator.score(held_out) == pytest.approx(((odds > 0) == held_out.labels).mean())


@pytest.mark.train
def test_rows_come_in_many_forms(made, text_decides):
    pandas = pytest.importorskip("pandas")
    examples = text_decides(12, 1)
    table = examples.table.select([*COLUMNS, "label"])
    estimator = made(max_steps=2).fit(table)
    assert estimator.model_.settings.features == ("price_log", "has_query")
    expected = estimator.decision_function(examples)
    rows = table.to_pylist()
    columns = {name: table[name].to_pylist() for name in COLUMNS}
    structured = np.array(
        [tuple(row[name] for name in COLUMNS) for row in rows],
        dtype=[("shopper_text", "O"), ("item_text", "O"), ("price_log", "f8")],
    )
    for form in (table.to_batches()[0], pandas.DataFrame(columns), columns, rows, structured):
        assert estimator.decision_function(form) == pytest.approx(expected)
    # Text alone will do.
    words = {"item_text": columns["item_text"]}
    labels = np.where(examples.labels, "yes", "no")
    estimator = made(max_steps=2).fit(words, labels, sample_weight=np.ones(72))
    assert estimator.classes_.tolist() == ["no", "yes"]
    assert set(estimator.predict(words)) <= {"no", "yes"}
    assert estimator.model_.settings.features == ("has_query",)


@pytest.mark.train
@pytest.mark.parametrize("changes", [{}, {"trained_layers": 1}])
def test_a_pickled_estimator_says_the_same(made, text_decides, changes):
    held_out = text_decides(4, 3)
    estimator = made(**changes)
    assert pickle.loads(pickle.dumps(estimator)).get_params() == estimator.get_params()
    estimator.fit(text_decides(12, 1))
    again = pickle.loads(pickle.dumps(estimator))
    assert np.ptp(estimator.decision_function(held_out)) > 0
    assert (again.decision_function(held_out) == estimator.decision_function(held_out)).all()
    assert again.classes_.tolist() == estimator.classes_.tolist()


@pytest.mark.train
def test_search_and_pipelines_take_it(made, text_decides):
    examples = text_decides(16, 1)
    search = GridSearchCV(made(), {"learning_rate": [1e-4, 1e-2]}, cv=2, scoring="roc_auc")
    search.fit(examples.table.select(COLUMNS), examples.labels)
    assert search.cv_results_["mean_test_score"].shape == (2,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    chosen = search.best_estimator_.model_.settings.learning_rate
    assert chosen == search.best_params_["learning_rate"]

    def upper(rows):
        return [row | {"item_text": row["item_text"].upper()} for row in rows]

    pipeline = make_pipeline(FunctionTransformer(upper), made(max_steps=2))
    rows = examples.table.select(COLUMNS).to_pylist()
    probability = pipeline.fit(rows, examples.labels).predict_proba(rows)
    assert probability.shape == (96, 2)
    # To the model an upper-case letter is another one.
    alone = made(max_steps=2).fit(upper(rows), examples.labels)
    assert alone.predict_proba(upper(rows)) == pytest.approx(probability, abs=1e-6)
    assert alone.predict_proba(rows) != pytest.approx(probability, abs=1e-4)


@pytest.mark.train
def test_weights_count(made, text_decides):
    examples = text_decides(20, 1)
    table = examples.table.select(COLUMNS)
    rates = []
    for responses in (1.0, 20.0):
        weights = np.where(examples.labels, responses, 1.0)
        fitted = made().fit(table, examples.labels, sample_weight=weights)
        rates.append(fitted.predict_proba(table)[:, 1].mean())
    assert rates[1] > rates[0] + 0.2


def test_mistakes_are_told(made, text_decides):
    examples = text_decides(4, 1)
    with pytest.raises(NotFittedError):
        made().predict(examples)
    with pytest.raises(DataError, match="two values"):
        made().fit(examples, np.zeros(24))
    with pytest.raises(DataError, match="two values"):
        made().fit(examples, np.arange(24))
    with pytest.raises(DataError, match=r"y has the shape \(3,\), and there are 24 rows"):
        made().fit(examples, np.zeros(3))
    with pytest.raises(DataError, match="no column label"):
        made().fit(examples.table.select(COLUMNS))
    with pytest.raises(DataError, match=r"item_text.*missing"):
        made().fit(examples.table.select(["shopper_text", "label"]))
    with pytest.raises(DataError, match="type float cannot be read"):
        made().fit(1.5)
    with pytest.raises(DataError, match="do not make a table"):
        made().fit({"item_text": ["a"], "query": ["b", "c"]}, [0])
    with pytest.raises(SettingError, match="ClickClassifier, lora_rank"):
        made(lora_rank=-1).fit(examples)
