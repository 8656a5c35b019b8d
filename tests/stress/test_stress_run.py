"""Whole stress tests on a small shop: results, files, going on, feedback, A/B, language models."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import footfall
from footfall.cli import app
from footfall.errors import SettingError, TargetError
from footfall.eval.stress.results import read_result
from footfall.eval.stress.scenario import Scenario
from footfall.eval.stress.settings import StressSettings
from footfall.personas import Persona, write_personas
from footfall.simulator import EngineSettings, Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)
KINDS = ("pizza", "yogurt", "soup", "牛奶")
PATHS = ("food > pizza", "food > yogurt", "food > soup", "drinks > 牛奶")
QUICK = StressSettings(until=UNTIL, sessions=300, days=3, resamples=50)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A log of 40 items whose users click what is of their own kind, and its shoppers."""
    folder = tmp_path_factory.mktemp("stress-shop")
    rng = np.random.default_rng(0)
    tables = {name: [] for name in ("items", "users", "sessions", "searches", "impressions")}
    for number, kind in enumerate(np.repeat(KINDS, 10)):
        tables["items"].append(
            {
                "item_id": f"i{number}",
                "text": f"{kind} number {number}",
                "category": PATHS[number // 10],
                "brand": f"brand {number % 3}",
                "price": 1.0 + number % 5,
                "first_seen": datetime(2023, 1, 1),
            }
        )
    for number in range(24):
        tables["users"].append({"user_id": f"u{number}", "locale": "en_US", "demographics": "{}"})
    for page in range(400):
        user = int(rng.integers(24))
        at = UNTIL - timedelta(hours=3 * page + 1)
        key = f"s{page}"
        times = {"started_at": at, "ended_at": at}
        tables["sessions"].append({"session_id": key, "user_id": f"u{user}", **times})
        tables["searches"].append(
            {
                "search_id": key,
                "session_id": key,
                "step": 1,
                "page": 1,
                "query": KINDS[user % 4] if page % 2 else None,
                "candidates": "logged",
                "searched_at": at,
            }
        )
        for rank, item in enumerate(rng.choice(40, 8, replace=False).tolist(), start=1):
            own = item // 10 == user % 4
            clicked = bool(rng.random() < (0.7 if own else 0.05) / rank**0.4)
            tables["impressions"].append(
                {
                    "search_id": key,
                    "position": rank,
                    "item_id": f"i{item}",
                    "clicked": clicked,
                    "purchased": clicked and bool(rng.random() < 0.5),
                    "shown_at": at,
                    "sample_rate": 1.0,
                }
            )
    path = folder / "shop.duckdb"
    with Log.create(path) as log:
        for name, records in tables.items():
            rows = [{**record, "origin": "real"} for record in records]
            log.append(name, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[name]))
    people = [
        Persona(
            persona_id=f"p{number}",
            interests={PATHS[number % 4]: 1.0},
            history=(f"{KINDS[number % 4]} number {10 * (number % 4)}",),
        )
        for number in range(16)
    ]
    write_personas(people, folder / "people.jsonl")
    return folder


def run(shop, target="content-words", **options):
    given = {"log": shop / "shop.duckdb", "personas": shop / "people.jsonl", "settings": QUICK}
    return footfall.stress(_named(target), **{"baseline": "popularity", **given, **options})


def _named(target):
    if target != "content-words":
        return target
    from footfall.simulator.targets.content import ContentTarget

    return ContentTarget(encoder="words")


def test_shoppers_like_their_own_kind_better_than_what_is_popular(shop):
    result = run(shop)
    row = result.scenario("steady-traffic").measure("ndcg")
    assert row.judged == "better"
    assert row.value > row.baseline
    assert result.target == "content"
    assert result.scenario("steady-traffic").own_loss == {}
    bands = [each for each in result.scenarios[0].exposures if each.by == "price band"]
    assert sum(each.shown for each in bands) == pytest.approx(1.0)
    assert sum(each.baseline_shown for each in bands) == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_figures_and_another_one_others(shop):
    def figures(**options):
        rows = run(shop, **options).scenarios[0].measures
        return {
            row.measure: row.value for row in rows if row.measure in ("ctr", "ndcg", "coverage")
        }

    first = figures()
    # Sums of floating-point numbers may differ in their last digit.
    assert figures() == pytest.approx(first, rel=1e-12)
    assert figures(seed=1) != pytest.approx(first, rel=1e-6)


