"""Stages of long work: what was done with the same settings is not done again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from pydantic import BaseModel

from footfall.errors import FootfallError
from footfall.files import whole_file
from footfall.progress import console

__all__ = ["Stages", "canonical", "clear_other_work", "write_json"]


class Stages:
    """The stages of one folder, in order; each depends on the settings of all before it.

    Parameters
    ----------
    folder:
        Where results lie; ``stages.json`` there says what was done with which settings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fingerprint = ""
        self._file = folder / "stages.json"
        self._interrupted_file = folder / "interrupted.json"

    def run(self, name: str, settings: Any, result: Path, work: Callable[[], float | None]) -> None:
        """Do ``work`` unless ``result`` was made with the same settings and the same past.

        What is kept of its time is what it took, calls with the same settings that were
        interrupted included; work that knows better (it found some of it done) returns the seconds.
        """
        self.fingerprint = self.next_fingerprint(name, settings)
        state = self.done()
        if result.exists() and state.get(name, {}).get("fingerprint") == self.fingerprint:
            console.print(f"[dim]{name}: already done[/dim]")
            return
        console.rule(name, align="left")
        if name in state:
            # What was made later was made of the result that is replaced.
            names = list(state)
            kept = names[: names.index(name)]
            write_json(self._file, {stage: state[stage] for stage in kept})
        earlier = self._interrupted(name)
        began = monotonic()
        try:
            told = work()
        except BaseException:
            self._note_interruption(name, earlier + monotonic() - began)
            raise
        seconds = round(earlier + monotonic() - began if told is None else told, 1)
        state = self.done()
        state[name] = {"fingerprint": self.fingerprint, "seconds": seconds}
        write_json(self._file, state)
        self._interrupted_file.unlink(missing_ok=True)
        console.print(f"[dim]{name}: {seconds:,.0f} s[/dim]")

    def _note_interruption(self, name: str, seconds: float) -> None:
        if not self.folder.is_dir():
            return
        spent = {"stage": name, "fingerprint": self.fingerprint, "seconds": round(seconds, 1)}
        # What broke the work off is to be told, not that its time cannot be noted.
        with suppress(FootfallError, OSError):
            write_json(self._interrupted_file, spent)

    def _interrupted(self, name: str) -> float:
        """Seconds that interrupted calls spent on this stage with these settings."""
        if not self._interrupted_file.exists():
            return 0.0
        told = json.loads(self._interrupted_file.read_text(encoding="utf-8"))
        same = (told["stage"], told["fingerprint"]) == (name, self.fingerprint)
        return float(told["seconds"]) if same else 0.0

    def next_fingerprint(self, name: str, settings: Any) -> str:
        """What the fingerprint of the next stage would be."""
        past = f"{self.fingerprint}|{name}|{canonical(settings)}"
        return hashlib.sha256(past.encode()).hexdigest()[:16]

    def done(self) -> dict[str, dict[str, Any]]:
        """Fingerprint and seconds of every stage that was done, by name."""
        if not self._file.exists():
            return {}
        loaded: dict[str, dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8"))
        return loaded


def clear_other_work(mark: Path, fingerprint: str, *leftovers: Path) -> None:
    """Delete what work with another fingerprint left half done; note that this one is begun.

    Work that was begun with other settings or rows has to start anew, and the same work goes on.

    Parameters
    ----------
    mark:
        File that says what was begun last.
    fingerprint:
        Identifies the work.
    leftovers:
        Folders of the work; they are deleted before the mark is written.
    """
    before = mark.read_text(encoding="utf-8") if mark.exists() else fingerprint
    if before != fingerprint:
        for folder in leftovers:
            shutil.rmtree(folder, ignore_errors=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(mark) as partial:
        partial.write_text(fingerprint, encoding="utf-8")


def canonical(settings: Any) -> str:
    """Settings as text that is the same whenever they are."""
    if isinstance(settings, BaseModel):
        return settings.model_dump_json()
    if isinstance(settings, list):
        return "|".join(canonical(part) for part in settings)
    return str(settings)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all; times become ISO 8601."""

    def plain(value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    text = json.dumps(content, ensure_ascii=False, indent=1, default=plain)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
