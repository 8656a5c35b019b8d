"""The report of a stress test and the comparison of several, as text and in a real browser."""

from __future__ import annotations

import re

import pytest

from footfall.errors import DataError
from footfall.eval.stress.findings import findings_of
from footfall.eval.stress.page import (
    render_comparison,
    render_stress,
    write_comparison,
    write_stress,
)
from footfall.eval.stress.results import (
    Course,
    OwnLoss,
    ScenarioResult,
    StressResult,
    read_result,
)
from footfall.eval.stress.rows import MeasureRow, ThresholdResult
from footfall.stages import write_json

ATTACK = "<script>alert(1)</script>"


def row(measure="ctr", value=0.5, difference=0.1, width=0.05, direction="higher"):
    return MeasureRow(
        measure=measure,
        value=value,
        low=value - width,
        high=value + width,
        baseline=value - difference,
        difference=difference,
        difference_low=difference - width,
        difference_high=difference + width,
        direction=direction,
    )


def scenario(name="steady-traffic", *, outcome="pass", rows=None):
    return ScenarioResult(
        name=name,
        title=name.replace("-", " ").capitalize(),
        description=f"What happens {ATTACK} 打折",
        visits=1234,
        days=7,
        retrained=3,
        measures=rows or [row(), row("gini", 0.7, -0.2, direction="lower"), row("x", 1, 0.01)],
        thresholds=[
            ThresholdResult(
                measure="ctr", words="ctr at least 0.4", found="0.5 (0.45 to 0.55)", outcome=outcome
            )
        ],
        own_loss={"ctr": OwnLoss(value=-0.02, low=-0.03, high=-0.01)},
        courses=[
            Course(measure="ctr", played="target", days=[0, 1, 2], values=[0.1, None, 0.3]),
            Course(measure="ctr", played="baseline", days=[0, 1, 2], values=[0.1, 0.1, 0.1]),
        ],
        findings=["One finding."],
        problems=[f"ValueError: {ATTACK}"],
    )


def result(*scenarios):
    return StressResult(
        target="als",
        baseline="popularity",
        crowd="preferences from embeddings tuned to the log",
        sessions=1000,
        days=7,
        shoppers=50,
        items=900,
        scenarios=list(scenarios) or [scenario(), scenario("sale-day", outcome="fail")],
        cautions=["Shoppers are simulated."],
        command="footfall stress als shop.duckdb people.jsonl",
    )


def test_the_verdict_names_each_broken_threshold_and_its_scenario():
    found = result()
    assert not found.passed
    assert found.verdict == "als breaks in 1 of 2 scenarios: Sale day (ctr at least 0.4)."
    assert result(scenario()).verdict == "als kept every threshold of 1 scenarios."
    assert result(scenario(outcome="cannot be told")).passed


def test_the_page_holds_everything_and_asks_for_nothing():
    page = render_stress(result())
    for text in (
        "als breaks in 1 of 2",
        "ctr at least 0.4",
        "One finding.",
        "打折",
        "1,234 visits",
    ):
        assert text in page
    assert ATTACK not in page
    assert not re.search(r"(?:src|href)=[\"']?(?!data:|#)[^\"' >]", page)
    assert page.count('<svg class="plot"') == 2
    # Of two scenarios with three measures, the difference around zero is not judged.
    assert page.count(">better<") == 4


def test_results_are_read_back_as_they_were_written(tmp_path):
    found = result()
    write_json(tmp_path / "stress.json", found.model_dump(mode="json"))
    assert read_result(tmp_path) == found
    assert read_result(tmp_path / "stress.json") == found


@pytest.mark.parametrize(("content", "words"), [("{}", "target"), ("[", "Invalid JSON")])
def test_a_file_that_is_no_result_is_named(tmp_path, content, words):
    (tmp_path / "stress.json").write_text(content)
    with pytest.raises(DataError, match=words):
        read_result(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_result(tmp_path / "missing.json")


def test_the_comparison_says_what_became_worse_and_what_differs():
    before = result(scenario(rows=[row("ctr", 0.5), row("gini", 0.7, direction="lower")]))
    after = result(scenario(rows=[row("ctr", 0.3), row("gini", 0.3, direction="lower")]))
    after = after.model_copy(update={"sessions": 500})
    page = render_comparison([before, after], ["old", "new"])
    assert "1 measures became worse: ctr (Steady traffic); 1 became better." in page
    assert "The tests differ in sessions: 1000, 500." in page
    same = render_comparison([before, before], ["old", "new"])
    assert "0 measures became better and none became worse" in same


def test_tests_without_a_common_scenario_are_not_compared(tmp_path):
    with pytest.raises(DataError, match="no scenario in common"):
        render_comparison([result(scenario()), result(scenario("sale-day"))], ["a", "b"])
    with pytest.raises(DataError, match="two stress tests or more"):
        write_comparison(tmp_path / "x.html", [result()], ["a"])
    assert not list(tmp_path.iterdir())


def test_findings_tell_only_what_intervals_bear_out():
    rows = [row("ctr"), row("gini", 0.7, 0.01), row("ndcg", 0.2, -0.3)]
    own = {"ctr": OwnLoss(value=-0.2, low=-0.3, high=-0.1), "gini": OwnLoss(value=0.1)}
    told = findings_of(rows, [row("coverage", 0.2, -0.3, direction="neither")], own, "als", "pop")
    assert [sentence.split(":")[0] for sentence in told] == ["ctr", "ndcg", "ctr", "coverage"]
    assert "als is worse than pop, 0.2 against 0.5" in told[1]
    assert "loses 0.2" in told[2]
    assert "left as it was" in told[3]


@pytest.mark.browser
def test_both_pages_stand_in_a_real_browser(tmp_path, browser):
    first = write_stress(tmp_path / "report.html", result())
    second = write_comparison(tmp_path / "compare.html", [result(), result()], ["a", "b"])
    for size in ((1280, 900), (390, 844)):
        for file in (first, second):
            problems: list[str] = []
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.on("console", lambda message, into=problems: into.append(message.text))
            page.on("pageerror", lambda error, into=problems: into.append(str(error)))
            page.goto(file.as_uri())
            assert page.locator("#verdict").is_visible()
            assert page.locator("table").count() >= 1
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(overflow) <= 0
            assert not problems
            page.close()
