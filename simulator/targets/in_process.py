"""A target that is an object of this process: asked in batches, checked, and timed."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final

import pyarrow as pa

from footfall.errors import SettingError, TargetError
from footfall.simulator.targets.protocol import AnsweredPage, Failure, PageRequest, Target

__all__ = ["InProcessClient", "usable_page"]

#: Different problems that are kept for the report.
_MOST_PROBLEMS: Final = 20


class InProcessClient:
    """Asks a :class:`~footfall.simulator.targets.protocol.Target` of this process.

    Parameters
    ----------
    target:
        The target. What it raises is a failed page, never an error here.
    timeout:
        Seconds a page after which it has failed. The call is not broken off: its answer is
        thrown away when it comes too late.

    Attributes
    ----------
    problems:
        What went wrong, each kind once.
    """

    def __init__(self, target: Target, *, timeout: float = 2.0) -> None:
        if timeout <= 0:
            raise SettingError(
                f"timeout is {timeout:g} seconds.", hint="Give a number above 0, such as 2."
            )
        self.target = target
        self.timeout = timeout
        self.problems: list[str] = []

    @property
    def name(self) -> str:
        """The target's name."""
        return self.target.name

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        """One answer a request; ``seconds`` is the batch's time shared out."""
        if not requests:
            return []
        began = perf_counter()
        try:
            answered: Any = self.target.answer(requests)
        except Exception as error:  # Another program's code may fail in any way.
            seconds = (perf_counter() - began) / len(requests)
            self._note(f"{type(error).__name__}: {error}")
            return [AnsweredPage((), seconds, "error")] * len(requests)
        seconds = (perf_counter() - began) / len(requests)
        if seconds > self.timeout:
            self._note(f"{seconds:.3g} s a page, more than the timeout of {self.timeout:g} s")
            return [AnsweredPage((), self.timeout, "timeout")] * len(requests)
        if not isinstance(answered, Sequence) or isinstance(answered, str | bytes):
            return self._malformed(requests, seconds, f"{type(answered).__name__}, no list")
        if len(answered) != len(requests):
            return self._malformed(
                requests, seconds, f"{len(answered)} pages for {len(requests)} requests"
            )
        return [
            self._page(ids, request, seconds)
            for ids, request in zip(answered, requests, strict=True)
        ]

    def _page(self, ids: Any, request: PageRequest, seconds: float) -> AnsweredPage:
        known = usable_page(ids, request.limit)
        failure: Failure | None = None
        if known is None:
            failure = "malformed"
            self._note(f"a page is no list of ids but {str(ids)[:80]!r}")
        return AnsweredPage(known or (), seconds, failure)

    def _malformed(
        self, requests: Sequence[PageRequest], seconds: float, found: str
    ) -> list[AnsweredPage]:
        self._note(f"the answer is {found}")
        return [AnsweredPage((), seconds, "malformed")] * len(requests)

    def _note(self, problem: str) -> None:
        if problem not in self.problems and len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)

    def fit(self, items: pa.Table, events: pa.Table) -> bool:
        """Let the target learn; false where it has no ``fit``.

        Raises
        ------
        TargetError
            If it fails: a target that could not learn is not the one that was meant.
        """
        learn = getattr(self.target, "fit", None)
        if learn is None:
            return False
        try:
            learn(items, events)
        except Exception as error:
            raise TargetError(
                f"{self.name} cannot learn from {items.num_rows:,} items and {events.num_rows:,} "
                f"events: {type(error).__name__}: {error}",
                hint="Try its `fit` on tables of ITEM_SCHEMA and EVENT_SCHEMA by itself.",
            ) from error
        return True

    def close(self) -> None:
        """Close the target where it can be."""
        close = getattr(self.target, "close", None)
        if close is not None:
            close()


def usable_page(ids: Any, limit: int) -> tuple[str, ...] | None:
    """Ids without repeats, ``limit`` at most; None where ``ids`` is no list of ids."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        return None
    if not all(isinstance(item_id, str) for item_id in ids):
        return None
    return tuple(dict.fromkeys(ids))[:limit]
