import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from math import exp, log1p

import pytest
from log_rows import synthetic_rows

from footfall.errors import EngineAnswerError, EngineUnavailableError, NoResponseError, PersonaError
from footfall.simulator.engines.protocol import ChoiceAnswer, TextAnswer, TextRequest
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.log import Log
from footfall.simulator.simulation import Simulation, SimulationSettings

UNTIL = datetime(2024, 3, 1)


def settings(**changes):
    return SimulationSettings(
        **{
            "sessions": 30,
            "until": UNTIL,
            "scored_slates": 5,
            "pilot_sessions": 4,
            "scoring": "item",
            # Fitting takes seconds: tests that are about it ask for it.
            "behaviour": "prior",
            **changes,
        }
    )


class Wrapped:
    """An engine that changes what another one does."""

    def __init__(self, inner=None):
        self.inner = inner or ScriptedEngine()
        self.submitted = 0

    @property
    def identity(self):
        return self.inner.identity

    def submit(self, request):
        self.submitted += 1
        return self.inner.submit(request)

    def collect(self):
        return self.inner.collect()

    def close(self):
        self.inner.close()


class Dying(Wrapped):
    """Dies after so many requests."""

    def __init__(self, lifetime):
        super().__init__()
        self.lifetime = lifetime

    def submit(self, request):
        if self.submitted >= self.lifetime:
            raise EngineUnavailableError("The engine has died.", hint="Start it again.")
        return super().submit(request)


class Shuffled(Wrapped):
    """Answers in another order every time, one at a time."""

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.waiting = []

    def collect(self):
        self.waiting += super().collect()
        if not self.waiting:
            return []
        return [self.waiting.pop(self.random.randrange(len(self.waiting)))]


class Nonsense(Wrapped):
    """Gives empty lines and no probability to any option."""

    def collect(self):
        return [
            (
                ticket,
                replace(answer, text="")
                if isinstance(answer, TextAnswer)
                else ChoiceAnswer((-0.69, -0.69), 1, 1, usable=False),
            )
            for ticket, answer in super().collect()
        ]


def test_every_session_is_whole_and_consistent(shop_log, people):
    summary = Simulation(shop_log, people, ScriptedEngine(), settings()).run()
    assert summary.state == "finished"
    rows = synthetic_rows(shop_log, summary.run_id)
    assert len(rows["sessions"]) == 30
    assert len(rows["users"]) == len(people)
    sessions = {row["session_id"]: row for row in rows["sessions"]}
    numbers = sorted(int(session_id.rsplit("/", 1)[1]) for session_id in sessions)
    assert numbers == list(range(30))
    assert {row["user_id"] for row in rows["users"]} >= {row["user_id"] for row in rows["sessions"]}
    for user in rows["users"]:
        own = sorted(
            (row for row in rows["sessions"] if row["user_id"] == user["user_id"]),
            key=lambda row: row["session_id"],
        )
        starts = [row["started_at"] for row in own]
        assert starts == sorted(set(starts))
    searches = {row["search_id"]: row for row in rows["searches"]}
    assert {row["session_id"] for row in rows["searches"]} <= set(sessions)
    for row in rows["impressions"]:
        assert row["search_id"] in searches
        assert row["clicked"] or not row["carted"]
        assert row["carted"] or not row["purchased"]
        assert (row["clicked_at"] is not None) == row["clicked"]
        assert row["shown_at"] < UNTIL
    for session in sessions.values():
        pages = [s for s in searches.values() if s["session_id"] == session["session_id"]]
        bought = any(
            row["purchased"]
            for row in rows["impressions"]
            if searches[row["search_id"]]["session_id"] == session["session_id"]
        )
        assert session["ended_by"] in {"bought", "left", "out of patience", "no query"}
        assert len(pages) <= 12
        if session["ended_by"] == "bought":
            assert bought
        assert session["started_at"] <= session["ended_at"] < UNTIL


def test_the_real_rows_are_left_alone(shop_log, people):
    before = synthetic_rows(shop_log, "real")
    Simulation(shop_log, people, ScriptedEngine(), settings()).run()
    assert synthetic_rows(shop_log, "real") == before


