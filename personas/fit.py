"""Populations fitted on a log: segments of users, and new people drawn from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footfall.errors import PersonaError
from footfall.files import whole_file
from footfall.personas.anonymity import blank_rare_values, suppress
from footfall.personas.dependency_tree import DependencyTree
from footfall.personas.describe import (
    demographic_records,
    describe_users,
    persona_text,
)
from footfall.personas.encoder import TextEncoder
from footfall.personas.habits import check_histories, measure_habits
from footfall.personas.persona import Persona
from footfall.personas.profiling import profile_segments
from footfall.personas.segments import Cell, SegmentProfile
from footfall.personas.vectorize import Vectorizer, reduce_vectors, vectorize_histories

__all__ = ["JointDistribution", "PersonaModel", "describe_users", "persona_text"]

JointDistribution: TypeAlias = Literal["tree", "shared"]

_VERSION: Final = 2


class _Saved(BaseModel):
    """The JSON file."""

    model_config = ConfigDict(extra="forbid")

    format: str = Field("footfall persona model", pattern="^footfall persona model$")
    version: int = Field(_VERSION, ge=1, le=_VERSION)
    vectorizer: Vectorizer
    k_anonymity: int = Field(ge=1)
    locale: str
    seed: int
    history_length: int = Field(ge=0)
    attributes: tuple[str, ...]
    segments: list[SegmentProfile] = Field(min_length=1)
    tree: DependencyTree | None = Field(None, description="None: combinations that users share.")


class PersonaModel:
    """Segments of users and the joint distribution of demographics and segment.

    ``fit`` turns histories into vectors, reduces them by truncated SVD, groups users by k-means,
    and keeps statistics of each segment only (:mod:`footfall.personas.segments`). Segments with
    fewer than ``k_anonymity`` users join the nearest one. Of demographics one of two things is kept
    (``demographics``):

    * ``tree``: counts of values and of pairs of values, each of ``k_anonymity`` users at least
      (:class:`footfall.personas.dependency_tree.DependencyTree`). People are drawn whole; that one
      is like somebody real is chance.
    * ``shared``: combinations of all attributes and the segment, coarsened until each is shared by
      ``k_anonymity`` users (:func:`footfall.personas.anonymity.suppress`). An attribute that would
      single somebody out is missing, and where there are many, most are: fitted on 141 people told
      by twelve (coupon offers), 81 % of the personas have one at most.

    Parameters
    ----------
    segments:
        Number of segments asked for.
    vectorizer:
        ``tfidf``, ``bow`` or ``bert``.
    k_anonymity:
        How many real users must share whatever is published.
    demographics:
        ``tree`` or ``shared``.
    locale:
        Locale of the drawn personas, such as ``zh_CN``.
    seed:
        Seeds the SVD, k-means and, by default, :meth:`sample`.
    dimensions:
        Width of the reduced vectors.
    history_length:
        Items in a drawn persona's history, at most.
    encoder:
        Text encoder of ``bert``.

    Attributes
    ----------
    profiles:
        The fitted segments, largest first.
    assignments:
        After ``fit`` only, never saved: ``user_id``, ``segment``, and the attributes of every
        user without what is not published (``""``): with ``tree`` values, with ``shared``
        combinations of fewer than ``k_anonymity`` users.
    """

    def __init__(
        self,
        *,
        segments: int = 12,
        vectorizer: Vectorizer = "tfidf",
        k_anonymity: int = 5,
        demographics: JointDistribution = "tree",
        locale: str = "en_US",
        seed: int = 0,
        dimensions: int = 50,
        history_length: int = 8,
        encoder: TextEncoder | None = None,
    ) -> None:
        for name, value in (("segments", segments), ("k_anonymity", k_anonymity)):
            if value < 1:
                raise PersonaError(f"{name} is {value}.", hint=f"Set {name} to 1 or more.")
        self.segments = segments
        self.vectorizer: Vectorizer = vectorizer
        self.k_anonymity = k_anonymity
        self.demographics: JointDistribution = demographics
        self.locale = locale
        self.seed = seed
        self.dimensions = dimensions
        self.history_length = history_length
        self.encoder = encoder
        self.attributes: tuple[str, ...] = ()
        self.profiles: list[SegmentProfile] = []
        self.tree: DependencyTree | None = None
        self.assignments: pa.Table | None = None

    def fit(
        self,
        histories: pa.Table,
        demographics: pa.Table | None = None,
        *,
        pages: pa.Table | None = None,
    ) -> Self:
        """Learn the segments.

        Parameters
        ----------
        histories:
            One row per purchase or click: ``user_id``, ``text``, ``category``, ``brand``,
            ``price``, ``occurred_at``, ``session_id``.
        demographics:
            ``user_id`` and text columns. Users without a history are not used.
        pages:
            Optional result pages per user, see :func:`footfall.personas.habits.measure_habits`.

        Raises
        ------
        EmptyLogError
            If there is no history, or no text in it.
        PersonaError
            If there are fewer users than ``k_anonymity`` or ``segments``.
        """
        check_histories(histories)
        records = demographic_records(demographics)
        vectors = vectorize_histories(histories, self.vectorizer, encoder=self.encoder)
        users = vectors.user_ids
        self._check_size(len(users))
        labels = self._find_segments(
            reduce_vectors(vectors.matrix, self.dimensions, seed=self.seed)
        )
        names = [f"segment-{label + 1:02d}" for label in labels]
        self.attributes = tuple(
            name
            for name in (demographics.column_names if demographics else ())
            if name != "user_id"
        )
        raw = [
            tuple(records.get(user, {}).get(name, "") for name in self.attributes) for user in users
        ]
        if self.demographics == "tree":
            published = blank_rare_values(raw, self.k_anonymity)
            self.tree = DependencyTree.fit(names, published, self.k_anonymity)
        else:
            published = suppress(names, raw, self.k_anonymity)
            self.tree = None
        columns: dict[str, list[str]] = {"user_id": users, "segment": names}
        for place, name in enumerate(self.attributes):
            columns[f"demographics.{name}"] = [row[place] for row in published]
        self.assignments = pa.table(columns)
        habits = measure_habits(histories, pages)
        shared: list[tuple[str, ...]] = [()] * len(users) if self.tree else published
        self.profiles = profile_segments(
            histories, habits, self.assignments, shared, self.k_anonymity
        )
        return self

    def sample(self, count: int, *, seed: int | None = None) -> list[Persona]:
        """Draw ``count`` new people; the same seed draws the same people.

        Person ``i`` depends on the seed and ``i`` only: a longer sample begins with a shorter one.

        Raises
        ------
        PersonaError
            If the model was not fitted or ``count`` is negative.
        """
        if not self.profiles:
            raise PersonaError("The persona model is not fitted.", hint="Call fit or load first.")
        if count < 0:
            raise PersonaError(f"count is {count}.", hint="Ask for 0 or more personas.")
        seed = self.seed if seed is None else seed
        cells = [(profile, cell) for profile in self.profiles for cell in profile.cells]
        shares = np.array([cell.users for _, cell in cells], dtype=np.float64)
        bounds = np.cumsum(shares / shares.sum())
        personas = []
        for number in range(count):
            random = np.random.default_rng([seed, number])
            place = min(int(np.searchsorted(bounds, random.random(), side="right")), len(cells) - 1)
            personas.append(self._draw(*cells[place], f"persona-{seed}-{number + 1:06d}", random))
        return personas

    def _draw(
        self, profile: SegmentProfile, cell: Cell, persona_id: str, random: np.random.Generator
    ) -> Persona:
        drawn = self.tree.draw(profile.name, random) if self.tree else dict(enumerate(cell.values))
        interests = profile.draw_interests(random)
        return Persona(
            persona_id=persona_id,
            locale=self.locale,
            demographics={self.attributes[at]: value for at, value in drawn.items() if value},
            interests=interests,
            history=profile.draw_history(interests, self.history_length, random),
            segment=profile.name,
            source="log",
            **profile.draw_habits(random),
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted segments as JSON, replacing the file in one step."""
        if not self.profiles:
            raise PersonaError("The persona model is not fitted.", hint="Call fit before save.")
        saved = _Saved(
            format="footfall persona model",
            version=_VERSION,
            vectorizer=self.vectorizer,
            k_anonymity=self.k_anonymity,
            locale=self.locale,
            seed=self.seed,
            history_length=self.history_length,
            attributes=self.attributes,
            segments=self.profiles,
            tree=self.tree,
        )
        text = json.dumps(saved.model_dump(mode="json"), ensure_ascii=False, indent=1)
        with whole_file(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> PersonaModel:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        PersonaError
            If the file is missing or is no persona model.
        """
        path = Path(path)
        hint = "Make one with PersonaModel.fit and save."
        try:
            saved = _Saved.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PersonaError(f"{path}: cannot be read ({error}).", hint=hint) from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise PersonaError(
                f"{path}, {field}: {first['msg']}; not a persona model.", hint=hint
            ) from error
        model = cls(
            segments=len(saved.segments),
            vectorizer=saved.vectorizer,
            k_anonymity=saved.k_anonymity,
            demographics="shared" if saved.tree is None else "tree",
            locale=saved.locale,
            seed=saved.seed,
            history_length=saved.history_length,
        )
        model.attributes = saved.attributes
        model.profiles, model.tree = saved.segments, saved.tree
        return model

    def _check_size(self, users: int) -> None:
        for name, value in (("k_anonymity", self.k_anonymity), ("segments", self.segments)):
            if users < value:
                raise PersonaError(
                    f"The histories hold {users} user(s), fewer than {name} = {value}.",
                    hint=f"Set {name} to {users} or less, or ingest more users.",
                )

    def _find_segments(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Segment of every user; 0 is the largest, and none is smaller than ``k_anonymity``."""
        from sklearn.cluster import KMeans

        distinct = len(np.unique(points.round(9), axis=0))
        model = KMeans(min(self.segments, distinct), n_init=4, random_state=self.seed)
        labels = model.fit_predict(points).astype(np.int64)
        labels = _merge_small(labels, model.cluster_centers_, self.k_anonymity)
        kept, sizes = np.unique(labels, return_counts=True)
        rank = {label: place for place, label in enumerate(kept[np.argsort(-sizes, kind="stable")])}
        return np.array([rank[label] for label in labels], dtype=np.int64)


def _merge_small(
    labels: npt.NDArray[np.int64], centers: npt.NDArray[np.float64], k: int
) -> npt.NDArray[np.int64]:
    """Move the smallest segment into the nearest one until all have ``k`` users."""
    labels = labels.copy()
    while True:
        kept, sizes = np.unique(labels, return_counts=True)
        if len(kept) == 1 or sizes.min() >= k:
            return labels
        small = kept[int(sizes.argmin())]
        others = kept[kept != small]
        distances = np.linalg.norm(centers[others] - centers[small], axis=1)
        labels[labels == small] = others[int(distances.argmin())]
