"""The rows that each arm of a proof adds to the real ones, in equal number.

An arm is the real training rows and as many further ones as every other arm has. What the further
rows are made of is the only difference between arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import EmptyLogError, SettingError
from footfall.finetune.controls import oversample_real, random_pairs
from footfall.finetune.example_table import Examples
from footfall.finetune.examples import Label, read_rows
from footfall.finetune.knowledge import check_knowledge
from footfall.finetune.known_shoppers import describe_made_rows
from footfall.finetune.negatives import Beside, Negatives
from footfall.finetune.pair_slates import SlateMaker, pair_rows
from footfall.finetune.pairs import (
    PAIR_SCHEMA,
    VISIT_SCHEMA,
    logged_candidates,
    neighbour_pairs,
    popularity_pairs,
    pseudo_label_pairs,
    title_pairs,
)
from footfall.finetune.slate_copies import whole_slates

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["ALL_CONTROLS", "CONTROLS", "PSEUDO_LABELS", "ArmRows", "ArmSource"]

Array = np.ndarray[Any, Any]

#: Arms that need no model: what anybody could add.
CONTROLS: Final = ("oversampled", "random-pairs", "popularity", "title", "neighbours")
#: The log's own response model without a language model: a control where it is named.
PSEUDO_LABELS: Final = "pseudo-labels"
ALL_CONTROLS: Final = (*CONTROLS, PSEUDO_LABELS)

_RESPONSES_OF_RUN = """
SELECT e.user_id, i.item_id, nullif(trim(s.query), '') AS query, i.{label} AS label,
       i.search_id || '/' || i.item_id AS row_id, s.session_id
