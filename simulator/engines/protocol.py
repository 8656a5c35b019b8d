"""What the simulator asks of a language model, and nothing more.

An engine takes requests at any time and hands answers back as they become ready, so that many
shoppers keep it full without waiting for one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

__all__ = [
    "Answer",
    "ChoiceAnswer",
    "ChoiceRequest",
    "Engine",
    "EngineIdentity",
    "LikelihoodAnswer",
    "LikelihoodRequest",
    "Request",
    "TextAnswer",
    "TextRequest",
    "ask",
]


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One line of free text after ``prompt``; generation stops at the newline.

    ``draw`` tells repeated draws of one prompt apart. It is not sent to the model, but it is part
    of the request's identity, so that a recording gives every asker the answer it got before,
    whatever the order of asking.
    """

    prompt: str
    max_tokens: int = 16
    temperature: float = 0.8
    draw: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """Log-probabilities of ``options`` as the continuation of ``prompt``.

    The options must differ in their first token; engines raise ``SettingError`` otherwise.
    """

    prompt: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """Log-probability of the whole ``continuation`` after ``prompt``."""

    prompt: str
    continuation: str


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """The line without surrounding white space; it may be empty. Tokens are counts."""

    text: str
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """Natural-log probabilities in the order of the options, normalised over them.

    ``usable`` is false when the engine gave no probability to any option; the
    log-probabilities are then uniform and the caller counts the answer as nonsense.
    """

    log_probabilities: tuple[float, ...]
    prompt_tokens: int
    output_tokens: int
    usable: bool = True


@dataclass(frozen=True, slots=True)
class LikelihoodAnswer:
    """Natural-log probability, summed over the continuation's tokens; at most 0.

    Where it is not ``usable`` the engine gave none, and the value is 0.
    """

    log_probability: float
    prompt_tokens: int
    output_tokens: int
    usable: bool = True


Request: TypeAlias = TextRequest | ChoiceRequest | LikelihoodRequest
Answer: TypeAlias = TextAnswer | ChoiceAnswer | LikelihoodAnswer


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What answered: stored with every run.

    ``tuned`` says that the model was tuned on a real log by ``footfall tune``: on its rows before
    ``tuned_until`` (ISO 8601, UTC; all where there is none), where it was a training part on that
    of the digest ``tuned_part``. ``unseen_people`` names people of that log, as hashes
    (:func:`.tuned.person_hash`), none of whose rows it was tuned on. A server does not say what its
    model was tuned on.
    """

    kind: str
    model: str
    model_hash: str
    tuned: bool = False
    unseen_people: tuple[str, ...] = ()
    tuned_until: str | None = None
    tuned_part: str | None = None


@runtime_checkable
class Engine(Protocol):
    """A language model behind a queue."""

    @property
    def identity(self) -> EngineIdentity:
        """The engine's kind, the model's name and a hash of its weights or address."""

    def submit(self, request: Request) -> int:
        """Queue a request and return its ticket.

        Raises ``EngineUnavailableError`` when the engine has died.
        """

    def collect(self) -> list[tuple[int, Answer]]:
        """Wait until at least one queued request is answered; return all that are ready.

        Returns an empty list when nothing is queued. Raises ``EngineUnavailableError`` when the
        engine has died.
        """

    def close(self) -> None:
        """Free the model; further calls are errors. Closing twice is harmless."""


def ask(engine: Engine, requests: Iterable[Request]) -> Sequence[Answer]:
    """Answer a batch of requests, in their order."""
    tickets = [engine.submit(request) for request in requests]
    answers: dict[int, Answer] = {}
    while len(answers) < len(tickets):
        answers.update(engine.collect())
    return [answers[ticket] for ticket in tickets]
