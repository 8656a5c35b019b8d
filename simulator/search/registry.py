"""Search engines and recommenders by name.

A name is a built-in one, a plug-in's (an entry point in :data:`SEARCH_GROUP` or
:data:`RECOMMENDER_GROUP`), or ``package.module:object``. What a plug-in or object names is a
finished engine, or something callable with the catalogue and the options that makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from footfall.errors import SettingError
from footfall.simulator.catalog import Catalog
from footfall.simulator.plug_ins import find_object, plug_in_names
from footfall.simulator.search.bm25 import BM25Search
from footfall.simulator.search.dense import DenseSearch
from footfall.simulator.search.hybrid import HybridSearch
from footfall.simulator.search.popularity import PopularityRecommender
from footfall.simulator.search.protocol import Recommender, SearchEngine

__all__ = [
    "RECOMMENDER_GROUP",
    "SEARCH_GROUP",
    "open_recommender",
    "open_search",
    "recommender_names",
    "search_names",
]

SEARCH_GROUP: Final = "footfall.search"
RECOMMENDER_GROUP: Final = "footfall.recommenders"

_Factory: TypeAlias = Callable[..., Any]


def _open_hybrid(
    catalog: Catalog, *, constant: float = 60.0, depth: int = 200, **options: Any
) -> HybridSearch:
    """BM25 and dense search fused; the other options are those of dense search."""
    engines = (BM25Search(catalog), DenseSearch(catalog, **options))
    return HybridSearch(engines, constant=constant, depth=depth)


@dataclass(frozen=True)
class _Role:
    """What is opened: its name in messages, the method that it needs, and where to find it."""

    kind: str
    method: str
    group: str
    builtin: Mapping[str, _Factory]


_SEARCH: Final = _Role(
    "search engine",
    "search",
    SEARCH_GROUP,
    {"bm25": BM25Search, "dense": DenseSearch, "hybrid": _open_hybrid},
)
_RECOMMENDER: Final = _Role(
    "recommender", "recommend", RECOMMENDER_GROUP, {"popularity": PopularityRecommender}
)


def open_search(name: str, catalog: Catalog, **options: Any) -> SearchEngine:
    """Open a search engine over ``catalog``.

    Parameters
    ----------
    name:
        ``bm25``, ``dense``, ``hybrid``, a plug-in's name, or ``package.module:object``.
    catalog:
        The items.
    **options:
        Handed to the engine.

    Raises
    ------
    SettingError
        If the name is unknown, the plug-in or object cannot be loaded, an option is wrong, or what
        comes out is no search engine.
    """
    engine: SearchEngine = _open(name, catalog, options, _SEARCH)
    return engine


def open_recommender(name: str, catalog: Catalog, **options: Any) -> Recommender:
    """Open a recommender over ``catalog``: ``popularity``, a plug-in's, or an object's name.

    Parameters and errors as in :func:`open_search`.
    """
    recommender: Recommender = _open(name, catalog, options, _RECOMMENDER)
    return recommender


def search_names() -> list[str]:
    """Names of the built-in search engines and of all plug-ins that can be loaded.

    A plug-in that cannot be loaded is named in a ``RuntimeWarning`` and left out.
    """
    return _names(_SEARCH)


def recommender_names() -> list[str]:
    """Names of the recommenders, as :func:`search_names`."""
    return _names(_RECOMMENDER)


def _names(role: _Role) -> list[str]:
    found = plug_in_names(role.group, lambda loaded: _check_loaded(loaded, role.method))
    return sorted({*role.builtin, *found})


def _open(name: str, catalog: Catalog, options: dict[str, Any], role: _Role) -> Any:
    made = _find(name, role)
    if isinstance(made, type) or not hasattr(made, role.method):
        made = _call(made, name, catalog, options, role.kind)
    elif options:
        raise SettingError(
            f"The {role.kind} {name!r} is a finished object and takes no options"
            f" ({', '.join(options)}).",
            hint="Leave the options out.",
        )
    if not callable(getattr(made, role.method, None)) or not isinstance(
        getattr(made, "name", None), str
    ):
        raise SettingError(
            f"{name!r} gave {type(made).__name__}, which is no {role.kind}.",
            hint=f"It needs a text `name` and a method `{role.method}`.",
        )
    return made


def _find(name: str, role: _Role) -> Any:
    if name in role.builtin:
        return role.builtin[name]
    return find_object(
        name,
        kind=role.kind,
        group=role.group,
        known=role.builtin,
        check=lambda loaded: _check_loaded(loaded, role.method),
    )


def _check_loaded(found: Any, method: str) -> None:
    if not callable(found) and not hasattr(found, method):
        raise TypeError(f"{found!r} can neither be called nor has it a method {method}")


def _call(
    factory: _Factory, name: str, catalog: Catalog, options: dict[str, Any], kind: str
) -> Any:
    try:
        return factory(catalog, **options)
    except TypeError as error:
        raise SettingError(
            f"The {kind} {name!r} cannot be made with the options"
            f" ({', '.join(options) or 'none'}): {error}",
            hint="Check the names of the options.",
        ) from error
