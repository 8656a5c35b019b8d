"""Which typed words are slips, told from the log's own words alone.

A word is taken for a slip of another where (a noisy channel without a language: Kernighan, Church &
Gale 1990; query logs as their own dictionary: Cucerzan & Brill 2004)

* the catalogue does not have it,
* the other differs by one letter dropped, added, replaced or swapped with its neighbour
  (Damerau 1964: four in five misspellings), or by a blank left out between two words,
* the other is in the catalogue or typed by at least five people, and is typed by at least ten times
  as many people.

Only words of four and more letters are looked at, and only of scripts that put blanks between
words. Pairs are found through the words with one sign deleted, so the work grows with the number of
words, not with its square.

What this misses: slips that make another word of the catalogue, two slips in a word, slips in short
words and in words with digits, and misspellings more common than a tenth of the right word. What it
wrongly takes for a slip: rare words that are one letter from a common one, such as an inflection
(``calls``) or another name (``zune``, ``zone``). :attr:`SlipCounts.false_share` bounds that from
above by asking how many of the catalogue's own words would be taken for slips if they were not in
the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log

__all__ = ["SHORTEST_WORD", "SlipCounts", "Vocabulary", "count_slips"]

#: Letters of the shortest word that is looked at.
SHORTEST_WORD: Final = 4
_LEAST_PEOPLE: Final = 5
_RATIO: Final = 10
#: More searches than this add nothing to the rate.
_MOST_SEARCHES: Final = 500_000
#: Scripts without blanks between words, and Hangul, whose syllables hide the keys pressed.
_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"


def _words_of(column: str) -> str:
    """SQL for the words of a text; an apostrophe is no gap, an unspaced script is one."""
    text = f"regexp_replace(lower(nfc_normalize({column})), '[''’`]', '', 'g')"
    spaced = f"regexp_replace({text}, '[{_UNSPACED}]+', ' ', 'g')"
    return f"regexp_extract_all({spaced}, '[\\p{{L}}\\p{{M}}\\p{{N}}]+')"


_ELIGIBLE: Final = (
    f"length(word) >= {SHORTEST_WORD} AND regexp_full_match(word, '[\\p{{L}}\\p{{M}}]+')"
)
#: Neighbouring words of a list, as structures of two.
_PAIRS_OF: Final = (
    "list_transform(range(1, len(words)), lambda place: "
    "{'first': words[place], 'second': words[place + 1]})"
)
_REAL: Final = (
    "FROM searches LEFT JOIN sessions USING (session_id) "
    "WHERE searches.origin = 'real' AND query IS NOT NULL AND page = 1 "
    "AND ($until IS NULL OR searched_at < $until)"
)
_WORDS_SQL: Final = f"""
WITH typed AS (
    SELECT DISTINCT coalesce(user_id, session_id) AS person, unnest({_words_of("query")}) AS word
    {_REAL}
), named AS (
    SELECT DISTINCT item_id, unnest({_words_of("concat_ws(' ', text, brand, category)")}) AS word
    FROM items
), people AS (SELECT word, count(*) AS people FROM typed GROUP BY word),
known AS (SELECT word, count(*) AS items FROM named GROUP BY word)
SELECT word, coalesce(people, 0) AS people, coalesce(items, 0) AS items
FROM people FULL JOIN known USING (word) WHERE {_ELIGIBLE} ORDER BY word
"""
_NEIGHBOURS_SQL: Final = f"""
WITH typed AS (
    SELECT coalesce(user_id, session_id) AS person, {_words_of("query")} AS words {_REAL}
), pairs AS (
    SELECT DISTINCT person, pair.first AS first, pair.second AS second
    FROM (SELECT person, unnest({_PAIRS_OF}) AS pair FROM typed)
)
SELECT first, second, count(*) AS people FROM pairs
WHERE regexp_full_match(first || second, '[\\p{{L}}\\p{{M}}]+')
GROUP BY first, second HAVING count(*) >= {_RATIO} ORDER BY first, second
"""
_TYPED_SQL: Final = f"""
SELECT search_id AS text_id, coalesce(user_id, session_id) AS person, query
{_REAL} ORDER BY md5(search_id) LIMIT {_MOST_SEARCHES}
"""
# Of two words with the same rest, one lost the sign at `place` (or gained it, or has another there,
# or has it one place to the left). A word is paired with the most common word it may stand for.
_PAIRS_SQL: Final = f"""
WITH shorter AS (
    SELECT word, place, left(word, place - 1) || substr(word, place + 1) AS rest,
           substr(word, place, 1) AS sign
    FROM (SELECT word, unnest(range(1, length(word) + 1)) AS place
          FROM (SELECT word FROM suspects UNION SELECT word FROM reference))
), slip AS (SELECT shorter.*, people FROM shorter JOIN suspects USING (word)),
whole AS (SELECT shorter.*, people FROM shorter JOIN reference USING (word)),
found AS (
    SELECT suspects.word, whole.word AS meant, 'dropped' AS kind, place, sign AS wanted,
           '' AS typed, whole.people AS often, suspects.people AS rarely
    FROM suspects JOIN whole ON suspects.word = whole.rest
    UNION ALL
    SELECT slip.word, reference.word,
           CASE WHEN sign IN (substr(slip.word, place - 1, 1), substr(slip.word, place + 1, 1))
                THEN 'doubled' ELSE 'inserted' END,
           place, '', sign, reference.people, slip.people
    FROM slip JOIN reference ON reference.word = slip.rest
    UNION ALL
    SELECT slip.word, whole.word,
           CASE WHEN slip.place = whole.place THEN 'replaced' ELSE 'swapped' END,
           slip.place, whole.sign, slip.sign, whole.people, slip.people
    FROM slip JOIN whole ON slip.rest = whole.rest AND slip.word <> whole.word
     AND (slip.place = whole.place
          OR (slip.place + 1 = whole.place
              AND slip.sign = substr(whole.word, slip.place + 1, 1)
              AND whole.sign = substr(slip.word, slip.place, 1)))
    UNION ALL
    SELECT suspects.word, first || ' ' || second, 'joined', length(first) + 1, ' ', '',
           neighbours.people, suspects.people
    FROM suspects JOIN neighbours ON suspects.word = first || second
)
SELECT DISTINCT ON (word) word, meant, kind, place, wanted, typed
FROM found WHERE often >= {_RATIO} * greatest(rarely, 1)
ORDER BY word, often DESC, meant, place
"""
_COUNT_SQL: Final = f"""
WITH words AS (
    SELECT text_id, person, unnest({_words_of("query")}) AS word FROM typed
), texts AS (
    SELECT text_id, person, max((slips.word IS NOT NULL)::INTEGER) AS wrong
    FROM words LEFT JOIN slips ON words.word = slips.word
    WHERE {_ELIGIBLE.replace("word", "words.word")} GROUP BY text_id, person
), people AS (
    SELECT count(*) AS texts, sum(wrong) AS wrong FROM texts GROUP BY person
), total AS (SELECT sum(wrong) / sum(texts) AS share FROM people)
SELECT coalesce(sum(texts), 0)::BIGINT AS texts, coalesce(sum(wrong), 0)::BIGINT AS wrong,
       sqrt(sum((wrong - share * texts) ** 2)) / sum(texts) AS error
