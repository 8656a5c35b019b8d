"""What a model's answer is worth as a search query: usable, a wish to browse, or nothing.

A small model echoes the prompt's labels, quotes its answer, repeats itself without end, changes the
language or types what failed before. None of that may reach the search engine, and none of it may
raise: every answer gets a verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.tokens import normalize
from footfall.simulator.catalog import utc_moment
from footfall.simulator.language import Language
from footfall.simulator.log import Log

__all__ = ["QueryLimits", "QueryVerdict", "RefusalReason", "accept_query", "query_key"]

RefusalReason = Literal["empty", "echo", "no words", "endless", "another script", "tried"]

#: Answers this many times longer than any query are endless; shorter ones are cut.
_ENDLESS: Final = 4
#: Never more than this of an answer is looked at, whatever the limits are.
_MOST_READ: Final = 2000
#: Fewer queries than this have no 99.9 % quantile.
_LEAST_QUERIES: Final = 1000
#: A unit of words or signs that comes this often in a row is repetition, not emphasis.
_REPEATS: Final = 3
_LONGEST_UNIT: Final = 6
#: A single letter may come this often in a row (``XXL``, ``aaaa``); single digits always may.
_LETTER_REPEATS: Final = 5
_DASHES: Final = frozenset("-‐‑‒–—―－−")
_PAIRS: Final = {
    '"': '"',
    "'": "'",
    "`": "`",
    "*": "*",
    "“": "”",
    "”": "”",
    "„": "“",
    "‘": "’",
    "«": "»",
    "(": ")",
    "[": "]",
    "{": "}",
    "<": ">",
    "（": "）",
    "「": "」",
    "『": "』",
    "《": "》",
    "〈": "〉",
    "【": "】",
}
#: Joiners carry meaning in Persian and in Indian scripts; other control signs never do.
_JOINERS: Final = frozenset("\u200c\u200d")


class QueryLimits(BaseModel):
    """How long a query may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most_characters: int = Field(120, ge=1, description="Longest query, in characters.")
    most_words: int = Field(20, ge=1, description="Longest query, in words between blanks.")

    @classmethod
    def from_log(cls, log: Log, *, until: datetime | None = None) -> QueryLimits:
        """The 99.9 % quantiles of the real queries before ``until``.

        The defaults where there are fewer than 1,000 of them.
        """
        row = log.query(
            """
            SELECT count(*) AS queries, quantile_disc(length(text), 0.999) AS characters,
                   quantile_disc(length(text) - length(replace(text, ' ', '')) + 1, 0.999) AS words
            FROM (
                SELECT regexp_replace(trim(query), '\\s+', ' ', 'g') AS text FROM searches
                WHERE origin = 'real' AND query IS NOT NULL
                  AND ($until IS NULL OR searched_at < $until)
            )
            """,
            {"until": utc_moment(until)},
        ).to_pylist()[0]
        if row["queries"] < _LEAST_QUERIES:
            return cls()
        return cls(most_characters=max(1, row["characters"]), most_words=max(1, row["words"]))


@dataclass(frozen=True, slots=True)
class QueryVerdict:
    """What became of an answer: the query, where there is one, or why it was refused."""

    kind: Literal["query", "browse", "refused"]
    query: str | None = None
    reason: RefusalReason | None = None


def accept_query(
    text: str,
    *,
    tried: Collection[str] = (),
    language: Language | None = None,
    limits: QueryLimits | None = None,
    labels: Collection[str] = (),
) -> QueryVerdict:
    """Turn a model's answer into a query.

    Never raises, and a query that it returns is accepted again unchanged.

    Parameters
    ----------
    text:
        The raw answer. Only its first line with anything on it counts.
    tried:
        Queries typed before for the same need: case, width and blanks apart, none is accepted.
    language:
        Scripts that the query may be in; without it, any.
    limits:
        A longer query is cut at a blank; one that is four times as long is refused as endless.
    labels:
        Words that begin the prompt's lines (``Query``, ``想找``). Before a colon they are taken
        off the answer's start, and elsewhere the answer ends there.

    Returns
    -------
    QueryVerdict
        ``browse`` for a lone dash, the prompts' sign for typing nothing.
    """
    limits = limits or QueryLimits()
    line = _clean(text[:_MOST_READ], labels)
    if line and set(line) <= _DASHES:
        return QueryVerdict("browse")
    if len(line) > _ENDLESS * limits.most_characters:
        return QueryVerdict("refused", reason="endless")
    query = _shorten(line, limits, labels)
    key = query_key(query)
    reason: RefusalReason | None = None
    if not key:
        reason = "echo" if _clean(text[:_MOST_READ], ()) else "empty"
    elif key in {query_key(label) for label in labels}:
        reason = "echo"
    elif not any(sign.isalnum() for sign in query):
        reason = "no words"
    elif language is not None and not language.accepts(query):
        reason = "another script"
    elif key in {query_key(earlier) for earlier in tried}:
        reason = "tried"
    if reason is None:
        return QueryVerdict("query", query)
    return QueryVerdict("refused", reason=reason)


