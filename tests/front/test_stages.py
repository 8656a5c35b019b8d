"""Stages are done once, and again with everything that was made of a replaced result."""

from __future__ import annotations

from pathlib import Path

import pytest

from footfall.stages import Stages

NAMES = ("read", "learn", "tell")


def run(folder: Path, **settings: int) -> list[str]:
    """The stages that were worked on."""
    stages, worked = Stages(folder), []
    for name in NAMES:
        result = folder / name

        def work(name: str = name, result: Path = result) -> None:
            worked.append(name)
            result.write_text(name)

        stages.run(name, settings.get(name, 0), result, work)
    return worked


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    assert run(tmp_path) == list(NAMES)
    assert run(tmp_path) == []


def test_a_changed_setting_repeats_what_follows(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, learn=1) == ["learn", "tell"]
    assert run(tmp_path, learn=1, tell=1) == ["tell"]


def test_a_missing_result_repeats_what_was_made_of_it(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "learn").unlink()
    assert run(tmp_path) == ["learn", "tell"]
    (tmp_path / "tell").unlink()
    assert run(tmp_path) == ["tell"]


def test_what_follows_an_interrupted_repetition_is_not_trusted(tmp_path: Path) -> None:
    run(tmp_path)
    stages = Stages(tmp_path)
    stages.run("read", 0, tmp_path / "read", lambda: None)

    def broken_off() -> None:
        raise KeyboardInterrupt

    (tmp_path / "learn").unlink()
    with pytest.raises(KeyboardInterrupt):
        stages.run("learn", 0, tmp_path / "learn", broken_off)
    # Somebody puts the result back by hand: what was made of the old one is still not taken.
    (tmp_path / "learn").write_text("another")
    assert run(tmp_path) == ["learn", "tell"]


def test_the_time_of_interrupted_calls_counts(tmp_path: Path, monkeypatch) -> None:
    clock = iter([0.0, 40.0, 100.0, 103.0, 200.0, 205.0])
    monkeypatch.setattr("footfall.stages.monotonic", lambda: next(clock))
    result = tmp_path / "learned"

    def broken_off() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path).run("learn", 0, result, broken_off)
    Stages(tmp_path).run("learn", 0, result, result.touch)
    assert Stages(tmp_path).done()["learn"]["seconds"] == 43.0
    # What was done pays no more for what is done again.
    result.unlink()
    Stages(tmp_path).run("learn", 0, result, result.touch)
    assert Stages(tmp_path).done()["learn"]["seconds"] == 5.0


def test_time_spent_with_other_settings_does_not_count(tmp_path: Path, monkeypatch) -> None:
    clock = iter([0.0, 40.0, 100.0, 103.0])
    monkeypatch.setattr("footfall.stages.monotonic", lambda: next(clock))
    result = tmp_path / "learned"
    with pytest.raises(ZeroDivisionError):
        Stages(tmp_path).run("learn", 0, result, lambda: 1 / 0)
    Stages(tmp_path).run("learn", 1, result, result.touch)
    assert Stages(tmp_path).done()["learn"]["seconds"] == 3.0


def test_work_that_found_some_of_it_done_tells_its_time(tmp_path: Path) -> None:
    result = tmp_path / "learned"

    def work() -> float:
        result.touch()
        return 1234.5

    Stages(tmp_path).run("learn", 0, result, work)
    assert Stages(tmp_path).done()["learn"]["seconds"] == 1234.5
