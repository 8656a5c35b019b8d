"""The log's own response model: how likely this person responds to this item in this situation.

A language model's preferences say which item of a slate is liked best. They say little where a
slate is one offer, and nothing of what only the log knows. The appeal is a regression on the real
responses, over fields and words of shopper, query and item (:mod:`.appeal_features`); how much it
counts beside everything else is fitted in turn, on appeals of people that it has not seen
(``on_appeal`` of :class:`~footfall.simulator.behaviour.Behaviour`).

It must prove itself on left-out people: where it adds nothing to what the items' popularity says of
their responses, all appeals are 0.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse

from footfall.personas.persona import Persona
from footfall.simulator.appeal_features import HASH_SPACE, Row, slate_features
from footfall.simulator.appeal_fit import ResponseRows, fit_response
from footfall.simulator.catalog import Catalog
from footfall.simulator.language import catalog_language
from footfall.simulator.real_slates import fit_data, real_slates

if TYPE_CHECKING:
    from footfall.simulator.log import Log
    from footfall.simulator.real_slates import RealSlate

__all__ = ["Appeal", "fit_with_out_of_fold"]

Floats = npt.NDArray[np.float64]

#: Features of fewer different people are left out: they would tell of persons, not of people.
_FEWEST_PEOPLE_OF_A_FEATURE: Final = 5
#: Features kept, the most frequent first: with them a stored model takes about 33 kB.
_MOST_FEATURES: Final = 4096
#: Covariates of the click curve that the appeal is not to repeat.
_OTHERS: Final = ("affinity", "popularity", "price")
#: Positions beyond this one count as this one.
_LAST_POSITION: Final = 20
#: Standard errors that the gain on left-out people must exceed.
_NEEDED_ERRORS: Final = 2.0


class Appeal(BaseModel):
    """Log-odds of a response, relative to the average impression; ``Appeal()`` says 0 always.

    It is plain data: it pickles, and its JSON gives exactly the same log-odds when read back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    informative: bool = Field(False, description="Adds to popularity on left-out people.")
    places: str = Field("", description="Places of the features, 2-byte integers in base 64.")
    weights: str = Field("", description="Their weights, 4-byte floats in base 64.")
    centre: float = Field(0.0, description="Log-odds of the average impression, to subtract.")
    gain: float = Field(
        0.0, description="Log-likelihood an impression added to popularity's, on left-out people."
    )
    gain_error: float = Field(0.0, description="Its standard error between people.")
    people: int = Field(0, description="People fitted on.")
    impressions: int = Field(0, description="Impressions with a known response fitted on.")

    @staticmethod
    def fit(
        log: Log,
        *,
        catalog: Catalog | None = None,
        until: datetime | None = None,
        weeks: float = 8.0,
        users: Collection[str] | None = None,
        slates: int = 5000,
        seed: int = 0,
    ) -> Appeal:
        """Fit on real slates of a log.

        Parameters
        ----------
        log, catalog:
            Where responses and items come from; by default, the log's own items.
        until, weeks, slates, seed:
            As in :func:`footfall.simulator.real_slates.real_slates`.
        users:
            Nobody else's slates are fitted on.
        """
        chosen = real_slates(
            log,
            Catalog.from_log(log, until=until) if catalog is None else catalog,
            count=slates,
            until=until,
            weeks=weeks,
            locale=catalog_language(log, until=until).default_locale(),
            seed=seed,
        )
        if users is not None:
            wanted = set(users)
            chosen = [slate for slate in chosen if slate.persona.persona_id in wanted]
        return fit_with_out_of_fold(chosen, seed=seed)[0]

    def log_odds(self, persona: Persona, query: str | None, rows: Sequence[Row]) -> Floats:
        """Log-odds of a response of ``persona`` to each item of a slate, shape (slate,).

        They are relative to the average impression of the log and not centred within the slate: a
        slate of one item has an appeal too. ``rows`` are rows of a catalogue, of which ``text``,
        ``category``, ``brand`` and ``price`` are read.
        """
        if not self.informative or not rows:
            return np.zeros(len(rows))
        features = slate_features(persona, query, rows)
        told = _table(self.places, self.weights)[features.places] * features.values
        totals = np.bincount(features.rows, told, minlength=len(rows))
        return np.asarray(totals - self.centre, dtype=np.float64)

    def log_odds_many(
        self,
        personas: Sequence[Persona],
        queries: Sequence[str | None],
        slates: Sequence[Sequence[Row]],
    ) -> list[Floats]:
        """:meth:`log_odds` of several slates."""
        return [
            self.log_odds(persona, query, rows)
            for persona, query, rows in zip(personas, queries, slates, strict=True)
        ]

    def line(self) -> str:
        """What was found, in one line for people."""
        if not self.impressions:
            return "too few people or responses to fit the log's own response model on"
        found = "used" if self.informative else "no clear gain: unused"
        return (
            f"the log's own response model, on {self.people:,} people and {self.impressions:,} "
            f"impressions: it adds {self.gain:.4f} ± {self.gain_error:.4f} to popularity's "
            f"log-likelihood an impression on left-out people ({found})"
        )


