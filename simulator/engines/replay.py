"""Record an engine's answers, and answer from the recording without any model.

Which answer a request gets does not depend on timing. A choice, a likelihood, a text at temperature
0, and a text with a ``draw`` of its own have one answer however often they are asked, so a
simulation is replayed exactly in whatever order it asks. A text without a draw may deserve
different answers: the n-th *submission* of the same request gets the n-th answer, counted in ticket
order.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import IO

from footfall.errors import RecordingError
from footfall.simulator.engines.choices import closed_error, is_repeatable, require_valid
from footfall.simulator.engines.protocol import Answer, Engine, EngineIdentity, Request
from footfall.simulator.engines.recording import (
    Occurrence,
    answer_line,
    header_line,
    read_recording,
    request_key,
)
from footfall.simulator.engines.shared_answers import SharedAnswers

__all__ = ["RecordingEngine", "ReplayEngine"]


class _Occurrences:
    """Counts how often each request was submitted."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, request: Request) -> Occurrence:
        key = request_key(request)
        if is_repeatable(request):
            return key, 0
        self._seen[key] += 1
        return key, self._seen[key] - 1


class ReplayEngine:
    """Answers from a recording; a request that is not in it is an error.

    Parameters
    ----------
    path:
        A file written by ``RecordingEngine``. A last line whose writing was interrupted is left
        out.

    Raises
    ------
    RecordingError
        If the file is missing, empty, damaged or no recording.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        recorded, self._answers, _ = read_recording(self._path)
        if recorded is None:
            raise RecordingError(
                f"The recording {self._path} is empty.",
                hint="Make one by running with another `kind` and this `recording`.",
            )
        self._identity = replace(recorded, kind="replay")
        self._occurrences = _Occurrences()
        self._next_ticket = 0
        self._ready: list[tuple[int, Answer]] = []
        self._closed = False

    @property
    def identity(self) -> EngineIdentity:
        """Kind ``replay``, with the model and hash of what answered when it was recorded."""
        return self._identity

    def submit(self, request: Request) -> int:
        """Queue a request and return its ticket.

        Raises
        ------
        RecordingError
            If the recording lacks the request, or has it fewer times than it is asked.
        """
        if self._closed:
            raise closed_error()
        require_valid(request)
        occurrence = self._occurrences.next(request)
        answer = self._answers.get(occurrence)
        if answer is None:
            raise self._missing(request, occurrence)
        ticket = self._next_ticket
        self._next_ticket += 1
        self._ready.append((ticket, answer))
        return ticket

    def collect(self) -> list[tuple[int, Answer]]:
        """All queued requests' answers; empty when nothing is queued."""
        if self._closed:
            raise closed_error()
        ready, self._ready = self._ready, []
        return ready

    def close(self) -> None:
        """Forget the recording."""
        self._closed = True
        self._ready = []
        self._answers = {}

    def _missing(self, request: Request, occurrence: Occurrence) -> RecordingError:
        key, count = occurrence
        start = request.prompt if len(request.prompt) <= 80 else request.prompt[:80] + "…"
        known = (key, 0) in self._answers
        times = f" for the {count + 1}. time" if known else ""
        return RecordingError(
            f"The recording {self._path} has no answer{times} to the request {start!r}.",
            hint="The settings, the log or the program differ from when it was recorded: run "
            "with the same, or record anew with another `kind`.",
        )


class RecordingEngine:
    """Passes requests on to ``engine`` and writes its answers down.

    What the recording already has is answered from it, so an interrupted run goes on where it
    stopped, and identical choices are asked once. It closes the engine that it was given.

    Parameters
    ----------
    engine:
        What answers.
    path:
        The recording, made if it is not there and continued if it is. A last line whose writing
        was interrupted is dropped.

    Raises
    ------
    RecordingError
        If the file is damaged or no recording, holds another model's answers, cannot be written,
        or another process is recording to it.
    """

    def __init__(self, engine: Engine, path: str | Path) -> None:
        # What is recorded is remembered; equal requests in work are left to this one.
        self._engine = SharedAnswers(engine, remembered=0)
        self._path = Path(path)
        self._file = _open_to_append(self._path)
        try:
            self._answers = self._continue()
        except BaseException:
            self._file.close()
            raise
        self._occurrences = _Occurrences()
        self._next_ticket = 0
        self._ready: list[tuple[int, Answer]] = []
        self._asked: dict[int, tuple[int, Request, Occurrence]] = {}
        self._closed = False

    @property
    def identity(self) -> EngineIdentity:
        """The recorded engine's own."""
        return self._engine.identity

    def submit(self, request: Request) -> int:
        """Queue a request and return its ticket."""
        if self._closed:
            raise closed_error()
        require_valid(request)
        occurrence = self._occurrences.next(request)
        ticket = self._next_ticket
        if occurrence in self._answers:
            self._ready.append((ticket, self._answers[occurrence]))
        else:
            self._asked[self._engine.submit(request)] = (ticket, request, occurrence)
        self._next_ticket += 1
        return ticket

    def collect(self) -> list[tuple[int, Answer]]:
        """Answers that are ready, by rising ticket; each is on disk before it is returned."""
        if self._closed:
            raise closed_error()
        if not self._ready and self._asked:
            self._take(self._engine.collect())
        ready, self._ready = sorted(self._ready, key=lambda pair: pair[0]), []
        return ready

    def close(self) -> None:
        """Close the recording and the engine."""
        if self._closed:
            return
        self._closed = True
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        finally:
            self._engine.close()

    def _take(self, answered: list[tuple[int, Answer]]) -> None:
        lines = []
        for asked, answer in answered:
            ticket, request, occurrence = self._asked.pop(asked)
            if occurrence not in self._answers:
                self._answers[occurrence] = answer
                lines.append(answer_line(request, occurrence[1], answer))
            self._ready.append((ticket, answer))
        self._write(b"".join(lines))

    def _continue(self) -> dict[Occurrence, Answer]:
        recorded, answers, whole = read_recording(self._path)
        identity = self._engine.identity
        if recorded is not None and recorded != identity:
            raise RecordingError(
                f"The recording {self._path} has answers of {_name(recorded)}, and this engine is "
                f"{_name(identity)}.",
                hint="Record to another file, or delete this one.",
            )
        self._file.truncate(whole)
        if recorded is None:
            self._write(header_line(identity))
        return answers

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise RecordingError(
                f"The recording {self._path} cannot be written: {error.strerror or error}.",
                hint="Make room on the disk; what was recorded before is kept.",
            ) from error


def _open_to_append(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise RecordingError(
            f"The recording {path} cannot be written: {error.strerror or error}.",
            hint="Check `recording`: a file in a folder that can be written.",
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise RecordingError(
            f"Another process or engine is recording to {path}.",
            hint="Wait until it is done, or record to another file.",
        ) from error
    return file


def _name(identity: EngineIdentity) -> str:
    return f"{identity.kind}/{identity.model} ({identity.model_hash[:12]})"
