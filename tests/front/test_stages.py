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
