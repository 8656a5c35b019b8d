"""Ask what was asked before only once.

Shoppers often ask the same: the same kind of shopper sees the same items under the same query. A
request that equals one in work waits for that one's answer, and the answers of the last requests
are kept, so that asking again takes no time of the language model.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from footfall.errors import EngineAnswerError
from footfall.simulator.engines.choices import (
    closed_error,
    in_form,
    is_repeatable,
    require_valid,
)
from footfall.simulator.engines.protocol import Answer, Engine, EngineIdentity, Request
from footfall.simulator.engines.recording import request_key

__all__ = ["SharedAnswers"]

#: Bytes of the SHA-256 of a request that it is remembered by: two of 10^9 requests have the same
#: ones with a chance of 10^-21.
_KEY_BYTES = 16


@dataclass(slots=True)
class _Asked:
    """A request that the engine has, and the tickets that wait for its answer.

    ``key`` is empty where the answer is for the asker alone.
    """

    request: Request
    key: bytes
    tickets: list[int] = field(default_factory=list)


class SharedAnswers:
    """Passes requests on to ``engine``, equal ones once. It closes the engine that it was given.

    Choices, likelihoods, texts at temperature 0 and texts with a ``draw`` of their own are shared;
    a text that is drawn anew each time never is. Answers that are not in the form of the protocol
    are made unusable ones here. Answers to what somebody else asked the engine before are passed
    over.

    Parameters
    ----------
    engine:
        What answers.
    remembered:
        Answers kept, those used last; of 300 bytes each for a choice between two options, of 600
        between eleven.

    Attributes
    ----------
    asked:
        Requests that the engine got.
    shared:
        Requests that were answered without asking the engine again.
    prompt_tokens, output_tokens:
        What the engine read and wrote, each shared answer counted once.
    """

    def __init__(self, engine: Engine, *, remembered: int = 50_000) -> None:
        self._engine = engine
        self._capacity = remembered
        self._remembered: OrderedDict[bytes, Answer] = OrderedDict()
        self._asked: dict[int, _Asked] = {}
        self._in_work: dict[bytes, _Asked] = {}
        self._ready: list[tuple[int, Answer]] = []
        self._next_ticket = 0
        self._closed = False
        self.asked = 0
        self.shared = 0
        self.prompt_tokens = 0
        self.output_tokens = 0

    @property
    def identity(self) -> EngineIdentity:
        """The engine's own."""
        return self._engine.identity

    def submit(self, request: Request) -> int:
        """Queue a request and return its ticket; the engine gets requests in this order."""
        if self._closed:
            raise closed_error()
        require_valid(request)
        ticket = self._next_ticket
        key = _key(request)
        if key and key in self._remembered:
            self._remembered.move_to_end(key)
            self._ready.append((ticket, self._remembered[key]))
            self.shared += 1
        elif key and key in self._in_work:
            self._in_work[key].tickets.append(ticket)
            self.shared += 1
        else:
            self._ask(request, key, ticket)
        self._next_ticket += 1
        return ticket

    def collect(self) -> list[tuple[int, Answer]]:
        """Answers that are ready, by rising ticket; waits for the engine only without any.

        Raises
        ------
        EngineAnswerError
            If the engine has nothing more to say and left a request without an answer.
        """
        if self._closed:
            raise closed_error()
        while self._asked and not self._ready:
            answered = self._engine.collect()
            if not answered:
                raise self._lost()
            for ticket, answer in answered:
                self._take(ticket, answer)
        ready, self._ready = sorted(self._ready, key=lambda pair: pair[0]), []
        return ready

    def close(self) -> None:
        """Forget all answers and close the engine."""
        if self._closed:
            return
        self._closed = True
        self._remembered.clear()
        self._asked.clear()
        self._in_work.clear()
        self._ready = []
        self._engine.close()

    def _ask(self, request: Request, key: bytes, ticket: int) -> None:
        asked = _Asked(request, key, [ticket])
        self._asked[self._engine.submit(request)] = asked
        if key:
            self._in_work[key] = asked
        self.asked += 1

    def _take(self, ticket: int, answer: Answer) -> None:
        asked = self._asked.pop(ticket, None)
        if asked is None:  # of a run that was broken off, or answered already
            return
        answer = in_form(asked.request, answer)
        self.prompt_tokens += answer.prompt_tokens
        self.output_tokens += answer.output_tokens
        self._ready += [(waiting, answer) for waiting in asked.tickets]
        if asked.key:
            del self._in_work[asked.key]
            self._remember(asked.key, answer)

    def _remember(self, key: bytes, answer: Answer) -> None:
        self._remembered[key] = answer
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)

    def _lost(self) -> EngineAnswerError:
        count = len(self._asked)
        prompt = next(iter(self._asked.values())).request.prompt
        start = prompt if len(prompt) <= 80 else prompt[:80] + "…"
        return EngineAnswerError(
            f"The engine {self.identity.model} gave no answer to {count:,} of {self.asked:,} "
            f"requests, such as {start!r}.",
            hint="What was committed is kept. An engine has to answer every request once, if need "
            "be as unusable: mend the plug-in, or use another `kind`.",
        )


def _key(request: Request) -> bytes:
    if not is_repeatable(request):
        return b""
    return bytes.fromhex(request_key(request))[:_KEY_BYTES]