FROM impressions i JOIN searches s USING (search_id) JOIN sessions e USING (session_id)
WHERE i.origin = $run AND i.{label}
"""

# What is typed for everything tells nothing of any item. Case and punctuation do not matter.
_ORDERED = """
WITH keyed AS (
    SELECT *, trim(regexp_replace(lower(nfc_normalize(query)), '[\\s\\p{P}\\p{S}]+', ' ', 'g'))
           AS asked, md5($seed || '/' || row_id) AS turn
    FROM responses
), counted AS (SELECT asked, count(DISTINCT item_id) AS items FROM keyed GROUP BY asked)
SELECT user_id, item_id, query, label, session_id, row_id AS search_id
FROM keyed LEFT JOIN counted USING (asked)
ORDER BY CASE WHEN $specific THEN coalesce(items, 1) ELSE 1 END, turn
"""


@dataclass(frozen=True)
class ArmSource:
    """What arms are made of.

    Parameters
    ----------
    log:
        The training part, with the runs that were simulated on it.
    real:
        The real training rows, described.
    label:
        The response that is learned.
    aimed:
        Items that the gap lies at; controls and runs aim at the same ones. They stand beside
        responses as well, with the items that have one; all items may when not given.
    until:
        End of the training part where the log has times.
    beside:
        What stands beside the response of a made slate.
    specific_queries:
        Of a run's responses those come first whose query led to the fewest different items.
    seed:
        Seed of everything that is drawn.
    """

    log: Log
    real: Examples
    label: Label
    aimed: Sequence[str] | None = None
    until: datetime | None = None
    beside: Beside = "balanced"
    specific_queries: bool = True
    seed: int = 0

    def with_seed(self, seed: int) -> ArmSource:
        """The same source with other chance."""
        return replace(self, seed=seed)


class ArmRows:
    """Makes the added rows of arms; see :class:`ArmSource`."""

    def __init__(self, source: ArmSource) -> None:
        self.source = source

    def control(self, name: str, count: int) -> Examples:
        """``count`` rows of a control (:data:`ALL_CONTROLS`).

        Raises
        ------
        SettingError
            If there is no such control.
        """
        source = self.source
        if name == "oversampled":
            return oversample_real(source.real, count, source.seed)
        if name == "random-pairs":
            return random_pairs(source.real, count, source.seed)
        log, label, seed = source.log, source.label, source.seed
        if name == "popularity":
            if source.beside == "balanced":
                # Balanced, items would all seem equally popular.
                return ArmRows(replace(source, beside="popularity")).control(name, count)
            pairs = popularity_pairs(log, label, count, seed)
        elif name == "title":
            pairs = title_pairs(log, label, source.aimed or (), count, seed)
        elif name == "neighbours":
            pairs = neighbour_pairs(log, label, source.aimed or (), count, seed)
        elif name == PSEUDO_LABELS:
            pairs = pseudo_label_pairs(
                log, label, source.aimed or (), count, seed, until=source.until
            )
        else:
            raise SettingError(
                f"There is no control {name!r}.",
                hint=f"Controls: {', '.join(ALL_CONTROLS)}.",
            )
        return self._described(pairs, f"control:{name}", count)

    def ceiling(self, pairs: pa.Table, count: int) -> Examples:
        """``count`` rows made of the held-out items' own real responses, or fewer.

        No honest arm can have them. What they give is what made rows of the same number could
        give at best if they were real.
        """
        order = np.random.default_rng([self.source.seed, 3]).permutation(pairs.num_rows)
        drawn = pairs.take(pa.array(order)).cast(PAIR_SCHEMA)
        return self._described(drawn, "ceiling:held-out", count)

    def run(
        self, run_id: str, count: int | None = None, *, sessions: pa.Table | None = None
    ) -> Examples:
        """``count`` rows made of a run's responses, or fewer where the run has fewer.

        Parameters
        ----------
        run_id:
            The run.
        count:
            Most rows; all when not given.
        sessions:
            Only these sessions (``session_id``).

        Raises
        ------
        EmptyLogError
            If the run has no response.
        DataError
            If the run has or may have seen more than the training part.
        """
        source = self.source
        check_knowledge(source.log, pa.table({"origin": [run_id]}), source.until)
        if source.beside == "page" or self._answers_alone(run_id):
            rows = read_rows(source.log, label=source.label, origins=(run_id,), seed=source.seed)
            made = self._describe(_within(rows, sessions))
            if count is None or count >= len(made):
                return made
            return made.take(whole_slates(made, count, source.seed))
        responses = source.log.query(_RESPONSES_OF_RUN.format(label=source.label), {"run": run_id})
        responses = _within(responses, sessions)
        pairs = source.log.query(
            _ORDERED,
            {"seed": str(source.seed), "specific": source.specific_queries},
            responses=responses,
        ).cast(VISIT_SCHEMA)
        if not pairs.num_rows:
            raise EmptyLogError(
                f"The run {run_id!r} has no response `{source.label}`.",
                hint="Simulate more sessions, or learn another response.",
            )
        return self._described(pairs, run_id, count)

    def _described(self, pairs: pa.Table, origin: str, count: int | None) -> Examples:
        """Pairs as slates like the log's own; as many whole ones as ``count`` rows take."""
        source = self.source
        labels = pairs["label"].to_numpy()
        if not labels.all():
            return _cut(self._describe(pair_rows(pairs, origin)), count)
        if count is not None:
            pairs = pairs.slice(0, -(-count // (self._per_response + 1)))
        rows = self._maker.rows(pairs, origin, source.seed)
        return _cut(self._describe(rows), count)

    def _describe(self, rows: pa.Table) -> Examples:
        source = self.source
        return describe_made_rows(
            source.log, rows, source.real, until=source.until, seed=source.seed
        )

    def _answers_alone(self, run_id: str) -> bool:
        """Whether the run's pages hold one item each, taken or not: those are kept as they are."""
        found = self.source.log.scalar(
            "SELECT max(position) = 1 AND NOT bool_and("
            f"{self.source.label}) FROM impressions WHERE origin = $run",
            {"run": run_id},
        )
        return bool(found)

    @cached_property
    def _per_response(self) -> int:
        """Rows in vain beside a response, as in the real part."""
        rate = float(self.source.real.labels.mean())
        return max(1, round((1.0 - rate) / rate))

    @cached_property
    def _maker(self) -> SlateMaker:
        kind: Negatives = "popularity" if self.source.beside == "page" else self.source.beside
        # Where the log says what was shown, pages answer the query: other items would be too easy.
        answering = logged_candidates(self.source.log)
        if answering and self.source.beside == "popularity":
            kind = "similar"
        return SlateMaker(
            self.source.log,
            kind=kind,
            per_response=self._per_response,
            until=self.source.until,
            candidates=self.source.aimed,
            answering=answering,
        )


def _cut(examples: Examples, count: int | None) -> Examples:
    return examples if count is None or len(examples) <= count else examples.take(np.arange(count))


def _within(rows: pa.Table, sessions: pa.Table | None) -> pa.Table:
    if sessions is None:
        return rows
    wanted = sessions["session_id"].combine_chunks()
    return rows.filter(pc.is_in(rows["session_id"], value_set=wanted))
