"""Mistakes that a step finds before it works, and what makes a recipe repeat a stage."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from footfall import cli, recipe, steps
from footfall.commands.options import settings_from
from footfall.errors import DataError, NoResponseError, SettingError
from footfall.finetune import save_examples
from footfall.recipe import Recipe, parse_toml
from footfall.simulator import SimulationSettings

DAY = datetime(2024, 3, 10)


def make_recipe(folder, train_until=DAY, **changes):
    return Recipe.model_validate(
        {
            "title": "t",
            "folder": folder,
            "source": {"name": "bestbuy", "folder": folder},
            "split": {
                "train_until": train_until,
                "validation_until": datetime(2024, 4, 1),
            },
            **changes,
        }
    )


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=8))])
def test_times_with_a_zone_are_kept_as_the_log_keeps_them(zone):
    there = DAY.replace(tzinfo=UTC).astimezone(zone)
    split = steps.Split(train_until=there, validation_until=datetime(2024, 4, 1))
    assert split.train_until == DAY
    assert SimulationSettings(until=there).until == DAY


def test_times_with_and_without_zone_are_put_in_order():
    with pytest.raises(ValidationError, match="time order"):
        steps.Split(train_until=DAY, validation_until=DAY.replace(tzinfo=UTC))


def test_a_result_without_a_place_is_refused_before_the_work(tmp_path):
    gone = tmp_path / "none" / "result"
    for call in (
        lambda: steps.make_personas(gone, count=3),
        lambda: steps.compare_scores({}, gone),
        lambda: steps.evaluate(tmp_path / "no.parquet", {}, gone),
        lambda: steps.report(tmp_path / "no.duckdb", gone, run_id="r"),
    ):
        with pytest.raises(SettingError, match="does not exist") as caught:
            call()
        assert str(gone) in caught.value.message


def test_a_file_that_is_no_evaluation_is_named(tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"evaluation\.json does not hold"):
        steps.report(tmp_path / "no.duckdb", tmp_path / "r.html", run_id="r", evaluation=path)


@pytest.mark.parametrize("content", [b"a = [", b"a = '\xff'"])
def test_a_file_that_is_not_toml_is_named(content):
    with pytest.raises(SettingError, match=r"some\.toml: not a TOML file"):
        parse_toml(content, "some.toml")


@pytest.mark.parametrize(
    ("text", "named"),
    [("[simulatoin]\nsessions = 3", "simulatoin"), ("engine = 'vllm'", "engine")],
)
def test_a_settings_file_with_an_unknown_table_is_refused(tmp_path, text, named):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingError, match=repr(named)) as caught:
        settings_from(SimulationSettings, path, "simulation")
    assert "[simulation]" in caught.value.hint


def test_options_come_before_the_settings_file(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[simulation]\nsessions = 3\nseed = 4\n[engine]\nkind = 'scripted'\n")
    found = settings_from(SimulationSettings, path, "simulation", sessions=7, seed=None)
    assert (found.sessions, found.seed) == (7, 4)
    with pytest.raises(SettingError, match=r"simulation, seed:.*greater"):
        settings_from(SimulationSettings, path, "simulation", seed=-1)


def test_an_interrupt_says_that_the_work_is_kept(monkeypatch, capsys):
    def interrupted(**options):
        raise SystemExit(130)

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert "run the same command to continue" in " ".join(capsys.readouterr().err.split())


class Recorded(recipe._Run):
    """A recipe whose stages leave empty results and say that they ran."""

    def repeated(self):
        self.done = []
        with contextlib.suppress(ValidationError):  # The empty comparison, after all stages.
            self.run()
        return self.done

    def _did(self, name, path):
        self.done.append(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"run_id": "r", "sessions": 0}))

    def _ingest(self):
        self._did("ingest", self.log)

    def _make_people(self):
        self._did("personas", self.people)

    def _simulate(self):
        self._did("simulate", self.facts_file)

    def _fuse(self):
        self._did("fuse", self.folder / "examples" / "synthetic.parquet")

    def _train(self):
        self._did("train", self.comparison_file)

    def _report(self):
        self._did("report", self.report_file)


STAGES = ["ingest", "personas", "simulate", "fuse", "train", "report"]


@pytest.mark.parametrize(
    ("change", "repeated"),
    [
        ({}, []),
        ({"title": "u"}, STAGES[5:]),
        ({"training": {"epochs": 2}}, STAGES[4:]),
        ({"fusion": {"alpha": 0.25}}, STAGES[3:]),
        ({"simulation": {"sessions": 3}}, STAGES[2:]),
        ({"personas": {"count": 3}}, STAGES[1:]),
        # What the personas and the shoppers may know has changed.
        ({"train_until": datetime(2024, 3, 1)}, STAGES[1:]),
    ],
)
def test_a_change_repeats_every_stage_that_it_touches(tmp_path, change, repeated):
    assert Recorded(make_recipe(tmp_path), "x").repeated() == STAGES
    assert Recorded(make_recipe(tmp_path, **change), "x").repeated() == repeated


def test_parts_without_both_responses_are_refused_before_training(tmp_path):
    import pyarrow as pa

    from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples

    def examples(*labels):
        columns = {name: [None] * len(labels) for name in EXAMPLE_SCHEMA.names}
        return Examples(pa.table(columns | {"label": list(labels)}, schema=EXAMPLE_SCHEMA))

    folder = tmp_path / "examples"
    folder.mkdir()
    for name, labels in (("real", (True, False)), ("validation", (False, False))):
        save_examples(examples(*labels), folder / f"{name}.parquet")
    with pytest.raises(NoResponseError, match=r"validation examples \(2\)"):
        recipe._Run(make_recipe(tmp_path), "x")._train()
