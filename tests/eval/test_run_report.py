import json
from datetime import datetime

import pytest

from footfall.errors import DataError
from footfall.eval.arms import compare_arms
from footfall.eval.report import CostLine
from footfall.eval.run_report import describe_behaviour, describe_run
from footfall.simulator.behaviour import Behaviour, Rate

UNTIL = datetime(2026, 3, 1)
FITTED = Behaviour(
    look=(Rate(value=1.0), Rate(value=0.5, standard_error=0.1, source="fitted", note="rows")),
    intercept=Rate(value=-2.0, standard_error=0.25, source="fitted"),
)


@pytest.fixture
def simulated(log):
    configuration = {
        "settings": {},
        "engine": "scripted",
        "behaviour": FITTED.model_dump(mode="json"),
        "knowledge_until": UNTIL.isoformat(),
    }
    log.start_run(
        "run-1", "simulate", configuration, seed=5, model="small model", model_hash="ab12"
    )
    log.end_run("run-1", "finished")
    return log


def describe(log, **options):
    return describe_run(log, "run-1", title="Shop", **{"splits": 4, "sessions": 2, **options})


def test_a_report_says_what_ran_and_how_to_repeat_it(simulated):
    cost = [CostLine(stage="simulate", seconds=2.0)]
    content = describe(simulated, facts={"shop": "商店"}, commands=["footfall run x"], cost=cost)
    assert content.title == "Shop"
    assert content.facts["run"] == "run-1"
    assert content.facts["state"] == "finished"
    assert content.facts["language model"] == "small model"
    assert content.facts["sessions, real and synthetic"] == "120 and 60"
    assert content.facts["users, real and synthetic"] == "0 and 30"
    assert content.facts["items"] == "40"
    assert content.facts["simulated with the log until"] == "2026-03-01T00:00:00"
    assert content.facts["shop"] == "商店"
    assert content.repeat.commands == ["footfall run x"]
    assert (content.repeat.seed, content.repeat.model_hash) == (5, "ab12")
    assert "python" in content.repeat.versions
    assert content.cost == cost
    assert len(content.sessions) == 2
    assert content.cautions == []


def test_real_sessions_are_compared_up_to_what_the_run_could_know(simulated):
    early = describe(simulated).likeness
    simulated.execute(
        "UPDATE runs SET configuration = $text WHERE run_id = 'run-1'",
        {"text": json.dumps({"knowledge_until": None})},
    )
    whole = describe(simulated).likeness
    sessions = "SELECT count(*) FROM sessions WHERE origin = 'real'"
    assert whole.real_sessions == simulated.scalar(sessions)
    assert early.real_sessions == simulated.scalar(f"{sessions} AND started_at < ?", [UNTIL])
    assert early.real_sessions < whole.real_sessions


def test_every_rate_is_told_with_its_interval_and_source():
    facts = {fact.name: fact for fact in describe_behaviour(FITTED)}
    second = facts["look at position 2"]
    assert (second.value, second.source, second.note) == (0.5, "fitted", "rows")
    assert second.low == pytest.approx(0.5 - 1.96 * 0.1)
    assert second.high == pytest.approx(0.5 + 1.96 * 0.1)
    first = facts["look at position 1"]
    assert (first.low, first.high, first.source) == (None, None, "prior")
    assert len(facts) == 2 + len(Behaviour.model_fields) - 1
    (intercept,) = [fact for name, fact in facts.items() if name.startswith("intercept: ")]
    assert intercept.value == -2.0


def test_an_unknown_run_names_the_simulated_ones(simulated):
    simulated.start_run("import-1", "ingest", {}, seed=0)
    for name in ("run-9", "import-1"):
        with pytest.raises(DataError, match=f"no run '{name}'") as caught:
            describe_run(simulated, name, title="Shop")
        assert caught.value.hint == "Simulated runs: run-1."


def test_what_weakens_the_claim_is_said(simulated, make_scores):
    simulated.end_run("run-1", "interrupted")
    simulated.execute("UPDATE searches SET candidates = 'sampled' WHERE origin = 'real'")
    arms = compare_arms(
        {"real": [make_scores(0.5, noise=1)] * 2, "synthetic": [make_scores(0.6, noise=2)] * 2},
        resamples=100,
    )
    cautions = describe(simulated, arms=arms, cautions=["One more."]).cautions
    assert len(cautions) == 4
    assert "were sampled" in cautions[0]
    assert "interrupted: not all sessions" in cautions[1]
    assert "2 seed(s)" in cautions[2]
    assert cautions[3] == "One more."
    five = compare_arms(
        {"real": [make_scores(0.5, noise=1)] * 5, "synthetic": [make_scores(0.6, noise=2)] * 5},
        resamples=100,
    )
    assert not any("seed(s)" in caution for caution in describe(simulated, arms=five).cautions)