def fit_with_out_of_fold(
    slates: Sequence[RealSlate],
    *,
    page_size: int = 10,
    seed: int = 0,
    needed_errors: float = _NEEDED_ERRORS,
) -> tuple[Appeal, list[Floats]]:
    """Fit on ``slates``; and of each slate, the log-odds by a fit on other people's slates.

    The latter, of shape (slate,) each, are what another model may be fitted on beside the same
    responses; they are all 0 where the appeal is not informative. Rows without a known response
    get log-odds and are not fitted on.

    Parameters
    ----------
    slates:
        Their personas and rows must not know the responses.
    page_size:
        Items on a simulated page, for the weights of sampled rows
        (:func:`footfall.simulator.fit_clicks.row_weights`).
    seed:
        Of the folds of people.
    needed_errors:
        Standard errors that the gain on left-out people must exceed; less where what uses the
        appeal weighs it in turn.
    """
    sizes = np.asarray([len(slate.rows) for slate in slates], dtype=np.int64)
    cuts = np.cumsum(sizes)[:-1]
    nothing = [np.zeros(size) for size in sizes]
    if not sizes.sum():
        return Appeal(), nothing
    rows, places = _response_rows(slates, page_size)
    fit = fit_response(rows, seed=seed)
    if fit is None:
        return Appeal(), nothing
    informative = fit.gain > needed_errors * fit.gain_error
    known = rows.weight > 0
    appeal = Appeal(
        informative=informative,
        places=_encoded(places.astype("<u2")) if informative else "",
        weights=_encoded(fit.weights.astype("<f4")) if informative else "",
        centre=fit.centre,
        gain=fit.gain,
        gain_error=fit.gain_error,
        people=len(np.unique(rows.people[known])),
        impressions=int(known.sum()),
    )
    return appeal, np.split(fit.out_of_fold, cuts) if informative else nothing


def _response_rows(
    slates: Sequence[RealSlate], page_size: int
) -> tuple[ResponseRows, npt.NDArray[np.int64]]:
    """Rows to fit on, and the place in the hash space of each of their columns."""
    data = fit_data(list(slates), {}, page_size=page_size)
    slate = np.repeat(np.arange(len(slates)), [len(each.rows) for each in slates])
    _, people = np.unique([each.persona.persona_id for each in slates], return_inverse=True)
    features, groups, places = _columns(slates, people[slate])
    others = sparse.hstack(
        [_positions(data.position), *(data.covariate(name)[:, None] for name in _OTHERS)]
    )
    item_ids = [item_id for each in slates for item_id in each.item_ids]
    items = _one_hot(np.unique(item_ids, return_inverse=True)[1])
    known = np.isfinite(data.response)
    weight = np.where(known, 1.0 if data.weight is None else data.weight, 0.0)
    rows = ResponseRows(
        features=features,
        groups=groups,
        others=others.tocsr(),
        rival=sparse.hstack([others, items]).tocsr(),
        response=np.nan_to_num(data.response),
        # The likelihood counts as many rows as there are.
        weight=weight / weight[known].mean() if known.any() else weight,
        people=people[slate].astype(np.int64),
    )
    return rows, places


def _columns(
    slates: Sequence[RealSlate], people: npt.NDArray[np.int64]
) -> tuple[Any, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sparse features (impressions, columns), the columns' groups and their places."""
    starts = np.cumsum([0, *(len(slate.rows) for slate in slates)])[:-1]
    told = [slate_features(slate.persona, slate.query, slate.rows) for slate in slates]
    rows = np.concatenate([each.rows + start for each, start in zip(told, starts, strict=True)])
    places = np.concatenate([each.places for each in told])
    groups = np.full(HASH_SPACE, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(groups, places, np.concatenate([each.groups for each in told]))
    values = np.concatenate([each.values for each in told])
    matrix = sparse.csc_matrix((values, (rows, places)), shape=(len(people), HASH_SPACE))

    met = np.unique(people[rows] * HASH_SPACE + places) % HASH_SPACE
    persons = np.bincount(met, minlength=HASH_SPACE)
    often = np.argsort(-np.diff(matrix.indptr), kind="stable")
    kept = np.sort(often[persons[often] >= _FEWEST_PEOPLE_OF_A_FEATURE][:_MOST_FEATURES])
    numbers = np.unique(groups[kept], return_inverse=True)[1]
    return matrix[:, kept].tocsr(), numbers.astype(np.int64), kept.astype(np.int64)


def _positions(position: Floats) -> Any:
    """One column a position; zeros where the log has no order."""
    known = np.isfinite(position)
    numbers = np.clip(np.nan_to_num(position, nan=1.0), 1, _LAST_POSITION).astype(np.int64) - 1
    return sparse.diags(known.astype(np.float64)) @ _one_hot(numbers, _LAST_POSITION)


def _one_hot(numbers: npt.NDArray[np.int64], width: int | None = None) -> Any:
    columns = int(numbers.max(initial=-1)) + 1 if width is None else width
    ones = (np.ones(len(numbers)), (np.arange(len(numbers)), numbers))
    return sparse.csr_matrix(ones, shape=(len(numbers), columns))


def _encoded(values: npt.NDArray[Any]) -> str:
    return b64encode(values.tobytes()).decode("ascii")


@lru_cache(maxsize=8)
def _table(places: str, weights: str) -> Floats:
    """Weight of every place of the hash space, shape (HASH_SPACE,)."""
    table = np.zeros(HASH_SPACE)
    table[np.frombuffer(b64decode(places), "<u2")] = np.frombuffer(b64decode(weights), "<f4")
    return table
