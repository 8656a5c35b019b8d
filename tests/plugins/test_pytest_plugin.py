"""The fixture `crowd`: settings from configuration, markers and calls; failures that read well."""

import subprocess
import sys
import types
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from footfall.eval.stress.results import ScenarioResult, StressResult
from footfall.eval.stress.rows import MeasureRow, ThresholdResult
from footfall.eval.stress.thresholds import check_thresholds
from footfall.pytest_plugin import Crowd, CrowdSettings
from footfall.recipe import validated

# A pytest run in this process forgets what was first loaded in it: load it once, before.
assert all((check_thresholds, validated))

pytest_plugins = ("pytester",)


def threshold(outcome, words="failed pages at most 0.01"):
    return ThresholdResult(
        measure="failed pages",
        words=words,
        found="0.03 (0.02 to 0.04)",
        outcome=outcome,
        reason="Healthy shops fail less.",
    )


def scenario(name="steady-traffic", *, ndcg=0.6, thresholds=()):
    rows = [
        MeasureRow(
            measure="ndcg",
            value=ndcg,
            low=ndcg - 0.1,
            high=ndcg + 0.1,
            baseline=0.8,
            difference=ndcg - 0.8,
            difference_low=ndcg - 0.9,
            difference_high=ndcg - 0.7,
            ratio=ndcg / 0.8,
            ratio_low=0.6,
            ratio_high=0.9,
            direction="higher",
        ),
        MeasureRow(measure="ctr", value=None, note="nobody came"),
    ]
    return ScenarioResult(
        name=name,
        title=name,
        description="Something.",
        visits=500,
        days=7,
        measures=rows,
        thresholds=list(thresholds),
    )


@pytest.fixture
def calls(monkeypatch):
    """Stands in for the stress test; remembers how it was called."""
    made = []

    def stress(target, **settings):
        made.append({"target": target, **settings})
        return StressResult(
            target="mine",
            baseline="popularity",
            crowd="words",
            sessions=settings["sessions"],
            days=settings["days"],
            shoppers=12,
            items=24,
            seed=settings["seed"],
            scenarios=stress.scenarios or [scenario(name) for name in settings["scenarios"]],
        )

    stress.scenarios = None
    stress.made = made
    module = types.ModuleType("footfall.stressing")
    module.stress = stress
    monkeypatch.setitem(sys.modules, "footfall.stressing", module)
    return stress


@pytest.fixture
def run(pytester):
    """Runs a test file in this process, warnings being errors."""
    installed = list(entry_points(group="pytest11", name="footfall"))
    named = () if installed else ("-p", "footfall.pytest_plugin")

    def ran(test, ini=""):
        pytester.makeini(
            "[pytest]\naddopts = --strict-markers --strict-config -p no:cacheprovider\n"
            f"filterwarnings = error\n{ini}\n"
        )
        pytester.makepyfile(test)
        return pytester.runpytest_inprocess(*named)

    return ran


INI = "footfall_log = data/shop.duckdb\nfootfall_personas = data/people.jsonl\n"


def test_settings_come_from_the_configuration(run, calls, pytester):
    ini = INI + (
        "footfall_scenario = steady-traffic sale-day\nfootfall_baseline = als\n"
        "footfall_until = 2017-10-01\nfootfall_sessions = 300\nfootfall_days = 3\n"
        "footfall_seed = 5"
    )
    result = run("def test_it(crowd):\n    assert len(crowd('mine').result.scenarios) == 2", ini)
    result.assert_outcomes(passed=1)
    (call,) = calls.made
    assert call == {
        "target": "mine",
        "log": pytester.path / "data" / "shop.duckdb",
        "personas": pytester.path / "data" / "people.jsonl",
        "scenarios": ["steady-traffic", "sale-day"],
        "baseline": "als",
        "until": datetime(2017, 10, 1),
        "sessions": 300,
        "days": 3,
        "seed": 5,
    }


