"""SQL that makes any text harmless in an atomic file of RecBole.

RecBole reads its files with pandas, tab separated, and splits sequences at spaces. Unchanged, a tab
or a line break in a value would shift columns, a quotation mark would swallow lines, and the id
``NA`` would be a missing value.
"""

from __future__ import annotations

from functools import reduce
from typing import Final
from urllib.parse import quote

__all__ = ["id_token", "label", "number", "token", "words"]

#: What Python or pandas takes for the end of a line or field, for quoting or for an escape.
_HARMFUL: Final = (
    '%"'  # the escape first: what it makes is not escaped again
    "\t\n\r\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
)
#: Texts that pandas reads as missing values.
_MISSING: Final = (
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
# Scripts whose words no space ends: Thai to Burmese, Khmer, kana, Han.
_UNSPACED: Final = (
    r"[\x{0e00}-\x{0eff}\x{1000}-\x{109f}\x{1780}-\x{17ff}\x{3005}-\x{3007}"
    r"\x{3041}-\x{30fa}\x{30fc}-\x{30ff}\x{31f0}-\x{31ff}\x{3400}-\x{4dbf}\x{4e00}-\x{9fff}"
    r"\x{f900}-\x{faff}\x{20000}-\x{3ffff}]\p{M}*"
)


def token(column: str) -> str:
    """A value as one token; ``urllib.parse.unquote`` gives it back. Empty text becomes null."""
    return _escaped(column, _HARMFUL)


def id_token(column: str) -> str:
    """As :func:`token`, with spaces escaped too, so that ids can stand in sequences."""
    return _escaped(column, _HARMFUL + " ")


def words(column: str) -> str:
    """A text as words with one space between them, for a sequence of tokens.

    Characters of scripts without spaces become words of their own; quotation marks become two
    apostrophes; control characters and spaces of all kinds become one space.
    """
    apart = f"regexp_replace({column}, '({_UNSPACED})', ' \\1 ', 'g')"
    unquoted = f"replace({apart}, chr(34), repeat(chr(39), 2))"
    plain = rf"regexp_replace({unquoted}, '[\s\p{{Z}}\p{{Cc}}]+', ' ', 'g')"
    text = f"nullif(trim({plain}), '')"
    # Read back as words all the same, and no missing value any more.
    return f"CASE WHEN {text} IN ({_listed(_MISSING)}) THEN {text} || ' ' ELSE {text} END"


def number(column: str) -> str:
    """A number, null where it is not finite."""
    return f"CASE WHEN isfinite({column}) THEN {column} END"


def label(column: str) -> str:
    """A response as 1 or 0, null where it is not known."""
    return f"{column}::INTEGER"


def _escaped(column: str, harmful: str) -> str:
    escaped = reduce(
        lambda sql, character: f"replace({sql}, chr({ord(character)}), '{_code(character)}')",
        harmful,
        column,
    )
    first = f"'%' || upper(hex(substr({column}, 1, 1))) || substr({column}, 2)"
    # Hardly a value needs escaping, and one look for all is many times as fast as the replacements.
    any_harmful = "[" + "".join(f"\\x{{{ord(character):x}}}" for character in harmful) + "]"
    return (
        f"CASE WHEN {column} IN ({_listed(_MISSING)}) THEN replace({first}, ' ', '%20') "
        f"WHEN regexp_matches({column}, '{any_harmful}') THEN {escaped} "
        f"ELSE nullif({column}, '') END"
    )


def _code(character: str) -> str:
    return quote(character, safe="")


def _listed(texts: tuple[str, ...]) -> str:
    return ", ".join(f"'{text}'" for text in texts)
