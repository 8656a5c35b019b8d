"""Runs of generators in the log: the same tables, whole, found again, readable as examples."""

import json
from datetime import timedelta
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pyarrow as pa
import pytest
from generator_logs import KINDS, UNTIL, write_log
from typer.testing import CliRunner

import footfall
from footfall.cli import app
from footfall.errors import DataError, PersonaError, SettingError
from footfall.finetune import read_examples
from footfall.personas import Persona, write_personas
from footfall.simulator import plug_ins
from footfall.simulator.generators import (
    GenerationRun,
    GenerationSettings,
    generator_names,
    open_generator,
    registry,
)
from footfall.simulator.log import Log

SETTINGS = GenerationSettings(
    sessions=120, until=UNTIL, shoppers=15, options={"fewest_rows": 20}, seed=4
)


def rows_of(path, run_id):
    with Log.open(path) as log:
        return {
            table: log.query(f"SELECT * FROM {table} WHERE origin = ? ORDER BY ALL", [run_id])
            for table in ("users", "sessions", "searches", "impressions")
        }


def test_a_run_is_in_the_log_and_found_again(log_path):
    first = GenerationRun(log_path, SETTINGS).run()
    assert (first.state, first.sessions) == ("finished", 120)
    assert first.clicks > 0
    rows = rows_of(log_path, first.run_id)
    assert rows["sessions"].num_rows == 120
    assert rows["searches"].num_rows == first.searches
    assert rows["impressions"].num_rows == first.impressions
    again = GenerationRun(log_path, SETTINGS).run()
    assert again.run_id == first.run_id
    assert rows_of(log_path, first.run_id) == rows
    with Log.open(log_path) as log:
        (run,) = log.query("SELECT * FROM runs").to_pylist()
    assert (run["kind"], run["state"], run["model"], run["seed"]) == (
        "generate",
        "finished",
        "markov",
        4,
    )
    configuration = json.loads(run["configuration"])
    assert configuration["knowledge_until"] == UNTIL.isoformat()
    assert configuration["settings"]["options"] == {"fewest_rows": 20}


@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"sessions": 121}, {"cold_items": 0.1}, {"options": {}}]
)
def test_other_settings_are_another_run(log_path, change):
    changed = GenerationSettings.model_validate(SETTINGS.model_dump() | change)
    assert GenerationRun(log_path, changed).run_id != GenerationRun(log_path, SETTINGS).run_id


def test_sessions_lie_in_the_last_weeks_before_until(log_path):
    settings = SETTINGS.model_copy(update={"weeks": 2.0})
    run = GenerationRun(log_path, settings).run()
    rows = rows_of(log_path, run.run_id)
    starts = rows["sessions"]["started_at"].to_pylist()
    assert min(starts) >= UNTIL - timedelta(weeks=2)
    assert max(starts) < UNTIL
    assert len(set(starts)) > 100
    for session, search in zip(
        rows["sessions"].to_pylist()[:5], rows["searches"].to_pylist(), strict=False
    ):
        assert search["session_id"].startswith(f"{run.run_id}/")
        assert session["started_at"] < session["ended_at"]


def test_a_run_is_read_as_examples(log_path):
    run = GenerationRun(log_path, SETTINGS).run()
    with Log.open(log_path) as log:
        examples = read_examples(log, label="clicked", origins=[run.run_id], until=UNTIL)
    assert len(examples) == run.impressions
    fruit = np.array([item.startswith("fruit") for item in examples.column("item_id")])
    assert 0.25 < examples.labels[fruit].mean() < 0.55
    assert examples.labels[~fruit].mean() < 0.05
    # The shoppers are those whose interests are what the session is about.
    affinity = examples.column("category_affinity")
    assert affinity[examples.labels].mean() > affinity[~examples.labels].mean() + 0.1
    assert set(examples.column("sample_rate").tolist()) == {0.5, 1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_log_can_be_generated_from(tmp_path, kind):
    path = write_log(tmp_path / "log.duckdb", pages=120, **KINDS[kind])
    until = None if kind == "timeless" else UNTIL
    settings = GenerationSettings(sessions=30, until=until, shoppers=5)
    run = GenerationRun(path, settings).run()
    assert run.sessions == 30
    rows = rows_of(path, run.run_id)
    assert rows["sessions"]["started_at"].null_count == (30 if kind == "timeless" else 0)
    assert (rows["searches"]["query"].null_count > 0) == (kind == "browsing")
    assert rows["impressions"]["price"].null_count == (run.impressions if kind == "bare" else 0)


def test_personas_are_the_shoppers(log_path):
    people = [
        Persona(persona_id="a", interests={"fruit": 1.0}, demographics={"年龄": "25-34"}),
        Persona(persona_id="b", interests={"tools": 1.0}, activity=3.0),
    ]
    run = GenerationRun(log_path, SETTINGS, personas=people).run()
    assert run.run_id != GenerationRun(log_path, SETTINGS).run_id
    rows = rows_of(log_path, run.run_id)
    assert rows["users"]["user_id"].to_pylist() == [f"{run.run_id}/{each}" for each in "ab"]
    with Log.open(log_path) as log:
        mix = log.query(
            """
            SELECT right(user_id, 1) AS who, avg(CASE WHEN item_id LIKE 'fruit%' THEN 1 ELSE 0 END)
                AS fruit
            FROM impressions JOIN searches USING (search_id) JOIN sessions USING (session_id)
            WHERE impressions.origin = ? GROUP BY who ORDER BY who
            """,
            [run.run_id],
        ).to_pylist()
    assert mix[0]["fruit"] > 0.9 > 0.1 > mix[1]["fruit"]


def test_no_personas_are_refused(log_path):
    with pytest.raises(PersonaError, match="no personas"):
        GenerationRun(log_path, SETTINGS, personas=[])


class _Broken:
    """A generator that fails on its second table, as one that was interrupted does."""

    name = "markov"

    def __init__(self, error=None, **options):
        self._inner, self._error = open_generator("markov", **options), error

    def fit(self, log, *, until, seed):
        self._inner.fit(log, until=until, seed=seed)
        return self

    def sessions(self, count, *, seed, cold_items=0.0):
        for number, block in enumerate(self._inner.sessions(count, seed=seed)):
            if number and self._error:
                raise self._error
            yield block


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("lost")])
def test_what_was_written_is_kept_and_completed(log_path, error):
    settings = SETTINGS.model_copy(update={"sessions": 1500})
    broken = GenerationRun(log_path, settings)
    broken._generator = _Broken(error, fewest_rows=20)
    if isinstance(error, KeyboardInterrupt):
        assert broken.run().state == "interrupted"
    else:
        with pytest.raises(RuntimeError, match="lost"):
            broken.run()
    kept = rows_of(log_path, broken.run_id)
    assert kept["sessions"].num_rows == 1000
    done = GenerationRun(log_path, settings).run()
    assert (done.run_id, done.state, done.sessions) == (broken.run_id, "finished", 1500)
    whole = write_log(log_path.with_name("whole.duckdb"), late="fruit-29")
    GenerationRun(whole, settings).run()
    for table, rows in rows_of(whole, done.run_id).items():
        assert rows == rows_of(log_path, done.run_id)[table], table


