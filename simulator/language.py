"""In which scripts a shop's people write, and which locale stands for them.

Scripts are read off Unicode's character names, so no list of words of any language is needed. Two
languages of one script (English and French) are told apart only by the locale that the log's own
users have.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.tokens import normalize
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log

__all__ = [
    "Language",
    "catalog_language",
    "is_unspaced",
    "language_of",
    "letter_scripts",
    "locale_script",
    "script_of",
]

#: A script with a smaller share of the log's letters is there by accident.
_LEAST_SHARE: Final = 0.01
#: Share of a text's letters that may be of other scripts: a stray sign does not spoil a query.
_MOST_FOREIGN: Final = 0.1
#: Japanese writes Han and kana; a Chinese log has next to no kana.
_KANA_SHARE: Final = 0.05
_TEXTS: Final = 4000
_ALIASES: Final = {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Kana",
    "KATAKANA": "Kana",
    "KATAKANA-HIRAGANA": "Kana",
}
#: First words of the names of letters that belong to no script of their own.
_COMMON: Final = frozenset({"MODIFIER", "FEMININE", "MASCULINE"})
#: Scripts without blanks between words, and Hangul, whose words carry glued-on particles.
_UNSPACED: Final = frozenset({"Han", "Hangul", "Kana", "Khmer", "Lao", "Myanmar", "Thai"})
#: The language most written in a script, by number of speakers; Han and kana are told apart above.
_LOCALES: Final = {
    "Arabic": "ar_SA",
    "Armenian": "hy_AM",
    "Bengali": "bn_BD",
    "Cyrillic": "ru_RU",
    "Devanagari": "hi_IN",
    "Georgian": "ka_GE",
    "Greek": "el_GR",
    "Han": "zh_CN",
    "Hangul": "ko_KR",
    "Hebrew": "he_IL",
    "Kana": "ja_JP",
    "Latin": "en_US",
    "Tamil": "ta_IN",
    "Thai": "th_TH",
}
#: Scripts of the languages that are not written in Latin letters.
_SCRIPTS: Final[Mapping[str, str]] = {
    **{locale.split("_", maxsplit=1)[0]: script for script, locale in _LOCALES.items()},
    **dict.fromkeys(("be", "bg", "kk", "ky", "mk", "mn", "sr", "tg", "uk"), "Cyrillic"),
    **dict.fromkeys(("fa", "ps", "ur"), "Arabic"),
    **dict.fromkeys(("mr", "ne"), "Devanagari"),
    "yue": "Han",
}


class Language(BaseModel):
    """The scripts that a log's texts are written in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shares: dict[str, float] = Field(
        default_factory=dict, description="Share of the letters by script, largest first."
    )
    users_locale: str | None = Field(None, description="The log users' most frequent locale.")
    source: Literal["queries", "items", "none"] = Field(
        "none", description="The texts that were looked at."
    )

    @property
    def script(self) -> str:
        """The script of most letters; ``Kana`` where Han and kana are mixed; Latin if unknown."""
        if self.shares.get("Kana", 0.0) >= _KANA_SHARE and _largest(self.shares) == "Han":
            return "Kana"
        return _largest(self.shares)

    @property
    def scripts(self) -> frozenset[str]:
        """All scripts that are there on purpose."""
        return frozenset(name for name, share in self.shares.items() if share >= _LEAST_SHARE)

    def default_locale(self) -> str:
        """The locale of a shopper of whom nothing else is known.

        The log users' own most frequent locale, if its language is written in the log's script;
        else the most widely spoken language of the script, such as ``zh_CN`` for Han.
        """
        if self.users_locale and (not self.shares or self.writes(self.users_locale)):
            return self.users_locale
        return _LOCALES.get(self.script, "en_US")

    def writes(self, locale: str) -> bool:
        """Whether the language of ``locale`` is written in the log's main script."""
        return locale_script(locale) == self.script

    def accepts(self, text: str) -> bool:
        """Whether ``text`` is in the log's scripts; also where it has no letters at all.

        A log that mixes scripts (Chinese titles with Latin brand names) accepts each of them; a
        log without texts accepts everything. One letter in ten may be foreign. Another language
        of the same script is not noticed.
        """
        found = letter_scripts(text)
        if not found or not self.shares:
            return True
        known = sum(count for script, count in found.items() if script in self.scripts)
        return known >= (1.0 - _MOST_FOREIGN) * found.total()


def catalog_language(log: Log, *, until: datetime | None = None, seed: int = 0) -> Language:
    """The language of the real queries before ``until``; without any, that of the item texts.

    At most 4,000 different texts are looked at, chosen by a hash with ``seed``.
    """
    settings = {"until": utc_moment(until), "seed": str(seed), "most": _TEXTS}
    source: Literal["queries", "items", "none"] = "queries"
    texts = log.query(
        """
        SELECT DISTINCT query AS text FROM searches
        WHERE origin = 'real' AND query IS NOT NULL AND ($until IS NULL OR searched_at < $until)
        ORDER BY md5(query || $seed), query LIMIT $most
        """,
        settings,
    )
    if not texts.num_rows:
        source = "items"
        texts = log.query(
            "SELECT DISTINCT text FROM items ORDER BY md5(text || $seed), text LIMIT $most",
            {name: settings[name] for name in ("seed", "most")},
        )
    locale = log.scalar(
        "SELECT locale FROM users WHERE origin = 'real' "
        "GROUP BY locale ORDER BY count(*) DESC, locale LIMIT 1"
    )
    shares = _shares(texts["text"].to_pylist())
    return Language(shares=shares, users_locale=locale, source=source if shares else "none")


def language_of(texts: Iterable[str]) -> Language:
    """The scripts of some queries, of which nothing else is known."""
    shares = _shares(texts)
    return Language(shares=shares, source="queries" if shares else "none")


def locale_script(locale: str) -> str:
    """Script that the language of ``locale`` is written in; Latin for those that are not listed."""
    return _SCRIPTS.get(locale.split("_", maxsplit=1)[0], "Latin")


def letter_scripts(text: str) -> Counter[str]:
    """How many letters of each script are in ``text``, full-width forms counted as Latin."""
    found = (script_of(sign) for sign in normalize(text) if sign.isalpha())
    return Counter(script for script in found if script)


def is_unspaced(sign: str) -> bool:
    """Whether ``sign`` is a letter of a script in which blanks do not part words."""
    return script_of(sign) in _UNSPACED


@lru_cache(maxsize=65536)
def script_of(letter: str) -> str | None:
    """Script of one letter such as ``Latin``, ``Han``, ``Kana``; None for signs of no script."""
    # Full-width and other presentation forms have names of their own: NFKC undoes them.
    letter = normalize(letter)[:1]
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "").partition(" ")[0]
    if name in _ALIASES:
        return _ALIASES[name]
    return None if not name or name in _COMMON else name.title()


def _shares(texts: Iterable[str]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(letter_scripts(text))
    total = counts.total()
    return {name: count / total for name, count in sorted(counts.items(), key=_rank)}


def _rank(entry: tuple[str, float]) -> tuple[float, str]:
    return -entry[1], entry[0]


def _largest(shares: Mapping[str, float]) -> str:
    return min(shares.items(), key=_rank)[0] if shares else "Latin"