FROM people, total
"""
# Words nobody's catalogue has and words of the catalogue, by how many people typed them.
_FALSE_SQL: Final = """
SELECT least(floor(log2(greatest(people, 1))), 4) AS stratum, known, count(*) AS words,
       count(slips.word) AS taken, sum(people) FILTER (slips.word IS NULL) AS left_people,
       sum(people) FILTER (slips.word IS NOT NULL) AS taken_people
FROM checked LEFT JOIN slips USING (word) GROUP BY stratum, known ORDER BY stratum, known
"""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of a log that slips are told by; nothing of it is stored.

    Attributes
    ----------
    words:
        ``word``, ``people`` (who typed it), ``items`` (whose text, brand or category has it).
    neighbours:
        ``first``, ``second``, ``people``: words typed one after the other by ten people or more.
    """

    words: pa.Table
    neighbours: pa.Table

    @property
    def coverage(self) -> float:
        """Share of the words' uses that are of words common enough to notice slips in them."""
        people = self.words["people"].to_numpy().astype(float)
        common = people >= _RATIO
        return float(people[common].sum() / people.sum()) if people.sum() else 0.0

    @classmethod
    def from_log(cls, log: Log, *, until: datetime | None = None) -> Vocabulary:
        """Words of all items, and of the real queries before ``until``."""
        settings = {"until": utc_moment(until)}
        return cls(log.query(_WORDS_SQL, settings), log.query(_NEIGHBOURS_SQL, settings))

    def slips(self, log: Log, words: pa.Table) -> pa.Table:
        """Those of ``words`` that are slips, were the catalogue without them.

        ``words`` has ``word`` and ``people``; ``log`` only lends its database. The result has
        ``word``, ``meant``, ``kind``, ``place`` (1 is the first letter) and the signs ``wanted``
        and ``typed`` there.
        """
        reference = log.query(
            "SELECT word, people FROM words "
            f"WHERE (items > 0 OR people >= {_LEAST_PEOPLE}) AND people >= {_RATIO}",
            words=self.words,
        )
        return log.query(
            _PAIRS_SQL, suspects=words, reference=reference, neighbours=self.neighbours
        )


