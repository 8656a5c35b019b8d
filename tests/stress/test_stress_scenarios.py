"""Scenario files: what they may say, and where they come from."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from footfall.errors import SettingError
from footfall.eval.stress import scenario as scenario_module
from footfall.eval.stress import scenario_tables
from footfall.eval.stress.measure_list import MEASURES
from footfall.eval.stress.scenario import (
    Scenario,
    load_scenario,
    packaged_scenarios,
    scenario_names,
)
from footfall.eval.stress.scenario_tables import Threshold

PACKAGED = packaged_scenarios()


def test_every_scenario_of_the_list_is_packaged():
    assert set(PACKAGED) >= {
        "steady-traffic",
        "sale-day",
        "new-catalogue",
        "trend-shift",
        "price-sensitive",
        "category-flood",
        "typing-slips",
        "other-languages",
        "out-of-stock",
        "out-of-stock-untold",
        "seasonal-drift",
        "click-fraud",
        "shilling",
        "hostile-texts",
        "slow-target",
        "failing-target",
    }


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_scenario_loads_says_what_it_is_for_and_has_reasons(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.thresholds
    text = (files("footfall.eval.stress") / "scenarios" / f"{name}.toml").read_text("utf-8")
    assert text.startswith("# For: ")
    assert "# It pays" in text or " It pays " in text
    assert len(text.splitlines()) < 50


@pytest.mark.parametrize("name", PACKAGED)
def test_a_file_that_is_written_and_read_again_is_the_same_scenario(name, tmp_path):
    scenario = load_scenario(name)
    content = scenario.model_dump(mode="json", exclude_none=True)
    assert Scenario.model_validate(content) == scenario
    text = (files("footfall.eval.stress") / "scenarios" / f"{name}.toml").read_text("utf-8")
    (tmp_path / "copy.toml").write_text(text, encoding="utf-8")
    assert load_scenario(tmp_path / "copy.toml") == scenario
    assert load_scenario(str(tmp_path / "copy.toml")) == scenario


def test_every_field_of_a_scenario_is_described():
    models = [Scenario, *(getattr(scenario_tables, name) for name in scenario_tables.__all__)]
    models = [each for each in models if isinstance(each, type) and issubclass(each, BaseModel)]
    assert len(models) > 10
    for model in models:
        assert model.model_config["extra"] == "forbid", model
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_the_documentation_names_every_scenario_measure_and_table():
    text = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text("utf-8")
    tables = [name for name in Scenario.model_fields if name not in {"name", "description"}]
    for name in (*PACKAGED, *MEASURES, *tables):
        assert f"`{name}`" in text or f"`[{name}]`" in text or f"`[[{name}]]`" in text, name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('name = "a"', "description: Field required"),
        ('name = "A b"\ndescription = "x"', "name: String should match"),
        ('name = "a"\ndescription = "x"\n[weather]\nrain = 1', "weather: Extra inputs"),
        ('name = "a"\ndescription = "x"\n[traffic]\nfaktor = 2', "traffic.faktor: Extra"),
        ('name = "a"\ndescription = "x"\n[traffic]\nfactor = 0.5', "traffic.factor: Input"),
        ('name = "a"\ndescription = "x"\n[stock]\nshare = 1.5', "stock.share: Input"),
        ('name = "a"\ndescription = "x"\n[demand]\nkind = "flood"\nshare = 1.0', "demand.share"),
        ('name = "a"\ndescription = "x"\n[queries]\nshare = 0.5', "`share` needs"),
        (
            'name = "a"\ndescription = "x"\n[queries]\nshare = 0.5\nwritten = ["word list"]',
            "needs `words`",
        ),
        ('name = "a"\ndescription = "x"\n[faults]\nslow_share = 2.0', "faults.slow_share"),
        (
            'name = "a"\ndescription = "x"\n[[thresholds]]\nmeasure = "luck"\nat_least = 1\n'
            'reason = "y"',
            "there is no measure 'luck'; there are ctr",
        ),
        (
            'name = "a"\ndescription = "x"\n[[thresholds]]\nmeasure = "ctr"\nreason = "y"',
            "at_least or at_most",
        ),
        (
            'name = "a"\ndescription = "x"\n[[thresholds]]\nmeasure = "ctr"\nat_least = 2.0\n'
            'at_most = 1.0\nreason = "y"',
            "nothing can pass",
        ),
        (
            'name = "a"\ndescription = "x"\n[[thresholds]]\nmeasure = "popularity bias"\n'
            'compared_with = "baseline"\nat_most = 1.0\nreason = "y"',
            "has no ratio",
        ),
        (
            'name = "a"\ndescription = "x"\n[[thresholds]]\nmeasure = "ctr"\nat_least = nan\n'
            'reason = "y"',
            "finite number",
        ),
        (
            'name = "a"\ndescription = "x"\n[[thresholds]]\nmeasure = "ctr"\nat_least = 0.1',
            "thresholds.0.reason",
        ),
        ("name = ", "not valid TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(content, message, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingError) as caught:
        load_scenario(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingError, match=r"no scenario 'sale'.*sale-day"):
        load_scenario("sale")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "image.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingError, match="UTF-8"):
        load_scenario(path)


GIVEN = Scenario(name="given", description="Made in a package.")
TABLE = {"name": "table", "description": "A dictionary.", "stock": {"share": 0.5}}


def made():
    return TABLE


def offer(monkeypatch, **objects):
    """Entry points whose loading gives the objects."""

    class Point(EntryPoint):
        def load(self):
            found = objects[self.name]
            if isinstance(found, Exception):
                raise found
            return found

    points = [Point(name, f"package:{name}", scenario_module.SCENARIO_GROUP) for name in objects]
    monkeypatch.setattr(scenario_module, "entry_points", lambda group: points)


def test_plugins_may_name_a_scenario_a_dictionary_a_path_or_a_function(monkeypatch, tmp_path):
    path = tmp_path / "file.toml"
    path.write_text('name = "file"\ndescription = "A file."', encoding="utf-8")
    offer(monkeypatch, given=GIVEN, table=TABLE, path=path, text=str(path), function=made)
    assert scenario_names() == sorted([*PACKAGED, "given", "table", "path", "text", "function"])
    assert load_scenario("given") is GIVEN
    assert load_scenario("table").stock.share == 0.5
    assert load_scenario("path").name == load_scenario("text").name == "file"
    assert load_scenario("function") == load_scenario("table")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (ImportError("no such module"), "no such module"),
        (42, "is int"),
        ({"name": "x"}, "description"),
        ("/nowhere/file.toml", "cannot be read"),
    ],
)
def test_a_broken_plugin_is_named_and_left_out(monkeypatch, found, message):
    offer(monkeypatch, broken=found, given=GIVEN)
    with pytest.warns(RuntimeWarning, match=r"'broken' \(package:broken") as warned:
        names = scenario_names()
    assert message in str(warned[0].message)
    assert "broken" not in names
    assert "given" in names
    with pytest.raises(SettingError, match=message):
        load_scenario("broken")


def test_a_packaged_scenario_is_not_replaced_by_a_plugin(monkeypatch):
    offer(monkeypatch, **{"sale-day": GIVEN})
    assert load_scenario("sale-day").name == "sale-day"


SHARES = st.floats(0.0, 1.0)
BOUNDS = st.one_of(st.none(), st.floats(-10, 10))


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"name": st.just("made"), "description": st.text(min_size=1)},
        optional={
            "traffic": st.fixed_dictionaries({"factor": st.floats(1.0, 100.0), "at": SHARES}),
            "prices": st.fixed_dictionaries({"share": SHARES, "factor": st.floats(0.1, 3.0)}),
            "stock": st.fixed_dictionaries({"share": SHARES, "told": st.booleans()}),
            "people": st.fixed_dictionaries({"share": SHARES, "price_sensitivity": SHARES}),
            "queries": st.fixed_dictionaries(
                {
                    "share": SHARES,
                    "written": st.just(["word list"]),
                    "words": st.dictionaries(st.text(min_size=1), st.text(), min_size=1),
                }
            ),
            "feedback": st.fixed_dictionaries({"retrain_every_days": st.integers(1, 30)}),
        },
    )
)
def test_scenarios_survive_json(content):
    scenario = Scenario.model_validate(content)
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


@given(BOUNDS, BOUNDS)
def test_a_threshold_exists_just_where_something_can_pass_and_something_fail(least, most):
    fields = {"measure": "ctr", "at_least": least, "at_most": most, "reason": "r"}
    possible = (least, most) != (None, None) and (least is None or most is None or least <= most)
    if possible:
        assert Threshold(**fields).at_least == least
    else:
        with pytest.raises(ValidationError):
            Threshold(**fields)


def test_packaged_files_hold_nothing_that_scenarios_do_not_know():
    for name in PACKAGED:
        text = (files("footfall.eval.stress") / "scenarios" / f"{name}.toml").read_text("utf-8")
        assert set(tomllib.loads(text)) <= set(Scenario.model_fields)
