"""Requests to an OpenAI-compatible server, from a thread of their own, with clear errors."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from footfall.errors import (
    EngineAnswerError,
    EngineMissingError,
    EngineUnavailableError,
    FootfallError,
    MissingPartError,
    SettingError,
)
from footfall.simulator.engines.settings import EngineSettings

__all__ = ["ServerClient"]

_T = TypeVar("_T")


class ServerClient:
    """One address and one model; at most ``max_concurrent`` requests on their way at a time.

    All methods but the coroutines are called from the engine's thread.
    """

    def __init__(self, settings: EngineSettings) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import openai
        except ImportError as error:
            raise MissingPartError(
                f"A language model at an address needs {error.name or 'openai'}.",
                hint="Install it with `pip install 'footfall[server]'`.",
            ) from error
        self.address = (settings.address or "").rstrip("/")
        self.model = settings.model
        self._key_name = settings.api_key_env
        self._openai: Any = openai
        self._done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="footfall-server-client", daemon=True
        )
        self._thread.start()
        self._client: Any = openai.AsyncOpenAI(
            base_url=self.address,
            api_key=os.environ.get(settings.api_key_env) or "none",
            timeout=settings.timeout_seconds,
            max_retries=settings.retries,
        )
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        self._closing = False

    def start(self, ticket: int, work: Callable[[], Awaitable[Any]]) -> None:
        """Begin ``work``; its result, or the error it raised, arrives by ``finished``."""

        async def run() -> None:
            try:
                async with self._slots:
                    if self._closing:
                        return
                    result = await work()
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # Raised again in the engine's thread.
                result = error
            self._done.put((ticket, result))

        asyncio.run_coroutine_threadsafe(run(), self._loop)

    def finished(self) -> list[tuple[int, Any]]:
        """Wait for one result; return all that have arrived."""
        found = [self._done.get()]
        while True:
            try:
                found.append(self._done.get_nowait())
            except queue.Empty:
                return found

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run one coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Cancel what is on its way, and end the thread."""
        self.wait(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut_down(self) -> None:
        self._closing = True
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if tasks:
            # A connection that is cancelled in the moment of its making leaves a warning behind.
            await asyncio.wait(tasks, timeout=0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()
        await self._loop.shutdown_default_executor()

    async def served_models(self) -> list[str]:
        """Names of the models that the server offers; empty where it does not tell."""
        try:
            page = await self._client.models.with_raw_response.list()
            entries = json.loads(page.text)["data"]
            return sorted(str(entry["id"]) for entry in entries)
        except self._openai.APIConnectionError as error:
            raise self._unavailable(error) from error
        except (self._openai.OpenAIError, ValueError, KeyError, TypeError):
            return []

    async def complete(self, **parameters: Any) -> Any:
        """The body of one completion; ``None`` where it is not JSON.

        Raises
        ------
        EngineUnavailableError
            If the server is down or busy after all retries.
        EngineMissingError
            If it does not serve the model.
        SettingError
            If it refuses the key.
        EngineAnswerError
            If it refuses the request.
        """
        try:
            answer = await self._client.completions.with_raw_response.create(
                model=self.model, **parameters
            )
        except self._openai.NotFoundError as error:
            raise await self._not_found(error) from error
        except self._openai.OpenAIError as error:
            raise self._translated(error) from error
        return _parsed(answer.text)

    async def tokens(self, text: str) -> list[int] | None:
        """Token ids of ``text``, from servers that tell (vLLM); ``None`` from others."""
        root = self.address.removesuffix("/v1")
        try:
            answer = await self._client.with_options(max_retries=1).post(
                f"{root}/tokenize",
                body={"model": self.model, "prompt": text, "add_special_tokens": False},
                cast_to=object,
            )
        except self._openai.APIConnectionError as error:
            raise self._unavailable(error) from error
        except self._openai.OpenAIError:
            return None
        # Other servers answer at this address too, in ways of their own.
        if not isinstance(answer, dict) or "max_model_len" not in answer:
            return None
        ids = answer.get("tokens")
        known = isinstance(ids, list) and all(isinstance(token, int) for token in ids)
        return ids if known else None

    def _translated(self, error: Any) -> FootfallError:
        openai = self._openai
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return SettingError(
                f"The server at {self.address} refuses the key ({_reason(error)}).",
                hint=f"Put the right key into the environment variable {self._key_name}.",
            )
        status = getattr(error, "status_code", None)
        if isinstance(error, openai.APIConnectionError) or status == 429 or (status or 0) >= 500:
            return self._unavailable(error)
        return EngineAnswerError(
            f"The server at {self.address} refuses the request ({_reason(error)}).",
            hint="It has to offer completions (not only chat) with log-probabilities, for prompts "
            "of this length.",
        )

    def _unavailable(self, error: Any) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"The server at {self.address} does not answer ({_reason(error)}).",
            hint="Start it (`python -m vllm.entrypoints.openai.api_server --model FOLDER`), or "
            "correct `address`; then start again: what was committed is kept.",
        )

    async def _not_found(self, error: Any) -> FootfallError:
        models = await self.served_models()
        if self.model in models:
            return EngineAnswerError(
                f"The server at {self.address} offers no completions ({_reason(error)}).",
                hint="Use a server with the path /completions, such as vLLM's.",
            )
        return missing_model(self.address, self.model, models, _reason(error))


def missing_model(
    address: str, model: str, models: list[str], reason: str = ""
) -> EngineMissingError:
    """The error of a model that the server does not have."""
    served = f"it serves {', '.join(models)}" if models else "it does not tell which it serves"
    because = f" ({reason})" if reason else ""
    return EngineMissingError(
        f"The server at {address} does not serve the model {model!r}{because}; {served}.",
        hint=f"Set `model: {models[0]}`."
        if models
        else "Correct `model`, or `address`, which usually ends in /v1.",
    )


def _reason(error: Any) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    text = str(message or error).strip() or type(error).__name__
    cause = getattr(error, "__cause__", None)
    first = text.splitlines()[0][:300]
    return f"{first} {cause}".strip() if cause is not None and str(cause) else first


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