@dataclass(frozen=True, slots=True)
class SlipCounts:
    """Slips in a set of queries.

    Attributes
    ----------
    texts, wrong:
        Queries with a word that is looked at, and those of them with a slip.
    error:
        Standard error of ``wrong / texts``, people independent of each other; NaN without texts.
    pairs:
        Every different slip once, as :meth:`Vocabulary.slips` gives them.
    false_share:
        At most this share of the words taken for slips are right; NaN where unknown.
    """

    texts: int
    wrong: int
    error: float
    pairs: list[dict[str, Any]]
    false_share: float


def count_slips(
    log: Log,
    vocabulary: Vocabulary,
    queries: pa.Table | None = None,
    *,
    until: datetime | None = None,
) -> SlipCounts:
    """Count slips in ``queries`` (``text_id``, ``person``, ``query``).

    Without ``queries``, in the log's real ones before ``until``: of more than 500,000 searches, as
    many are drawn by hash.
    """
    typed = log.query(_TYPED_SQL, {"until": utc_moment(until)}) if queries is None else queries
    checked = log.query(
        f"""
        SELECT word, coalesce(people, 0) AS people, coalesce(items, 0) > 0 AS known FROM (
            SELECT DISTINCT unnest({_words_of("query")}) AS word FROM typed
        ) LEFT JOIN words USING (word) WHERE {_ELIGIBLE} ORDER BY word
        """,
        typed=typed,
        words=vocabulary.words,
    )
    taken = vocabulary.slips(log, checked.select(["word", "people"]))
    slips = log.query(
        "SELECT slips.* FROM slips JOIN checked USING (word) WHERE NOT known ORDER BY word",
        slips=taken,
        checked=checked,
    )
    row = log.query(_COUNT_SQL, typed=typed, slips=slips).to_pylist()[0]
    strata = log.query(_FALSE_SQL, checked=checked, slips=taken).to_pylist()
    return SlipCounts(
        texts=row["texts"],
        wrong=row["wrong"],
        error=float("nan") if row["error"] is None else float(row["error"]),
        pairs=slips.to_pylist(),
        false_share=_false_share(strata),
    )


def _false_share(strata: list[dict[str, Any]]) -> float:
    """Upper bound of the share of slips that are right words.

    Among words typed as rarely, a right word is taken for a slip with the chance ``f`` measured on
    the catalogue's words. If all ``n`` words left alone were right words, then ``f n / (1 - f)``
    right words were taken for slips; some of the ``n`` are misspelt beyond one letter, so this is
    too many. Typing people are the weights.
    """
    known = {row["stratum"]: row for row in strata if row["known"]}
    words = sum(row["words"] for row in known.values())
    unknown = [row for row in strata if not row["known"]]
    taken = sum(float(row["taken_people"] or 0) for row in unknown)
    if not words or not taken:
        return float("nan")
    overall = sum(row["taken"] for row in known.values()) / words
    false = 0.0
    for row in unknown:
        like = known.get(row["stratum"])
        chance = like["taken"] / like["words"] if like and like["words"] >= 20 else overall
        share = chance / max(1.0 - chance, 1e-9)
        false += min(float(row["taken_people"] or 0), share * float(row["left_people"] or 0))
    return float(np.clip(false / taken, 0.0, 1.0))