def test_the_same_inputs_give_the_same_log_in_whatever_order_answers_come(
    tmp_path, make_log, people
):
    logs = []
    for name, engine, concurrency in (
        ("a", ScriptedEngine(), 48),
        ("b", Shuffled(1), 7),
        ("c", Shuffled(2), 1),
    ):
        path = make_log(tmp_path / f"{name}.duckdb")
        summary = Simulation(path, people, engine, settings(concurrency=concurrency)).run()
        logs.append(synthetic_rows(path, summary.run_id))
    assert logs[0] == logs[1] == logs[2]
    assert logs[0]["impressions"]


class ByItem(Shuffled):
    """Log-odds from the number at the end of the item's text."""

    def submit(self, request):
        ticket = super().submit(request)
        self.odds = getattr(self, "odds", {})
        if not isinstance(request, TextRequest):
            self.odds[ticket] = int(request.prompt.splitlines()[-2].split()[-1]) / 10 - 3
        return ticket

    def collect(self):
        return [
            (t, ChoiceAnswer((-log1p(exp(-self.odds[t])), -log1p(exp(self.odds[t]))), 1, 1))
            if t in self.odds
            else (t, answer)
            for t, answer in super().collect()
        ]


def test_every_answer_reaches_the_item_that_it_was_given_for(shop_log, people):
    run = Simulation(shop_log, people, ByItem(3), settings(sessions=12, behaviour="prior")).run()
    rows = synthetic_rows(shop_log, run.run_id)["impressions"]
    assert len({row["item_id"] for row in rows}) > 10
    for row in rows:
        assert row["score"] == pytest.approx(int(row["item_id"][1:]) / 10 - 3)


def test_another_seed_gives_another_run(shop_log, people):
    first = Simulation(shop_log, people, ScriptedEngine(), settings(seed=1)).run()
    second = Simulation(shop_log, people, ScriptedEngine(), settings(seed=2)).run()
    assert first.run_id != second.run_id
    with Log.open(shop_log) as log:
        assert log.count("sessions", first.run_id) == log.count("sessions", second.run_id) == 30


def test_a_dead_engine_keeps_what_was_finished_and_the_run_continues(tmp_path, make_log, people):
    path, whole = make_log(tmp_path / "dying.duckdb"), make_log(tmp_path / "whole.duckdb")
    undisturbed = Simulation(whole, people, ScriptedEngine(), settings()).run()
    with pytest.raises(EngineUnavailableError):
        Simulation(path, people, Dying(400), settings(concurrency=4)).run()
    with Log.open(path) as log:
        kept = log.count("sessions", undisturbed.run_id)
        state = log.scalar(
            "SELECT state FROM runs WHERE run_id = $run", {"run": undisturbed.run_id}
        )
    assert 0 < kept < 30
    assert state == "failed"
    resumed = Simulation(path, people, ScriptedEngine(), settings()).run()
    assert resumed.already_done == kept
    assert resumed.run_id == undisturbed.run_id
    assert synthetic_rows(path, resumed.run_id) == synthetic_rows(whole, undisturbed.run_id)


def test_a_finished_run_is_not_repeated(shop_log, people):
    first = Simulation(shop_log, people, ScriptedEngine(), settings()).run()
    engine = Wrapped()
    again = Simulation(shop_log, people, engine, settings()).run()
    assert again.already_done == 30
    assert engine.submitted == 0
    assert (again.impressions, again.purchases) == (first.impressions, first.purchases)


def test_nonsense_stops_the_run_with_a_clear_error(shop_log, people):
    with pytest.raises(EngineAnswerError, match="empty or not among the options") as caught:
        Simulation(shop_log, people, Nonsense(), settings(sessions=500, behaviour="prior")).run()
    assert "largest_unusable_share" in caught.value.hint


def test_some_nonsense_is_counted_and_the_run_goes_on(shop_log, people):
    class Sometimes(Wrapped):
        def submit(self, request):
            ticket = super().submit(request)
            self.spoiled = getattr(self, "spoiled", set())
            if isinstance(request, TextRequest) and request.draw.endswith("/0"):
                self.spoiled.add(ticket)
            return ticket

        def collect(self):
            return [
                (t, replace(a, text=" ,. ") if t in self.spoiled else a)
                for t, a in super().collect()
            ]

    summary = Simulation(shop_log, people, Sometimes(), settings(browsing_share=0.0)).run()
    assert summary.state == "finished"
    assert summary.unusable_answers >= 30
    with Log.open(shop_log) as log:
        assert (
            log.scalar("SELECT count(*) FROM searches WHERE origin <> 'real' AND query IS NULL")
            == 0
        )


