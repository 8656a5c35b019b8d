"""An engine without a language model: answers from a pure function of the prompt.

It lets a simulation be built, tested and timed where no model can be loaded. Its choices are
noise and its queries repeat the words of the prompt, so nothing it produces says anything about
shoppers.
"""

from __future__ import annotations

import hashlib
import math
import re

from footfall.simulator.engines.choices import choice_answer, closed_error, require_valid
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

__all__ = ["ScriptedEngine"]

#: A label such as "Looking for: " or "想找：" at the start of a line.
_LABEL = re.compile(r"^[^:：]{1,40}[:：]\s*")
#: An arrow and a label at the end of a line, such as " -> query:".
_ARROW = re.compile(r"\s*(?:->|=>|→)[^:：]{0,40}[:：]?\s*$")
#: Characters taken as one word where a text is not split by blanks.
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff]+")


class ScriptedEngine:
    """Not a language model: the same prompt and seed always give the same answer.

    A text is what the prompt's last filled line says after its label (for a prompt that ends in
    ``Looking for: dog food``, ``Query:`` it is "dog food"), at most ``max_tokens`` words long. A
    choice has log-odds spread like a logistic distribution, drawn from a hash of the seed, the
    prompt and the option; so has a likelihood, around three nats a word. Token counts are counts of
    words.

    Parameters
    ----------
    seed:
        Another seed gives other choices; texts do not depend on it.
    spread:
        Scale of the log-odds; 0 makes every choice even.
    """

    def __init__(self, seed: int = 0, *, spread: float = 1.0) -> None:
        self._seed = seed
        self._spread = spread
        self._next_ticket = 0
        self._ready: list[tuple[int, Answer]] = []
        self._closed = False

    @property
    def identity(self) -> EngineIdentity:
        """Kind ``scripted``; the hash names the seed and the spread."""
        code = hashlib.sha256(f"scripted 1 {self._seed} {self._spread!r}".encode()).hexdigest()
        return EngineIdentity("scripted", "scripted (no language model)", code)

    def submit(self, request: Request) -> int:
        """Queue a request and return its ticket."""
        if self._closed:
            raise closed_error()
        require_valid(request)
        ticket = self._next_ticket
        self._next_ticket += 1
        self._ready.append((ticket, self._answer(request)))
        return ticket

    def collect(self) -> list[tuple[int, Answer]]:
        """All queued requests' answers; empty when nothing is queued."""
        if self._closed:
            raise closed_error()
        ready, self._ready = self._ready, []
        return ready

    def close(self) -> None:
        """Forget what is queued."""
        self._closed = True
        self._ready = []

    def _answer(self, request: Request) -> Answer:
        if isinstance(request, TextRequest):
            return _text_answer(request)
        if isinstance(request, LikelihoodRequest):
            return self._likelihood_answer(request)
        return self._choice_answer(request)

    def _choice_answer(self, request: ChoiceRequest) -> ChoiceAnswer:
        scores: list[float | None] = [
            self._spread * _log_odds(f"{self._seed}\n{request.prompt}\n{option}")
            for option in request.options
        ]
        return choice_answer(scores, prompt_tokens=_count_words(request.prompt), output_tokens=1)

    def _likelihood_answer(self, request: LikelihoodRequest) -> LikelihoodAnswer:
        drawn = _log_odds(f"{self._seed}\n{request.prompt}\n{request.continuation}")
        words = _count_words(request.continuation)
        value = min(0.0, self._spread * drawn - 3.0 * max(words, 1))
        return LikelihoodAnswer(value, _count_words(request.prompt) + words, 1)


def _log_odds(text: str) -> float:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    uniform = (int.from_bytes(digest[:8], "big") + 0.5) / 2**64
    return math.log(uniform) - math.log1p(-uniform)


def _text_answer(request: TextRequest) -> TextAnswer:
    text = ""
    for line in reversed(request.prompt.splitlines()):
        text = _LABEL.sub("", _ARROW.sub("", line).strip()).strip()
        if text:
            break
    words = list(_WIDE.finditer(text))[: request.max_tokens]
    text = text[: words[-1].end()] if words else ""
    return TextAnswer(text, _count_words(request.prompt), len(words))


def _count_words(text: str) -> int:
    return len(_WIDE.findall(text))
