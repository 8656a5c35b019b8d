"""The command `footfall tune`: what it passes on, and what it says."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from footfall import steps
from footfall.cli import app


@pytest.fixture
def called(monkeypatch):
    calls = {}

    def tune(log, folder, **more):
        calls.update(more, log=log, folder=folder)
        return SimpleNamespace(
            tasks=("query", "choice"),
            before=SimpleNamespace(query=4.0, choice=2.4),
            after=SimpleNamespace(query=1.25, choice=1.5),
            candidates="reconstructed",
            serving="merged",
        )

    monkeypatch.setattr(steps, "tune", tune)
    return calls


def test_options_override_the_settings_file(called, tmp_path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[tuning]\nrank = 8\nseed = 3\n\n[engine]\nkind = 'vllm'\n")
    arguments = ["tune", "shop.duckdb", "tuned", "--until", "2011-10-05", "--minutes", "20"]
    arguments += ["--model", "other", "--seed", "7", "--resume", "--settings", str(settings)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert called["until"] == datetime(2011, 10, 5)
    assert called["resume"] is True
    chosen = called["settings"]
    assert (chosen.rank, chosen.seed, chosen.model, chosen.max_minutes) == (8, 7, "other", 20.0)
    assert "query: 4.000 before, 1.250 after" in result.output
    assert "reconstructed" in result.output
    assert "Model in tuned, served merged" in result.output


def test_an_unknown_setting_is_named(called, tmp_path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[tuning]\nrnak = 8\n")
    result = CliRunner().invoke(app, ["tune", "a", "b", "--settings", str(settings)])
    assert result.exit_code != 0
    assert "rnak" in str(result.exception)
    assert not called
