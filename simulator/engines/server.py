"""A language model behind an OpenAI-compatible address."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from footfall.errors import EngineAnswerError, EngineError
from footfall.simulator.engines.choices import (
    choice_answer,
    closed_error,
    first_tokens,
    following_tokens,
    likelihood_answer,
    matching_log_probabilities,
    one_line,
    require_valid,
    unusable_choice,
)
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceRequest,
    EngineIdentity,
    LikelihoodAnswer,
    LikelihoodRequest,
    Request,
    TextAnswer,
    TextRequest,
)
from footfall.simulator.engines.server_client import ServerClient, missing_model
from footfall.simulator.engines.settings import EngineSettings

__all__ = ["ServerEngine"]

#: So many malformed answers, and not one good one, mean that it is the wrong server.
NONSENSE_LIMIT = 20
#: Likely tokens asked of servers that cannot be asked for certain ones (OpenAI's own limit is 5).
_TOP_TOKENS = 5
#: Texts whose tokens are remembered.
_CONTINUATIONS_KEPT = 10_000


class ServerEngine:
    """Completions from vLLM, or any server that speaks OpenAI's completions.

    Of a vLLM server the exact log-probabilities of the options' first tokens are asked. Other
    servers tell the likeliest tokens only: an option that is not among them gets the smallest
    value that is, and a choice without any option among them is uniform and not ``usable``. For the
    likelihood of a text, the server has to repeat the prompt with its log-probabilities (``echo``);
    one that does not gives answers that are not ``usable``.
    Requests to a server that is down or busy are repeated ``retries`` times, waiting longer each
    time. vLLM cuts a prompt that is too long at its start; other servers refuse it.

    Raises
    ------
    MissingPartError
        If the openai package is not installed.
    EngineUnavailableError
        If nothing answers at the address.
    EngineMissingError
        If the server does not serve the model; the message lists what it serves.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._client = ServerClient(settings)
        self._waiting: dict[int, Request] = {}
        self._options: dict[tuple[str, ...], tuple[int, ...]] = {}
        # All items of a page are weighed by one query.
        self._following = lru_cache(_CONTINUATIONS_KEPT)(partial(following_tokens, self._encode))
        self._next_ticket = 0
        self._death: EngineError | None = None
        self._closed = False
        self._good_answers = 0
        self.malformed_answers = 0
        try:
            models = self._client.wait(self._client.served_models())
            if models and settings.model not in models:
                raise missing_model(self._client.address, settings.model, models)
            self._speaks_vllm = self._client.wait(self._client.tokens(":")) is not None
        except BaseException:
            self.close()
            raise
        code = hashlib.sha256(f"{self._client.address} {settings.model}".encode()).hexdigest()
        self._identity = EngineIdentity("server", settings.model, code)

    @property
    def identity(self) -> EngineIdentity:
        """Kind ``server``, the model's name and the SHA-256 of address and name."""
        return self._identity

    def submit(self, request: Request) -> int:
        """Send a request and return its ticket."""
        self._require_alive()
        require_valid(request)
        parameters = self._parameters(request)
        ticket = self._next_ticket
        self._next_ticket += 1
        self._waiting[ticket] = request
        self._client.start(ticket, lambda: self._client.complete(**parameters))
        return ticket

    def collect(self) -> list[tuple[int, Answer]]:
        """Wait for at least one answer; all that have arrived, by rising ticket."""
        self._require_alive()
        if not self._waiting:
            return []
        ready: list[tuple[int, Answer]] = []
        for ticket, result in self._client.finished():
            request = self._waiting.pop(ticket)
            if isinstance(result, EngineAnswerError) and isinstance(request, LikelihoodRequest):
                # A server that cannot repeat a prompt may still do everything else.
                ready.append((ticket, LikelihoodAnswer(0.0, 0, 0, usable=False)))
                continue
            if isinstance(result, BaseException):
                self._death = result if isinstance(result, EngineError) else None
                raise result
            ready.append((ticket, self._checked_answer(request, result)))
        return sorted(ready, key=lambda pair: pair[0])

    def close(self) -> None:
        """Cancel what is on its way."""
        if not self._closed:
            self._closed = True
            self._waiting = {}
            self._client.close()

    def _require_alive(self) -> None:
        if self._closed:
            raise closed_error()
        if self._death is not None:
            raise type(self._death)(self._death.message, hint=self._death.hint)

    def _parameters(self, request: Request) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if self._speaks_vllm:
            extra = {"truncate_prompt_tokens": -1, "truncation_side": "left"}
        # Servers refuse an empty prompt; a line break is as little.
        prompt = request.prompt or "\n"
        if isinstance(request, TextRequest):
            return {
                "prompt": prompt,
                "max_tokens": request.max_tokens,
                "temperature": request.temperature,
                "stop": ["\n"],
                "extra_body": extra,
            }
        if isinstance(request, LikelihoodRequest):
            known = self._length(request.continuation) is not None
            return {
                "prompt": prompt + request.continuation,
                # vLLM leaves no room for the token that it writes in any case, unless asked for.
                "max_tokens": int(known),
                "temperature": 0.0,
                "logprobs": 1,
                "echo": True,
                "extra_body": extra,
            }
        tokens = self._first_tokens(request.options)
        if tokens is not None:
            extra |= {
                "allowed_token_ids": list(tokens),
                # Named tokens, because a server may tell log-probabilities from before the rest
                # was forbidden, where the options need not be among the likeliest.
                "logprob_token_ids": list(tokens),
                "return_tokens_as_token_ids": True,
            }
        return {
            "prompt": prompt,
            "max_tokens": 1,
            "temperature": 1.0,
            "logprobs": _TOP_TOKENS if tokens is None else len(tokens),
            "extra_body": extra,
        }

    def _length(self, continuation: str) -> int | None:
        """Tokens of a continuation, where the server tells tokens at all."""
        return len(self._following(continuation)) if self._speaks_vllm else None

    def _first_tokens(self, options: tuple[str, ...]) -> tuple[int, ...] | None:
        if not self._speaks_vllm:
            return None
        if options not in self._options:
            self._options[options] = first_tokens(self._encode, options)
        return self._options[options]

    def _encode(self, text: str) -> Sequence[int]:
        ids = self._client.wait(self._client.tokens(text))
        if ids is None:
            raise EngineAnswerError(
                f"The server at {self._client.address} no longer tells the tokens of a text.",
                hint="Check that the same server is still running at this address.",
            )
        return ids

    def _checked_answer(self, request: Request, body: Any) -> Answer:
        try:
            answer = self._answer(request, body)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            self.malformed_answers += 1
            if self.malformed_answers >= NONSENSE_LIMIT and not self._good_answers:
                self._death = EngineAnswerError(
                    f"The first {self.malformed_answers} answers of the server at "
                    f"{self._client.address} were no completions.",
                    hint="Check `address`: it should be that of an OpenAI-compatible server, and "
                    "usually ends in /v1.",
                )
                raise self._death from None
            if isinstance(request, TextRequest):
                return TextAnswer("", 0, 0)
            if isinstance(request, LikelihoodRequest):
                return LikelihoodAnswer(0.0, 0, 0, usable=False)
            return unusable_choice(len(request.options))
        self._good_answers += 1
        return answer

    def _answer(self, request: Request, body: Any) -> Answer:
        choice = body["choices"][0]
        usage = body.get("usage") or {}
        read = int(usage.get("prompt_tokens") or 0)
        written = int(usage.get("completion_tokens") or 0)
        if isinstance(request, TextRequest):
            return TextAnswer(one_line(_text(choice["text"])), read, written)
        if isinstance(request, LikelihoodRequest):
            values = self._continuation_values(request, choice)
            return likelihood_answer(values, prompt_tokens=read, output_tokens=written)
        top = choice["logprobs"]["top_logprobs"][0]
        values = self._option_values(request, {str(key): float(top[key]) for key in top})
        return choice_answer(values, prompt_tokens=read, output_tokens=written)

    def _continuation_values(
        self, request: LikelihoodRequest, choice: dict[str, Any]
    ) -> list[float | None]:
        """Log-probabilities of the last tokens of the repeated prompt."""
        values = [None if v is None else float(v) for v in choice["logprobs"]["token_logprobs"]]
        length = self._length(request.continuation)
        if length is not None:
            return values[-length - 1 : -1]  # the last one was written, not read
        if not _text(choice["text"]).endswith(request.continuation):
            raise ValueError("the server did not repeat the prompt")
        # Tokens that end behind the place where the continuation begins.
        offsets = [int(offset) for offset in choice["logprobs"]["text_offset"]]
        begins = offsets[0] + len(_text(choice["text"])) - len(request.continuation)
        ends = [*offsets[1:], begins + len(request.continuation)]
        return [value for value, end in zip(values, ends, strict=True) if end > begins]

    def _option_values(self, request: ChoiceRequest, top: dict[str, float]) -> list[float | None]:
        tokens = self._first_tokens(request.options)
        if tokens is None:
            return matching_log_probabilities(top, request.options)
        return [top.get(f"token_id:{token}") for token in tokens]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("the text is no text")
    return value
