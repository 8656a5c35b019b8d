"""Progress of long work on the terminal, silent where nobody watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["ProgressTask", "console", "print_lines", "track"]

#: Everything the user should see goes to standard error, so that output can be piped.
console = Console(stderr=True)


def print_lines(heading: str, lines: Iterable[str]) -> None:
    """A heading and what stands below it, each line as it is."""
    console.print(heading)
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


class ProgressTask(Protocol):
    """A running piece of work."""

    def advance(self, amount: float = 1.0) -> None:
        """Report ``amount`` more units as done."""

    def describe(self, text: str) -> None:
        """Change the words beside the bar."""


class _Task:
    def __init__(self, progress: Progress, description: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    def advance(self, amount: float = 1.0) -> None:
        self._progress.advance(self._task, amount)

    def describe(self, text: str) -> None:
        self._progress.update(self._task, description=text)


@contextmanager
def track(
    description: str, total: float | None = None, *, shown: bool = True
) -> Iterator[ProgressTask]:
    """Show a progress bar while the block runs; a spinner where ``total`` is unknown.

    Where several processes do the same work, all but one leave it away (``shown=False``).
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=not console.is_terminal, disable=not shown
    ) as progress:
        yield _Task(progress, description, total)
