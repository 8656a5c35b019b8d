"""A target behind an HTTP address. docs/targets.md has the contract in words."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Mapping, Sequence
from time import perf_counter
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa

from footfall.errors import MissingPartError, SettingError, TargetError, TargetUnavailableError
from footfall.simulator.targets.json_rows import batches, encoded, request_json
from footfall.simulator.targets.page_checks import note_problem, short_form, usable_page
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest

__all__ = ["CONTRACT", "HttpClient"]

#: Version of the contract.
CONTRACT: Final = 1
#: An answer that is longer is no page.
_MOST_BYTES: Final = 4_000_000
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}

_T = TypeVar("_T")


class _TooLongError(Exception):
    """An answer is longer than any page."""


class HttpClient:
    """Asks a server for pages, each by itself, so that its ``seconds`` are what a shopper waits.

    Nothing is asked for twice: a request that fails is a failed page. All of it happens on a
    thread of its own, so that notebooks (which have an event loop already) can use it, too.

    Parameters
    ----------
    address:
        Such as ``http://127.0.0.1:8000``; a path before the contract's own is kept, and so are
        user and password.
    timeout:
        Seconds from sending a request to the last byte of its answer, after which it has failed.
    concurrency:
        Pages asked for at the same time, each over a connection that is kept open.
    headers:
        Sent with every request, such as an ``Authorization``.
    learning_timeout:
        Seconds that sending a batch of items or events may take, and that learning may take.

    Attributes
    ----------
    problems:
        What went wrong, each kind once, in one line.

    Raises
    ------
    SettingError
        If the address, ``timeout`` or ``concurrency`` cannot be used.
    TargetUnavailableError
        If nothing answers ``GET /about`` there.
    TargetError
        If what answers does not keep the contract.
    MissingPartError
        If httpx is not installed.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 2.0,
        concurrency: int = 16,
        headers: Mapping[str, str] | None = None,
        learning_timeout: float = 3600.0,
    ) -> None:
        if not timeout > 0 or concurrency < 1:
            raise SettingError(
                f"timeout is {timeout:g} seconds and concurrency {concurrency}.",
                hint="Give a number above 0, such as 2, and 1 or more.",
            )
        self.address = _shown(address)
        self.timeout = timeout
        self.concurrency = concurrency
        self.learning_timeout = learning_timeout
        self.problems: list[str] = []
        self._httpx = _httpx()
        self._client = self._open(address, headers or {})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="footfall-target", daemon=True
        )
        self._thread.start()
        try:
            self._about = self._read_about()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """What the server calls itself."""
        return str(self._about["name"])

    @property
    def about(self) -> Mapping[str, Any]:
        """What the server says of itself."""
        return dict(self._about)

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        """One answer a request, in their order."""
        return self._run(self._ask(requests)) if requests else []

    def fit(self, items: pa.Table, events: pa.Table) -> bool:
        """Send items and events and let the server learn; false where it says that it does not.

        Raises
        ------
        TargetError
            If the server refuses any of it.
        TargetUnavailableError
            If it does not answer.
        """
        if not self._about["learns"]:
            return False
        for body in batches(items, "items"):
            self._teach("PUT", "items", body)
        for body in batches(events, "events"):
            self._teach("POST", "events", body)
        self._teach("POST", "fit", {})
        return True

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._loop.is_closed():
            return
        self._run(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _open(self, address: str, headers: Mapping[str, str]) -> Any:
        httpx = self._httpx
        # A server that drops idle connections (after 5 s with uvicorn) must not meet a request on
        # one of them: that would be a failure of ours.
        limits = httpx.Limits(
            max_connections=self.concurrency,
            max_keepalive_connections=self.concurrency,
            keepalive_expiry=2.0,
        )
        try:
            client = httpx.AsyncClient(
                base_url=address, headers={**_JSON, **headers}, limits=limits, timeout=None
            )
            client.base_url.host  # noqa: B018 - raises where no name of a host is meant by it
            return client
        except (httpx.InvalidURL, ValueError) as error:
            raise SettingError(
                f"The address {self.address} cannot be used: {error}",
                hint="Give one like http://127.0.0.1:8000.",
            ) from error

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _read_about(self) -> Mapping[str, Any]:
        hint = (
            "Start the server, check the address, and see docs/targets.md; "
            "examples/reference_server.py is one that works."
        )
        try:
            status, content = self._run(self._send("GET", "about", None, max(5.0, self.timeout)))
        except (
            TimeoutError,
            _TooLongError,
            self._httpx.HTTPError,
            self._httpx.InvalidURL,
        ) as error:
            raise TargetUnavailableError(
                f"{self.address} does not answer GET /about: {_said(error)}", hint=hint
            ) from error
        if status != 200:
            raise TargetUnavailableError(
                f"{self.address} answers GET /about with status {status}.", hint=hint
            )
        try:
            about = json.loads(content)
        except (ValueError, RecursionError):
            about = None
        if not _is_about(about):
            raise TargetError(
                f"What {self.address} says of itself is not the contract's: "
                f"{content[:200].decode(errors='replace')!r}",
                hint='Wanted: {"name": "...", "answers": ["query", "browse"], "learns": true, '
                f'"contract": {CONTRACT}}}.',
            )
        found: Mapping[str, Any] = about
        return found

    async def _ask(self, requests: Sequence[PageRequest]) -> list[AnsweredPage]:
        pages: list[AnsweredPage] = [AnsweredPage((), 0.0, "error")] * len(requests)
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for place, request in waiting:
                pages[place] = await self._page(request)

        await asyncio.gather(*(work() for _ in range(min(self.concurrency, len(requests)))))
        return pages

    async def _page(self, request: PageRequest) -> AnsweredPage:
        body = encoded({"requests": [request_json(request)]})
        began = perf_counter()
        try:
            status, content = await self._send("POST", "pages", body, self.timeout)
        except TimeoutError:
            self._note(f"POST /pages took longer than {self.timeout:g} s")
            return AnsweredPage((), self.timeout, "timeout")
        except (_TooLongError, self._httpx.DecodingError) as error:
            self._note(f"POST /pages: {_said(error)}")
            return AnsweredPage((), perf_counter() - began, "malformed")
        except self._httpx.HTTPError as error:
            self._note(f"POST /pages: {_said(error)}")
            return AnsweredPage((), perf_counter() - began, "error")
        seconds = perf_counter() - began
        if not 200 <= status < 300:
            self._note(f"POST /pages answers with status {status}: {short_form(content)}")
            return AnsweredPage((), seconds, "error")
        ids = _only_page(content, request.limit)
        if ids is None:
            self._note(f"POST /pages answers with what is no page: {short_form(content)}")
            return AnsweredPage((), seconds, "malformed")
        return AnsweredPage(ids, seconds)

    async def _send(
        self, method: str, path: str, body: bytes | None, timeout: float
    ) -> tuple[int, bytes]:
        """Status and content, within ``timeout`` seconds in all."""
        parts, size = [], 0
        async with (
            asyncio.timeout(timeout),
            self._client.stream(method, path, content=body) as answer,
        ):
            async for part in answer.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > _MOST_BYTES:
                    raise _TooLongError(f"the answer has more than {_MOST_BYTES:,} bytes")
        return answer.status_code, b"".join(parts)

    def _teach(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        try:
            status, content = self._run(
                self._send(method, path, encoded(body), self.learning_timeout)
            )
        except (TimeoutError, _TooLongError, self._httpx.HTTPError) as error:
            raise TargetUnavailableError(
                f"{self.address} does not answer {method} /{path}: {_said(error)}",
                hint="Look into the server's own log.",
            ) from error
        if not 200 <= status < 300:
            raise TargetError(
                f"{self.address} answers {method} /{path} with status {status}: "
                f"{content[:200].decode(errors='replace')}",
                hint="Look into the server's own log. A server that cannot learn says "
                '"learns": false in /about.',
            )

    def _note(self, problem: str) -> None:
        note_problem(self.problems, problem)


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingPartError(
            "A target behind an address needs httpx.", hint="pip install 'footfall[stress]'"
        ) from error
    return httpx


def _shown(address: str) -> str:
    """The address without user and password, which are nobody's business in a report."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise SettingError(
            f"The address {address!r} cannot be used: {error}",
            hint="Give one like http://127.0.0.1:8000.",
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(
            f"{address!r} is no HTTP address.", hint="Give one like http://127.0.0.1:8000."
        )
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()


def _is_about(about: Any) -> bool:
    return (
        isinstance(about, dict)
        and isinstance(about.get("name"), str)
        and bool(about["name"])
        and isinstance(about.get("answers"), list)
        and isinstance(about.get("learns"), bool)
        and about.get("contract") == CONTRACT
        and not isinstance(about.get("contract"), bool)
    )


def _only_page(content: bytes, limit: int) -> tuple[str, ...] | None:
    """The one page of an answer; None where it has another shape."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    pages = answer.get("pages") if isinstance(answer, dict) else None
    if not isinstance(pages, list) or len(pages) != 1:
        return None
    return usable_page(pages[0], limit)