def query_key(query: str) -> str:
    """What two spellings of the same query share: no case, no width, no blanks."""
    return "".join(normalize(query).split())


def _clean(text: str, labels: Collection[str]) -> str:
    """The first line without control signs, labels, quotes and repetition; maybe nothing."""
    lines = (_one_line(line) for line in text.splitlines())
    line = next((line for line in lines if line), "")
    label = _label_pattern(labels)
    while True:
        shorter = _one_line(_unquoted(line))
        if label is not None:
            shorter = _one_line(_without_labels(shorter, label))
        shorter = _collapse_text(shorter)
        # Every step only takes away, so this ends.
        if len(shorter) >= len(line):
            return line
        line = shorter


def _one_line(text: str) -> str:
    """``text`` without control signs, its blanks single."""
    signs = (
        sign if sign in _JOINERS or unicodedata.category(sign)[0] != "C" else " " for sign in text
    )
    return " ".join("".join(signs).split())


def _unquoted(text: str) -> str:
    """``text`` without a list mark, a pair of quotes or brackets around it, or a lone quote."""
    if len(text) > 2 and text[0] in "-*•·" and text[1] == " ":
        return text[2:]
    if len(text) > 1 and _PAIRS.get(text[0]) == text[-1]:
        return text[1:-1]
    closing = _PAIRS.get(text[:1])
    if closing is not None and closing not in text[1:]:
        return text[1:]
    # A quote after a digit may be inches: 55".
    if len(text) > 1 and text[-1] in '"”“' and not text[-2].isdigit():
        inner = text[:-1]
        return inner if not any(quote in inner for quote in '"“„”') else text
    return text


def _label_pattern(labels: Collection[str]) -> re.Pattern[str] | None:
    words = sorted((re.escape(label) for label in labels if label.strip()), key=len, reverse=True)
    if not words:
        return None
    # Chinese words need no blank before them, so only Latin letters make another word of a label.
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(words)})\s*[:：]", re.IGNORECASE)


def _without_labels(text: str, label: re.Pattern[str]) -> str:
    found = label.match(text)
    if found:
        return text[found.end() :]
    found = label.search(text)
    return text[: found.start()] if found else text


def _collapse_text(text: str) -> str:
    """``xbox xbox xbox`` becomes ``xbox`` and ``牛奶牛奶牛奶`` becomes ``牛奶``."""
    words = _collapse(text.split(" "), 1)
    return " ".join("".join(_collapse(list(word), 2)) for word in words)


def _collapse(parts: Sequence[str], least_unit: int) -> list[str]:
    """``parts`` with every unit that follows itself often kept once, a cut-off repeat dropped.

    Units shorter than ``least_unit`` must come more often, and digits alone may always repeat:
    ``100000 mAh``.
    """
    keys = [part.casefold() for part in parts]
    kept: list[str] = []
    place = 0
    while place < len(parts):
        for size in range(1, _LONGEST_UNIT + 1):
            unit = keys[place : place + size]
            end = place + size
            while keys[end : end + size] == unit:
                end += size
            least = _REPEATS if size >= least_unit else _LETTER_REPEATS
            if (end - place) // size < least or "".join(unit).isdigit():
                continue
            kept += parts[place : place + size]
            place = len(parts) if _begins(unit, keys[end:]) else end
            break
        else:
            kept.append(parts[place])
            place += 1
    return kept


def _begins(unit: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether ``rest`` is a beginning of ``unit``, the last part of it perhaps cut off."""
    if not rest or len(rest) > len(unit):
        return False
    whole = len(rest) - 1
    return list(rest[:whole]) == list(unit[:whole]) and unit[whole].startswith(rest[whole])


def _shorten(text: str, limits: QueryLimits, labels: Collection[str]) -> str:
    """``text`` cut to the limits, at a blank where there is one, and clean again."""
    while True:
        short = " ".join(text.split(" ")[: limits.most_words])
        if len(short) > limits.most_characters:
            cut = short[: limits.most_characters + 1]
            whole, blank, _ = cut.rpartition(" ")
            short = whole if blank else cut[: limits.most_characters]
        short = _clean(short, labels)
        if short == text:
            return text
        text = short
