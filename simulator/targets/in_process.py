"""A target that is an object of this process: asked in batches, checked, and timed."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import pyarrow as pa

from footfall.errors import SettingError, TargetError
from footfall.simulator.targets.page_checks import (
    note_problem,
    raised_where,
    short_form,
    usable_page,
)
from footfall.simulator.targets.protocol import AnsweredPage, Failure, PageRequest, Target

__all__ = ["InProcessClient"]


class InProcessClient:
    """Asks a :class:`~footfall.simulator.targets.protocol.Target` of this process.

    Parameters
    ----------
    target:
        The target. What it raises is a failed page, never an error here.
    timeout:
        Seconds a page after which it has failed. The call is not broken off, for a thread cannot
        be: its answer is thrown away when it comes too late.

    Attributes
    ----------
    problems:
        What went wrong, each kind once, in one line.
    first_traceback:
        Where the first error came from, as Python prints it; empty if there was none.

    Raises
    ------
    SettingError
        If ``timeout`` is not above 0.
    """

    def __init__(self, target: Target, *, timeout: float = 2.0) -> None:
        if not timeout > 0:
            raise SettingError(
                f"timeout is {timeout:g} seconds.", hint="Give a number above 0, such as 2."
            )
        self.target = target
        self.timeout = timeout
        self.problems: list[str] = []
        self.first_traceback = ""

    @property
    def name(self) -> str:
        """The target's name."""
        return self.target.name

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        """One answer a request; ``seconds`` is the batch's time shared out."""
        if not requests:
            return []
        # A target that keeps or changes the list that it is given must not change ours.
        asked = tuple(requests)
        began = perf_counter()
        try:
            answered: Any = self.target.answer(asked)
            seconds = (perf_counter() - began) / len(asked)
            # Reading an answer runs the target's code where it is an object of its own.
            return self._pages(answered, asked, seconds)
        except (Exception, SystemExit) as error:  # Another program's code may fail in any way.
            seconds = (perf_counter() - began) / len(asked)
            self._note(raised_where(error))
            self.first_traceback = self.first_traceback or traceback.format_exc()
            return [AnsweredPage((), min(seconds, self.timeout), "error")] * len(asked)

    def _pages(
        self, answered: Any, asked: Sequence[PageRequest], seconds: float
    ) -> list[AnsweredPage]:
        if seconds > self.timeout:
            self._note(f"answers took longer than the timeout of {self.timeout:g} s a page")
            return [AnsweredPage((), self.timeout, "timeout")] * len(asked)
        problem = ""
        if not isinstance(answered, Sequence) or isinstance(answered, str | bytes):
            problem = f"{type(answered).__name__}, no list"
        elif len(answered) != len(asked):
            problem = f"{len(answered)} pages for {len(asked)} requests"
        if problem:
            self._note(f"the answer is {problem}")
            return [AnsweredPage((), seconds, "malformed")] * len(asked)
        return [
            self._page(ids, request.limit, seconds)
            for ids, request in zip(answered, asked, strict=True)
        ]

    def _page(self, ids: Any, limit: int, seconds: float) -> AnsweredPage:
        known = usable_page(ids, limit)
        failure: Failure | None = None
        if known is None:
            failure = "malformed"
            self._note(f"a page is no list of ids but {short_form(ids)}")
        return AnsweredPage(known or (), seconds, failure)

    def _note(self, problem: str) -> None:
        note_problem(self.problems, problem)

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
        except (Exception, SystemExit) as error:
            raise TargetError(
                f"{self.name} cannot learn from {items.num_rows:,} items and {events.num_rows:,} "
                f"events: {raised_where(error)}",
                hint="Try its `fit` on tables of ITEM_SCHEMA and EVENT_SCHEMA by itself.",
            ) from error
        return True

    def close(self) -> None:
        """Close the target where it can be."""
        close = getattr(self.target, "close", None)
        if close is not None:
            close()