def test_sessions_end_without_a_query_when_none_can_be_written(shop_log, people):
    class Silent(Wrapped):
        def collect(self):
            return [
                (t, replace(a, text="") if isinstance(a, TextAnswer) else a)
                for t, a in super().collect()
            ]

    summary = Simulation(
        shop_log, people, Silent(), settings(browsing_share=0.0, largest_unusable_share=1.0)
    ).run()
    with Log.open(shop_log) as log:
        ends = log.query("SELECT DISTINCT ended_by FROM sessions WHERE origin <> 'real'")
    assert ends["ended_by"].to_pylist() == ["no query"]
    assert summary.impressions == 0


def test_no_personas_is_an_error(shop_log):
    with pytest.raises(PersonaError, match="no personas"):
        Simulation(shop_log, [], ScriptedEngine(), settings())


def test_a_log_without_responses_stops_before_anything_is_written(tmp_path, make_log, people):
    path = make_log(tmp_path / "none.duckdb", buy_rate=0.0)
    simulation = Simulation(path, people, ScriptedEngine(), settings(behaviour="fit"))
    with pytest.raises(NoResponseError):
        simulation.run()
    with Log.open(path) as log:
        assert log.count("runs") == 0
    assert Simulation(path, people, ScriptedEngine(), settings(behaviour="prior")).run().sessions


def test_the_run_records_what_it_knew_and_how_it_was_fitted(shop_log, people):
    summary = Simulation(shop_log, people, ScriptedEngine(), settings(behaviour="fit")).run()
    with Log.open(shop_log) as log:
        run = log.query("SELECT * FROM runs WHERE run_id = $run", {"run": summary.run_id})
    configuration = json.loads(run["configuration"][0].as_py())
    assert datetime.fromisoformat(configuration["knowledge_until"]) == UNTIL
    assert configuration["fit"]["behaviour"]["intercept"]["source"] == "fitted"
    assert run["model"][0].as_py()
    assert run["state"][0].as_py() == "finished"


def test_queries_are_typed_in_the_words_of_the_catalogue_chinese_too(shop_log, people):
    summary = Simulation(
        shop_log, people, ScriptedEngine(), settings(sessions=60, browsing_share=0.0)
    ).run()
    with Log.open(shop_log) as log:
        queries = log.query(
            "SELECT query FROM searches WHERE origin = $run", {"run": summary.run_id}
        )["query"].to_pylist()
        answered = log.scalar(
            "SELECT count(*) FROM impressions JOIN searches USING (search_id) "
            "WHERE searches.origin = $run AND query LIKE '%牛奶%'",
            {"run": summary.run_id},
        )
    assert any("牛奶" in query for query in queries)
    assert answered > 0


def test_until_with_a_time_zone_is_the_same_run(tmp_path, make_log, people):
    east = timezone(timedelta(hours=8))
    plain, aware = make_log(tmp_path / "plain.duckdb"), make_log(tmp_path / "aware.duckdb")
    first = Simulation(plain, people, ScriptedEngine(), settings(sessions=5)).run()
    until = UNTIL.replace(tzinfo=UTC).astimezone(east)
    second = Simulation(aware, people, ScriptedEngine(), settings(sessions=5, until=until)).run()
    assert first.run_id == second.run_id
    assert synthetic_rows(plain, first.run_id) == synthetic_rows(aware, second.run_id)