def test_a_folder_keeps_results_events_and_report_and_is_not_played_again(shop, tmp_path):
    scenarios = ["steady-traffic", "out-of-stock"]
    result = run(shop, scenarios=scenarios, folder=tmp_path / "out")
    assert read_result(tmp_path / "out") == result
    assert "out of stock" in (tmp_path / "out/report.html").read_text(encoding="utf-8").lower()
    shown = pq.read_table(tmp_path / "out/out-of-stock/target-impressions.parquet")
    clicked = next(
        row.value for row in result.scenario("out-of-stock").measures if row.measure == "ctr"
    )
    assert np.mean(shown["clicked"].to_numpy(zero_copy_only=False)) == pytest.approx(clicked)

    class Refuses:
        name = "content"

        def answer(self, requests):
            raise AssertionError("played again")

        def fit(self, items, events):
            raise AssertionError("learned again")

    again = run(shop, Refuses(), scenarios=scenarios, folder=tmp_path / "out")
    assert again.scenarios == result.scenarios


def test_a_target_that_fails_in_its_fit_is_an_error_that_names_it(shop):
    class Broken:
        name = "broken"

        def answer(self, requests):
            return [[] for _ in requests]

        def fit(self, items, events):
            raise ValueError("no such column")

    with pytest.raises(TargetError, match=r"broken cannot learn.*no such column"):
        run(shop, Broken())


def test_a_target_that_answers_nonsense_has_failed_pages_and_its_words_in_the_report(shop):
    class Nonsense:
        name = "nonsense"

        def answer(self, requests):
            return "nothing of use"

    result = run(shop, Nonsense())
    scenario = result.scenarios[0]
    assert scenario.measure("ctr").value in (None, 0.0)
    assert any("str, no list" in problem for problem in scenario.problems)


def test_retraining_on_what_it_caused_is_compared_with_the_target_left_as_it_was(shop):
    loop = Scenario(
        name="loop", description="It learns every day.", feedback={"retrain_every_days": 1}
    )
    (found,) = run(shop, "popularity", baseline="random", scenarios=[loop]).scenarios
    assert found.retrained == 2
    assert {course.played for course in found.courses} == {
        "target",
        "target without retraining",
        "baseline",
    }
    assert all(course.days == [0, 1, 2] for course in found.courses)
    assert {row.measure for row in found.drift} == {row.measure for row in found.measures}


def test_a_target_beside_itself_differs_in_nothing(shop):
    rows = footfall.ab_test(
        "popularity",
        "popularity",
        log=shop / "shop.duckdb",
        personas=shop / "people.jsonl",
        settings=QUICK,
    )
    told = {row.measure: row for row in rows}
    # Sums of floating-point numbers may differ in their last digit.
    assert told["ctr"].difference == pytest.approx(0.0, abs=1e-9)
    assert told["ndcg"].difference == pytest.approx(0.0, abs=1e-9)
    assert told["ctr"].better == ""


def test_an_ab_test_names_the_better_one_and_pairing_saves_visits(shop):
    rows = footfall.ab_test(
        _named("content-words"),
        "random",
        log=shop / "shop.duckdb",
        personas=shop / "people.jsonl",
        settings=QUICK,
    )
    row = next(row for row in rows if row.measure == "ndcg")
    assert row.better == "A"
    assert row.certainty > 0.975
    assert row.visits_needed < 300


def test_a_language_models_crowd_walks_the_same_pages(shop, tmp_path):
    settings = QUICK.model_copy(update={"crowd": "llm", "sessions": 20, "days": 2})
    result = run(
        shop,
        scenarios=["click-fraud"],
        settings=settings,
        folder=tmp_path / "out",
        engine=EngineSettings(kind="scripted", model="scripted"),
    )
    (found,) = result.scenarios
    assert 0.0 < found.measure("ctr").value < 1.0
    # Attackers come with shoppers, one for ten of them, and are told apart.
    assert found.measure("attacked exposure").value is not None
    for player in ("target", "baseline"):
        visits = pq.read_table(tmp_path / f"out/click-fraud/{player}-visits.parquet").to_pylist()
        assert Counter(row["role"] for row in visits) == {"shopper": 20, "click fraud": 2}
        for row in visits:
            disguised = row["shopper_id"].startswith("attacker/")
            assert disguised == (row["role"] == "click fraud")
    assert result.crowd == "preferences and words of a language model"


