import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import footfall
from footfall.cli import app
from footfall.errors import DataError, SettingError
from footfall.finetune.example_files import load_examples, save_examples
from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples
from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.engines.scripted import ScriptedEngine


def examples(rows):
    blank = dict.fromkeys(EXAMPLE_SCHEMA.names)
    return Examples(pa.Table.from_pylist([blank | row for row in rows], schema=EXAMPLE_SCHEMA))


def slate(number, origin="real", weight=1.0):
    return [
        {
            "example_id": f"{origin}{number}-{item}",
            "search_id": f"{origin}{number}",
            "query": f"query {number}",
            "shopper_profile": "someone",
            "shopper_history": ["tea", "soup", "bread"],
            "shopper_text": "someone ; tea, soup, bread",
            "label": item == 0,
            "weight": weight,
            "origin": origin,
        }
        for item in range(3)
    ]


@pytest.fixture
def real(tmp_path):
    rows = [row for number in range(4) for row in slate(number)]
    return save_examples(examples(rows), tmp_path / "real.parquet")


@pytest.mark.parametrize("kind", ["crop", "mask", "reorder", "rotate"])
def test_an_arm_is_written_with_the_real_rows_first(real, tmp_path, kind):
    output = tmp_path / "arm.parquet"
    result = CliRunner().invoke(
        app, ["augment", str(real), str(output), "--kind", kind, "--rows", "7", "--weight", "0.5"]
    )
    assert result.exit_code == 0, result.output
    made, given = load_examples(output), load_examples(real)
    assert made.take(np.arange(12)).table.equals(given.table)
    added = made.take(made.synthetic)
    assert added.weights.tolist() == [0.5] * 7
    assert set(added.column("origin")) == {f"augment:{kind}"}
    assert "19 examples" in result.output


def test_an_arm_has_the_volume_of_another(real, tmp_path):
    rows = load_examples(real).table.to_pylist() + slate(0, "run", 0.25) + slate(1, "run", 0.75)
    other = save_examples(examples(rows), tmp_path / "synthetic.parquet")
    made = footfall.augment(real, tmp_path / "arm.parquet", kind="crop", like=other)
    assert made.weights[made.synthetic] == pytest.approx([0.5] * 6)


def test_a_settings_file_may_say_how(real, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[augmentation]\ncrop_share = 0.1\n", encoding="utf-8")
    output = tmp_path / "arm.parquet"
    command = ["augment", str(real), str(output), "--kind", "crop", "--settings", str(settings)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    made = load_examples(output)
    histories = made.take(made.synthetic).table["shopper_history"].to_pylist()
    assert len(histories) == 12
    assert {len(history) for history in histories} == {1}


def test_a_history_needs_no_engine_and_the_scripted_one_is_no_help(real, tmp_path):
    output = str(tmp_path / "arm.parquet")
    command = ["augment", str(real), output, "--kind", "paraphrase", "--engine", "scripted"]
    result = CliRunner().invoke(app, command)
    assert "rewritings of queries can be used" in str(result.exception)
    assert not (tmp_path / "arm.parquet").exists()


class Tuned(ScriptedEngine):
    """An engine whose model was tuned on the log until March."""

    @property
    def identity(self):
        return EngineIdentity("vllm", "m", "h", tuned=True, tuned_until="2024-03-01T00:00:00")


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ((), "nothing says where the training part"),
        (("--until", "2024-02-29"), "was tuned on the log until 2024-03-01"),
        # It may, and cannot: it answers at random.
        (("--until", "2024-03-01"), "rewritings of queries can be used"),
    ],
)
def test_a_tuned_model_may_not_know_more_than_the_training_part(
    real, tmp_path, monkeypatch, until, said
):
    monkeypatch.setattr("footfall.augmentation.open_engine", lambda settings: Tuned())
    output = tmp_path / "arm.parquet"
    command = ["augment", str(real), str(output), "--kind", "paraphrase", *until]
    assert said in str(CliRunner().invoke(app, command).exception)
    assert not output.exists()


def test_what_is_wrong_is_said_before_the_work(real, tmp_path):
    output = tmp_path / "arm.parquet"
    with pytest.raises(SettingError, match="folder"):
        footfall.augment(real, tmp_path / "none" / "arm.parquet", kind="crop")
    with pytest.raises(SettingError, match="weight"):
        footfall.augment(real, output, kind="crop", weight=0.0)
    with pytest.raises(SettingError, match="like"):
        footfall.augment(real, output, kind="crop", rows=3, like=real)
    with pytest.raises(SettingError, match="adds no rows"):
        footfall.augment(real, output, kind="crop", like=real)
    with pytest.raises(DataError, match="no such file"):
        footfall.augment(tmp_path / "none.parquet", output, kind="crop")
    result = CliRunner().invoke(app, ["augment", str(real), str(output), "--kind", "shout"])
    assert isinstance(result.exception, SettingError)