def test_the_call_goes_before_the_marker_and_that_before_the_configuration(run, calls):
    test = """
        import pytest

        pytestmark = pytest.mark.crowd(seed=2, sessions=20, days=2)

        @pytest.mark.crowd(seed=3, sessions=30)
        def test_it(crowd):
            crowd("mine", seed=4, scenario="sale-day")
        """
    run(test, INI + "footfall_seed = 1\nfootfall_baseline = random").assert_outcomes(passed=1)
    (call,) = calls.made
    found = {name: call[name] for name in ("seed", "sessions", "days", "baseline", "scenarios")}
    assert found == {
        "seed": 4,
        "sessions": 30,
        "days": 2,
        "baseline": "random",
        "scenarios": ["sale-day"],
    }


def test_a_marker_alone_is_enough(run, calls, tmp_path):
    test = f"""
        import pytest
        from pathlib import Path

        @pytest.mark.crowd(log=Path({str(tmp_path)!r}) / "a.duckdb", personas=["someone"])
        def test_it(crowd):
            crowd("mine")
        """
    run(test).assert_outcomes(passed=1)
    assert calls.made[0]["log"] == tmp_path / "a.duckdb"
    assert calls.made[0]["personas"] == ["someone"]
    assert calls.made[0]["until"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("crowd('mine', colour='red')", "*crowd(...): 'colour' is no setting*log, personas*"),
        ("crowd('mine', sessions='many')", "*sessions: 'many' is no whole number*"),
        ("crowd('mine', until='soon')", "*until: 'soon' is no time*2017-10-01*"),
        ("crowd('mine', personas='')", "*no personas: set footfall_personas*"),
        ("crowd('mine', log=None)", "*no log: set footfall_log*"),
        ("crowd('mine').measure('beauty')", "*no measure 'beauty'; there are ndcg, ctr*"),
        ("crowd('mine').scenario('sale-day')", "*'sale-day' was not played: steady-traffic*"),
        ("crowd('mine').require('ndcg')", "*at_least*"),
    ],
)
def test_mistakes_are_told_with_what_to_do(run, calls, body, message):
    result = run(f"def test_it(crowd):\n    {body}", INI)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("marker", "message"),
    [("crowd(colour=1)", "*@pytest.mark.crowd: 'colour'*"), ("crowd('log')", "*by name*")],
)
def test_a_wrong_marker_is_an_error(run, calls, marker, message):
    result = run(f"import pytest\n@pytest.mark.{marker}\ndef test_it(crowd):\n    pass", INI)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_measure_that_holds_its_bound_passes(run, calls):
    test = """
        def test_it(crowd):
            report = crowd("mine")
            assert report.measure("ndcg").value == 0.6
            report.require("ndcg", at_least=0.6)
            report.require("ndcg", at_most=0.7, certain=False)
            report.require("ndcg", at_least=0.5, at_most=0.7, certain=True)
            report.require("ndcg", at_least=0.74, compared_with="baseline")
            report.require("ndcg", at_least=-0.2001, compared_with="baseline", by="difference")
            report.check()
        """
    run(test, INI).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "'ndcg', at_least=0.9, compared_with='baseline'",
            "*AssertionError: ndcg at least 0.9 times that of the baseline: found 0.75 (0.6 to*",
        ),
        ("'ndcg', at_most=0.5", "*AssertionError: ndcg at most 0.5: found 0.6 (0.5 to 0.7)"),
        (
            "'ndcg', at_least=0.55, certain=True",
            "*ndcg at least 0.55, with certainty: cannot be told: 0.6 (0.5 to 0.7)",
        ),
        ("'ctr', at_least=0.1", "*ctr at least 0.1: cannot be told: nobody came"),
        (
            "'ndcg', at_least=0.9, compared_with='steady', scenario='steady-traffic'",
            None,
        ),
    ],
)
def test_a_measure_that_does_not_says_what_was_found(run, calls, asked, message):
    result = run(f"def test_it(crowd):\n    crowd('mine').require({asked})", INI)
    if message is None:
        result.assert_outcomes(passed=1)
        return
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            message,
            "*steady-traffic: mine *",
            "*2,000 visits in steady traffic by 12 shoppers over 7 days, seed 0*",
        ]
    )
    # The plug-in's own frames are no part of the story.
    assert "pytest_plugin.py" not in result.stdout.str()


