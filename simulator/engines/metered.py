"""What the answers of an engine cost, counted as they come."""

from __future__ import annotations

from footfall.simulator.engines.protocol import Answer, Engine, EngineIdentity, Request

__all__ = ["MeteredEngine"]


class MeteredEngine:
    """An engine that counts the tokens of every answer it hands on.

    Attributes
    ----------
    prompt_tokens, output_tokens:
        Read and written for all answers so far.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.prompt_tokens = self.output_tokens = 0

    @property
    def identity(self) -> EngineIdentity:
        """That of the engine whose answers are counted."""
        return self._engine.identity

    def submit(self, request: Request) -> int:
        """As :meth:`.Engine.submit`."""
        return self._engine.submit(request)

    def collect(self) -> list[tuple[int, Answer]]:
        """As :meth:`.Engine.collect`."""
        ready = self._engine.collect()
        for _, answer in ready:
            self.prompt_tokens += answer.prompt_tokens
            self.output_tokens += answer.output_tokens
        return ready

    def close(self) -> None:
        """As :meth:`.Engine.close`."""
        self._engine.close()