def test_a_scenarios_demand_multiplies_what_the_log_was_fitted_to_need(shop, monkeypatch):
    from footfall.simulator import shop_opening
    from footfall.simulator.needs import NeedBook

    told = []
    plain = NeedBook.with_demand

    def remembered(self, demand):
        told.append(dict(demand))
        return plain(self, demand)

    monkeypatch.setattr(NeedBook, "with_demand", remembered)
    monkeypatch.setattr(shop_opening, "fit_demand", lambda *_, **__: {"drinks": 2.0, "food": 0.5})
    busy = Scenario(
        name="busy",
        description="Drinks are needed more.",
        demand={"kind": "shift", "categories": ["drinks"], "factor": 3.0},
    )
    settings = QUICK.model_copy(update={"crowd": "llm", "sessions": 4, "days": 1})
    engine = EngineSettings(kind="scripted", model="scripted")
    run(shop, scenarios=[busy], settings=settings, engine=engine)
    assert {"drinks": 6.0, "food": 0.5} in told


def test_a_model_for_the_fast_crowd_is_refused_before_any_work(shop):
    with pytest.raises(SettingError, match="asks no language model"):
        run(shop, engine=EngineSettings(kind="scripted", model="scripted"))


@pytest.mark.parametrize("scenarios", [[], ["steady-traffic", "steady-traffic"]])
def test_scenarios_are_named_once_each(shop, scenarios):
    with pytest.raises(SettingError, match="different scenarios"):
        run(shop, scenarios=scenarios)


def test_the_command_says_what_broke_by_its_exit_status(shop, tmp_path):
    strict = tmp_path / "strict.toml"
    strict.write_text(
        'name = "strict"\ndescription = "Nothing changes."\n'
        '[[thresholds]]\nmeasure = "ctr"\nat_least = 0.99\nreason = "Nobody can."\n'
    )
    command = ["stress", "popularity", str(shop / "shop.duckdb"), str(shop / "people.jsonl")]
    command += ["--until", "2024-03-01", "--sessions", "60", "--days", "2", "--baseline", "random"]
    broken = CliRunner().invoke(
        app, [*command, "--scenario", str(strict), "--folder", str(tmp_path / "a")]
    )
    assert broken.exit_code == 3, broken.output
    assert "popularity breaks in 1 of 1 scenarios: Strict (ctr at least 0.99)" in broken.output
    kept = CliRunner().invoke(
        app, [*command, "--scenario", "steady-traffic", "--folder", str(tmp_path / "b")]
    )
    assert kept.exit_code == 0, kept.output
    assert json.loads((tmp_path / "b/stress.json").read_text())["target"] == "popularity"
    compared = CliRunner().invoke(
        app,
        ["stress-compare", *[str(tmp_path / "b")] * 2, "--output", str(tmp_path / "c.html")],
    )
    assert compared.exit_code == 0, compared.output
    assert "none became worse" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_the_command_compares_two_targets_in_a_table(shop):
    command = ["stress", "popularity", str(shop / "shop.duckdb"), str(shop / "people.jsonl")]
    found = CliRunner().invoke(
        app, [*command, "--until", "2024-03-01", "--sessions", "60", "--baseline", "random", "--ab"]
    )
    assert found.exit_code == 0, found.output
    assert "| measure | popularity | random |" in found.output


def test_options_reach_the_target_that_is_named(shop):
    command = ["stress", "als", str(shop / "shop.duckdb"), str(shop / "people.jsonl"), "--ab"]
    command += ["--until", "2024-03-01", "--sessions", "20"]
    found = CliRunner().invoke(app, [*command, "--option", "factors=0"])
    assert isinstance(found.exception, SettingError)
    assert "factors is 0" in str(found.exception)
    wrong = CliRunner().invoke(app, [*command, "--option", "factors"])
    assert "is no NAME=VALUE" in str(wrong.exception)
    with pytest.raises(SettingError, match="takes no options"):
        run(shop, options={"factors": 3})
