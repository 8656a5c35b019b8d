"""The file of a recording: requests and their answers, one a line.

The first line says what answered (with ``"tuned": true`` where it was tuned on a log). Every
further line has the request, the how-manieth time it was asked (``occurrence``), and the answer::

    {"footfall_recording": 1, "kind": "vllm", "model": "...", "model_hash": "..."}
    {"request": {"options": [" Yes", " No"], "prompt": "..."}, "occurrence": 0, "answer": {...}}

Lines are only ever added, and end in a newline: what follows the last newline is a line whose
writing was interrupted, and counts as not written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from footfall.errors import RecordingError
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    EngineIdentity,
    LikelihoodAnswer,
    LikelihoodRequest,
    Request,
    TextAnswer,
    TextRequest,
)

__all__ = [
    "Occurrence",
    "answer_line",
    "header_line",
    "read_recording",
    "request_key",
]

_VERSION = 1
#: What a recording says of a tuned model, where there is anything to say.
_TUNED = ("tuned", "unseen_people", "tuned_until", "tuned_part")

#: A request's key and the how-manieth time it was asked, from 0.
Occurrence = tuple[str, int]


def request_key(request: Request) -> str:
    """SHA-256 of the request's canonical form."""
    text = json.dumps(_request_fields(request), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def header_line(identity: EngineIdentity) -> bytes:
    """The first line of a recording of this engine's answers."""
    return _line(
        {
            "footfall_recording": _VERSION,
            "kind": identity.kind,
            "model": identity.model,
            "model_hash": identity.model_hash,
            **{name: told for name in _TUNED if (told := getattr(identity, name))},
        }
    )


def answer_line(request: Request, occurrence: int, answer: Answer) -> bytes:
    """One request and its answer."""
    return _line(
        {
            "request": _request_fields(request),
            "occurrence": occurrence,
            "answer": _answer_fields(answer),
        }
    )


def read_recording(
    path: Path,
) -> tuple[EngineIdentity | None, dict[Occurrence, Answer], int]:
    """What answered, all answers, and the length in bytes of the whole lines.

    Of several answers to the same occurrence of a request the first counts. The identity is
    ``None`` where not even the first line is whole.

    Raises
    ------
    RecordingError
        If the file cannot be read, is no recording, or a whole line is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"The recording {path} cannot be read: {error.strerror or error}.",
            hint="Check `recording`, or make one by running with another `kind` first.",
        ) from error
    identity: EngineIdentity | None = None
    answers: dict[Occurrence, Answer] = {}
    for number, line in _whole_lines(content):
        try:
            fields = json.loads(line.decode("utf-8"))
            if identity is None:
                identity = _read_header(fields, path)
                continue
            request = _read_request(fields["request"])
            answer = _read_answer(request, fields["answer"])
            answers.setdefault((request_key(request), int(fields["occurrence"])), answer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(
                f"The recording {path} is damaged in line {number} "
                f"({type(error).__name__}: {error}).",
                hint="Delete that line to have its request asked again, or record anew.",
            ) from error
    return identity, answers, content.rfind(b"\n") + 1


def _whole_lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    # Not splitlines: signs that it takes for line ends may stand inside a prompt.
    lines = content.split(b"\n")[:-1]
    return ((number, line) for number, line in enumerate(lines, start=1))


def _read_header(fields: Any, path: Path) -> EngineIdentity:
    if not isinstance(fields, dict) or "footfall_recording" not in fields:
        raise RecordingError(
            f"{path} is not a recording: its first line does not say what answered.",
            hint="Give another file in `recording`.",
        )
    if fields["footfall_recording"] != _VERSION:
        raise RecordingError(
            f"The recording {path} has version {fields['footfall_recording']!r}, and this program "
            f"reads version {_VERSION}.",
            hint="Record anew.",
        )
    return EngineIdentity(
        str(fields["kind"]),
        str(fields["model"]),
        str(fields["model_hash"]),
        tuned=bool(fields.get("tuned", False)),
        unseen_people=tuple(map(str, fields.get("unseen_people", ()))),
        tuned_until=fields.get("tuned_until"),
        tuned_part=fields.get("tuned_part"),
    )


def _request_fields(request: Request) -> dict[str, Any]:
    if isinstance(request, TextRequest):
        return {
            "prompt": request.prompt,
            "max_tokens": request.max_tokens,
            # 1 and 1.0 are the same temperature, and must have the same key.
            "temperature": float(request.temperature),
            **({"draw": request.draw} if request.draw else {}),
        }
    if isinstance(request, LikelihoodRequest):
        return {"prompt": request.prompt, "continuation": request.continuation}
    return {"prompt": request.prompt, "options": list(request.options)}


def _read_request(fields: dict[str, Any]) -> Request:
    if "options" in fields:
        return ChoiceRequest(fields["prompt"], tuple(fields["options"]))
    if "continuation" in fields:
        return LikelihoodRequest(fields["prompt"], fields["continuation"])
    return TextRequest(
        fields["prompt"], fields["max_tokens"], fields["temperature"], fields.get("draw", "")
    )


def _answer_fields(answer: Answer) -> dict[str, Any]:
    tokens = {"prompt_tokens": answer.prompt_tokens, "output_tokens": answer.output_tokens}
    if isinstance(answer, TextAnswer):
        return {"text": answer.text, **tokens}
    fields: dict[str, Any] = (
        {"log_probability": answer.log_probability, **tokens}
        if isinstance(answer, LikelihoodAnswer)
        else {"log_probabilities": list(answer.log_probabilities), **tokens}
    )
    return fields if answer.usable else {**fields, "usable": False}


def _read_answer(request: Request, fields: dict[str, Any]) -> Answer:
    counts = (int(fields["prompt_tokens"]), int(fields["output_tokens"]))
    if isinstance(request, TextRequest):
        if not isinstance(fields["text"], str):
            raise TypeError("the text is no text")
        return TextAnswer(fields["text"], *counts)
    usable = bool(fields.get("usable", True))
    if isinstance(request, LikelihoodRequest):
        return LikelihoodAnswer(float(fields["log_probability"]), *counts, usable=usable)
    values = tuple(float(value) for value in fields["log_probabilities"])
    if len(values) != len(request.options):
        raise ValueError(f"{len(values)} log-probabilities for {len(request.options)} options")
    return ChoiceAnswer(values, *counts, usable=usable)


def _line(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # Half of a surrogate pair: only escapes can hold it.
        return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
