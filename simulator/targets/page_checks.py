"""What of a target's answer can be shown, and notes of what cannot."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from reprlib import Repr
from typing import Any, Final

__all__ = ["note_problem", "raised_where", "short_form", "usable_page"]

#: Different problems that are kept for the report.
_MOST_PROBLEMS: Final = 20
_REPR: Final = Repr()
_REPR.maxother = _REPR.maxstring = 60


def usable_page(ids: Any, limit: int) -> tuple[str, ...] | None:
    """Ids without repeats, ``limit`` at most; None where ``ids`` is no list of ids.

    An id that JSON or a database cannot hold (a lone surrogate) is no id.
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        return None
    found = dict.fromkeys(ids) if all(isinstance(item_id, str) for item_id in ids) else None
    if found is None:
        return None
    kept = tuple(found)[:limit]
    if not all(map(str.isascii, kept)):
        try:
            "".join(kept).encode()
        except UnicodeEncodeError:
            return None
    return kept


def note_problem(problems: list[str], problem: str) -> None:
    """Keep a problem once, and a number of different ones at most."""
    if problem not in problems and len(problems) < _MOST_PROBLEMS:
        problems.append(problem)


def raised_where(error: BaseException) -> str:
    """One line: what was raised, and in which function of which file."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f", in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {_first_line(error)}{where}"


def short_form(value: Any) -> str:
    """A value in a few characters, whatever its own ``repr`` does."""
    try:
        return _REPR.repr(value)
    except Exception:  # Another program's object may fail in any way.
        return f"<{type(value).__name__}>"


def _first_line(error: BaseException) -> str:
    try:
        return (str(error).splitlines() or [""])[0][:200]
    except Exception:  # Another program's error may fail to say what it is.
        return ""