def test_nothing_after_until_changes_a_run(tmp_path, make_log, people):
    early, late = make_log(tmp_path / "early.duckdb"), make_log(tmp_path / "late.duckdb")
    with Log.open(late, read_only=False) as log:
        for table, key in (("sessions", ""), ("searches", "search_id"), ("impressions", "")):
            moment = {"sessions": "started_at", "searches": "searched_at"}.get(table, "shown_at")
            changes = [f"{moment} + INTERVAL 90 DAY AS {moment}"]
            changes += ["session_id || '+' AS session_id"] if table != "impressions" else []
            changes += ["search_id || '+' AS search_id"] if key or table == "impressions" else []
            changes += ["true AS purchased"] if table == "impressions" else []
            log.execute(f"INSERT INTO {table} SELECT * REPLACE ({', '.join(changes)}) FROM {table}")
        log.execute(
            "INSERT INTO purchases SELECT purchases.* REPLACE "
            "(purchased_at + INTERVAL 90 DAY AS purchased_at, 99.0 AS amount) "
            "FROM purchases, range(3) WHERE item_id < 'i3'"
        )
    first = Simulation(early, people, ScriptedEngine(), settings(behaviour="fit")).run()
    second = Simulation(late, people, ScriptedEngine(), settings(behaviour="fit")).run()
    assert first.behaviour == second.behaviour
    assert synthetic_rows(early, first.run_id) == synthetic_rows(late, second.run_id)


def test_a_run_goes_on_with_the_rates_that_it_began_with(shop_log, people):
    with pytest.raises(EngineUnavailableError):
        Simulation(shop_log, people, Dying(400), settings(concurrency=4, behaviour="fit")).run()

    def behaviour():
        with Log.open(shop_log) as log:
            return json.loads(log.scalar("SELECT configuration FROM runs WHERE kind = 'simulate'"))[
                "fit"
            ]["behaviour"]

    begun = behaviour()
    with Log.open(shop_log, read_only=False) as log:
        # Fitted again, the rates would be others.
        log.execute("UPDATE impressions SET purchased = NOT purchased WHERE origin = 'real'")
    resumed = Simulation(shop_log, people, ScriptedEngine(), settings(behaviour="fit")).run()
    assert resumed.already_done > 0
    assert resumed.behaviour.model_dump(mode="json") == begun == behaviour()


def test_a_run_begun_with_a_model_goes_on_from_its_recording(tmp_path, shop_log, people):
    class Replayed(Wrapped):
        @property
        def identity(self):
            return replace(self.inner.identity, kind="replay")

    with pytest.raises(EngineUnavailableError):
        Simulation(shop_log, people, Dying(400), settings(concurrency=4)).run()
    resumed = Simulation(shop_log, people, Replayed(), settings()).run()
    assert resumed.state == "finished"
    assert resumed.already_done > 0
    with Log.open(shop_log) as log:
        configuration = log.scalar("SELECT configuration FROM runs WHERE kind = 'simulate'")
    assert json.loads(configuration)["engine"] == "scripted"


KILLED = """
import sys, time
from datetime import datetime
from footfall.personas.persona import read_personas
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.simulation import Simulation, SimulationSettings

class Slow(ScriptedEngine):
    def collect(self):
        time.sleep(0.002)
        return super().collect()

settings = SimulationSettings(
    sessions=300, until=datetime(2024, 3, 1), behaviour="prior", pilot_sessions=4, concurrency=4
)
print("ready", flush=True)
print(Simulation(sys.argv[1], read_personas(sys.argv[2]), Slow(), settings).run().run_id)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_simulation_continues_with_no_session_lost_or_doubled(
    tmp_path, make_log, people, how
):
    from footfall.personas.persona import write_personas

    write_personas(people, tmp_path / "people.jsonl")
    killed, whole = make_log(tmp_path / "killed.duckdb"), make_log(tmp_path / "whole.duckdb")

    def start(path):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(tmp_path / "people.jsonl")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    rng = random.Random(7)
    kills = 0
    for _ in range(4):
        process = start(killed)
        process.stdout.readline()
        time.sleep(1.0 + rng.random())
        kills += process.poll() is None
        process.send_signal(how)
        process.communicate(timeout=60)
    assert kills >= 1
    run_id = start(killed).communicate(timeout=120)[0].split()[-1]
    assert start(whole).communicate(timeout=120)[0].split()[-1] == run_id
    assert synthetic_rows(killed, run_id) == synthetic_rows(whole, run_id)
    with Log.open(killed) as log:
        assert log.count("sessions", run_id) == 300