class _Wrong(_Broken):
    name = "wrong"
    table = pa.table({})

    def sessions(self, count, *, seed, cold_items=0.0):
        yield self.table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": None}, "lack query"),
        ({"colour": ["red"]}, "unknown column colour"),
        ({"session": [7]}, "sessions 7 to 7 where 0 to 4"),
        ({"session": [None]}, "no session in some row"),
        ({"step": ["first"]}, "wrong type"),
        ({"item_id": ["nowhere"]}, "nowhere"),
    ],
)
def test_what_does_not_fit_the_protocol_is_refused(log_path, change, message):
    row = {"session": [0], "step": [1], "page": [1], "query": ["x"], "item_id": ["fruit-01"]}
    run = GenerationRun(log_path, SETTINGS.model_copy(update={"sessions": 5}))
    run._generator = _Wrong(fewest_rows=20)
    columns = {name: values for name, values in (row | change).items() if values}
    run._generator.table = pa.table(columns)
    with pytest.raises((DataError, footfall.FootfallError), match=message):
        run.run()
    assert rows_of(log_path, run.run_id)["sessions"].num_rows == 0


def test_plugins_and_broken_ones(tmp_path, monkeypatch, log_path):
    (tmp_path / "their_generator.py").write_text(
        "from footfall.simulator.generators.markov import MarkovGenerator\n"
        "class Theirs(MarkovGenerator):\n    name = 'theirs'\n"
        "number = 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    points = EntryPoints(
        EntryPoint(name, value, registry.GENERATOR_GROUP)
        for name, value in [
            ("theirs", "their_generator:Theirs"),
            ("broken", "no_such_module_here:Generator"),
            ("number", "their_generator:number"),
        ]
    )
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: points.select(group=group))
    with pytest.warns(RuntimeWarning) as warned:
        assert {"markov", "theirs"} <= set(generator_names())
    messages = [str(warning.message) for warning in warned]
    assert "'broken' (no_such_module_here:Generator, group" in messages[0]
    assert "'number' (their_generator:number, group" in messages[1]
    assert len(messages) == 2
    run = GenerationRun(log_path, SETTINGS.model_copy(update={"generator": "theirs"})).run()
    assert run.sessions == 120
    with pytest.raises(SettingError, match=r"plug-in 'broken'.*cannot be loaded"):
        open_generator("broken")
    assert open_generator("their_generator:Theirs").name == "theirs"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oracle", "no generator 'oracle'.*markov"),
        ("no_such_module_here:x", "ModuleNotFoundError"),
        ("json:nothing", "AttributeError"),
        ("json:dumps", "cannot be made"),
        ("builtins:dict", "gave dict, which is no generator"),
    ],
)
def test_unusable_generators(name, message):
    with pytest.raises(SettingError, match=message):
        open_generator(name)


def test_the_command(log_path, tmp_path):
    people = tmp_path / "people.jsonl"
    write_personas([Persona(persona_id="a")], people)
    settings = tmp_path / "settings.toml"
    settings.write_text("[generation]\nsessions = 7\n[generation.options]\nfewest_rows = 30\n")
    arguments = ["generate", str(log_path), "--until", UNTIL.isoformat(), "--settings"]
    arguments += [str(settings), "--personas", str(people), "--cold-items", "0.1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "finished: " in result.output
    run_id = result.output.split("Run ")[-1].split()[0]
    assert rows_of(log_path, run_id)["sessions"].num_rows == 7
    assert (
        footfall.generate(
            log_path,
            people,
            settings=GenerationSettings(
                sessions=7, until=UNTIL, cold_items=0.1, options={"fewest_rows": 30}
            ),
        ).run_id
        == run_id
    )


def test_a_wrong_setting_is_named(log_path, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[generation]\nspeed = 7\n")
    result = CliRunner().invoke(app, ["generate", str(log_path), "--settings", str(settings)])
    assert isinstance(result.exception, SettingError)
    assert "speed" in str(result.exception)
