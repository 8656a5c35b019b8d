"""Frechet distance of embedded texts: queries, and the items that shoppers respond to.

The vectors are those of the MiniLM encoder, projected on the main directions of the real texts:
with a few hundred texts, all 384 dimensions would measure mostly the lack of texts. It is the
Frechet inception distance (Heusel et al. 2017) with sentences instead of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.eval.counted_measures import CountedMeasure
from footfall.eval.likeness_counts import Counts, SideUsers
from footfall.eval.session_measures import frechet_measure, moment_sums

__all__ = ["Encoder", "SampledTexts", "sample_texts", "text_measures"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Texts per side: enough for 32 directions, and half a minute on two cores at most.
LARGEST_SAMPLE: Final = 1000
_SMALLEST_SAMPLE: Final = 20
_DIRECTIONS: Final = 32


class Encoder(Protocol):
    """Anything that turns texts into vectors, such as a ``TextEncoder``."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """Vectors, shape ``(len(texts), dimension)``."""
        ...


@dataclass(frozen=True, slots=True)
class SampledTexts:
    """Texts of one side with their users (index within the side)."""

    texts: list[str]
    user: Integers


def sample_texts(
    rows: pa.Table, column: str, *, synthetic: bool, generator: np.random.Generator
) -> SampledTexts:
    """Texts of one side, of users in random order until there are ``LARGEST_SAMPLE``."""
    user = rows["user"].to_numpy().astype(np.int64)
    places = np.flatnonzero(rows["synthetic"].to_numpy() == synthetic)
    _, who = np.unique(user[places], return_inverse=True)
    turn = generator.permutation(int(who.max(initial=-1)) + 1)[who]
    order = np.lexsort((generator.random(len(places)), turn))
    chosen = np.sort(places[order][:LARGEST_SAMPLE])
    return SampledTexts(rows[column].take(pa.array(chosen)).to_pylist(), user[chosen])


def _moments_by_user(vectors: Floats, user: Integers, users: int) -> Any:
    from scipy.sparse import csr_array

    rows = len(user)
    chooser = csr_array((np.ones(rows), (user, np.arange(rows))), shape=(users, rows))
    return csr_array(np.asarray(chooser @ moment_sums(vectors)))


def text_measures(
    name: str,
    real: SampledTexts,
    made: Sequence[SampledTexts],
    users: Sequence[SideUsers],
    encoder: Encoder,
) -> list[CountedMeasure] | None:
    """One measure per made side, all in the directions of the same real texts.

    ``None`` where the real side has too few texts. Distances are shares of the real texts' total
    variance.
    """
    if len(real.texts) < _SMALLEST_SAMPLE:
        return None
    sides = [real, *made]
    vectors = np.asarray(
        encoder.encode([text for side in sides for text in side.texts]), dtype=np.float64
    )
    bounds = np.cumsum([len(side.texts) for side in sides])
    own, *others = np.split(vectors, bounds[:-1])
    mean = own.mean(axis=0)
    # Right singular vectors of the centred real texts: their main directions.
    _, strengths, directions = np.linalg.svd(own - mean, full_matrices=False)
    kept = min(_DIRECTIONS, int((strengths > 1e-9).sum()), len(own) - 1)
    scale = float((strengths**2).sum() / (len(own) - 1))
    if not kept:
        return None
    axes = directions[:kept].T
    projected = [(cloud - mean) @ axes for cloud in (own, *others)]
    return [
        frechet_measure(
            name,
            Counts(
                _moments_by_user(projected[0], real.user, len(side_users.real)),
                _moments_by_user(cloud, side.user, len(side_users.made)),
                (),
            ),
            kept,
            scale=scale,
            unit="share of the real texts' variance",
            note=f"of {len(real.texts):,} real and {len(side.texts):,} made texts",
        )
        for side, cloud, side_users in zip(made, projected[1:], users, strict=True)
    ]
