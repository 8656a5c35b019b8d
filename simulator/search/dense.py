"""Search by meaning: exact cosine between query and item vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from footfall.personas.encoder import TextEncoder
from footfall.simulator.catalog import Catalog
from footfall.simulator.search.ranking import best_places, check_page, tie_ranks

__all__ = ["DenseSearch", "Encoder"]

Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """What makes vectors of texts; :class:`~footfall.personas.encoder.TextEncoder` does."""

    @property
    def identity(self) -> str:
        """Hash of what decides a vector."""

    def encode(
        self, texts: Sequence[str], *, normalize: bool = True, description: str = ""
    ) -> Vectors:
        """Vectors of shape ``(len(texts), dimension)``, of length one when ``normalize``."""


class DenseSearch:
    """Cosine similarity of text vectors, compared with every item.

    Every non-empty query finds items, however far off; an empty one finds none.

    Parameters
    ----------
    catalog:
        The items. A CPU encodes some hundred texts a second: use a part of the catalogue
        (``subset``) or a ``cache`` where it has tens of thousands of items.
    encoder:
        Text encoder; MiniLM by default.
    subset:
        Item ids to search among, if not all.
    cache:
        Folder where vectors are kept as ``.npy``, under a hash of encoder and texts.

    Raises
    ------
    CatalogueError
        If an id of ``subset`` is not in the catalogue.
    MissingPartError
        If the encoder's packages are not installed.
    """

    name = "dense"

    def __init__(
        self,
        catalog: Catalog,
        encoder: Encoder | None = None,
        *,
        subset: Sequence[str] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.catalog = catalog if subset is None else catalog.subset(subset)
        self.encoder: Encoder = TextEncoder() if encoder is None else encoder
        self._ties = tie_ranks(self.catalog.popularity_order())
        self._everything = np.arange(len(self.catalog))
        self._vectors = self._item_vectors(None if cache is None else Path(cache))

    def search(self, queries: Sequence[str], *, limit: int, offset: int = 0) -> list[list[str]]:
        """Item ids for each query, nearest first."""
        check_page(limit, offset)
        if not queries:
            return []
        scores = self.encoder.encode(queries) @ self._vectors.T
        return [
            self._page(row, limit, offset) if query.strip() else []
            for query, row in zip(queries, scores, strict=True)
        ]

    def _page(self, scores: Vectors, limit: int, offset: int) -> list[str]:
        places = best_places(scores, self._everything, self._ties, limit=limit, offset=offset)
        ids: list[str] = self.catalog.item_ids[places].tolist()
        return ids

    def _item_vectors(self, folder: Path | None) -> Vectors:
        texts = self.catalog.texts()
        if folder is None:
            return self.encoder.encode(texts, description="Encoding the catalogue")
        digest = hashlib.sha256(self.encoder.identity.encode())
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        path = folder / f"items-{digest.hexdigest()[:24]}.npy"
        kept = _read(path, len(texts))
        if kept is not None:
            return kept
        vectors = self.encoder.encode(texts, description="Encoding the catalogue")
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)
        partial.replace(path)
        return vectors


def _read(path: Path, rows: int) -> Vectors | None:
    """Vectors kept before; nothing where the file is missing or damaged."""
    try:
        vectors: Vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors if vectors.ndim == 2 and len(vectors) == rows else None