def test_of_several_scenarios_one_is_named(run, calls):
    calls.scenarios = [scenario(ndcg=0.8), scenario("sale-day", ndcg=0.4)]
    test = """
        import pytest

        def test_it(crowd):
            report = crowd("mine", scenario=["steady-traffic", "sale-day"])
            with pytest.raises(LookupError, match="steady-traffic, sale-day"):
                report.measure("ndcg")
            assert report.measure("ndcg", scenario="sale-day").value == 0.4
            report.require("ndcg", at_least=0.5, compared_with="steady", scenario="sale-day")
            with pytest.raises(AssertionError, match="0.6 times that of steady traffic"):
                report.require("ndcg", at_least=0.6, compared_with="steady", scenario="sale-day")
        """
    run(test, INI).assert_outcomes(passed=1)


def test_broken_thresholds_of_scenarios_are_all_named(run, calls):
    calls.scenarios = [
        scenario(thresholds=[threshold("pass"), threshold("fail")]),
        scenario("sale-day", thresholds=[threshold("cannot be told"), threshold("fail", "ctr x")]),
    ]
    result = run("def test_it(crowd):\n    crowd('mine').check()", INI)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: 2 broken thresholds",
            "*steady-traffic: failed pages at most 0.01: fail, found 0.03 (0.02 to 0.04). Healthy*",
            "*sale-day: ctr x: fail, *",
        ]
    )


def test_what_cannot_be_told_breaks_nothing_unless_asked_to(run, calls):
    calls.scenarios = [scenario(thresholds=[threshold("cannot be told")])]
    test = """
        import pytest

        def test_it(crowd):
            crowd("mine").check()
            with pytest.raises(AssertionError, match="cannot be told, found"):
                crowd("mine").check(certain=True)
        """
    run(test, INI).assert_outcomes(passed=1)


def test_settings_and_marker_are_in_the_help(pytester, run):
    run("def test_nothing():\n    pass").assert_outcomes(passed=1)
    installed = list(entry_points(group="pytest11", name="footfall"))
    named = () if installed else ("-p", "footfall.pytest_plugin")
    pytester.runpytest_inprocess("--help", *named).stdout.fnmatch_lines(["*footfall_log*"])
    pytester.runpytest_inprocess("--markers", *named).stdout.fnmatch_lines(
        ["@pytest.mark.crowd(log=..., personas=..., scenario=*"]
    )


def test_loading_the_plug_in_loads_nothing_heavy():
    heavy = "numpy pyarrow duckdb pydantic torch transformers scipy sklearn typer rich gymnasium"
    code = (
        "import sys, footfall.pytest_plugin\n"
        f"print(*({heavy.split()!r} & sys.modules.keys()))".replace(
            repr(heavy.split()), "set(" + repr(heavy.split()) + ")"
        )
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert found.stdout.strip() == ""


class Backwards:
    """A target of the tests' own: the items in the order of their ids, last first."""

    name = "backwards"

    def fit(self, items, events):
        self.items = sorted(items["item_id"].to_pylist(), reverse=True)

    def answer(self, requests):
        return [self.items[each.offset : each.offset + each.limit] for each in requests]


def test_a_real_crowd_goes_through_a_real_target(plugin_shop):
    settings = CrowdSettings(log="shop.duckdb", personas="people.jsonl", sessions=120, days=2)
    crowd = Crowd(settings, plugin_shop)
    report = crowd(Backwards(), until="2026-04-01", baseline="random")
    assert report.result.target == "backwards"
    assert report.result.baseline == "random"
    assert [each.name for each in report.result.scenarios] == ["steady-traffic"]
    report.require("failed pages", at_most=0.0)
    found = report.measure("ctr")
    assert 0.0 < found.low <= found.value <= found.high
    with pytest.raises(AssertionError, match=r"ctr at least 0\.99: found"):
        report.require("ctr", at_least=0.99)
    again = crowd(Backwards(), until="2026-04-01", baseline="random")
    assert again.measure("ctr") == found
